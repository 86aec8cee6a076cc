"""An adapter in a recipe's shape, so that small adapters may begin with a larger primer.

Projections and layers that the recipe has no adapter on are left out; of a larger rank the nearest of the smaller one is kept
(truncated singular value decomposition of B·A).
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from trainer.recipes import Recipe

_PLACE = re.compile(r"layers\.(\d+)\.\w+\.(\w+)\.lora_A\.weight$")


def covers(folder: Path, recipe: Recipe) -> bool:
    """Whether the adapter in `folder` has all that the recipe's has."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    layers = config.get("layers_to_transform")
    return (
        config["r"] >= recipe.rank
        and set(config["target_modules"]) >= set(recipe.target_modules)
        and (layers is None or (recipe.layers is not None and set(layers) >= set(recipe.layers)))
    )


def fitted(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """The weights in `folder`, by PEFT's names, in the recipe's rank and scale where it is larger; what is smaller stays."""
    from safetensors.torch import load_file

    file = folder / "adapter_model.safetensors"
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    layers = config.get("layers_to_transform")
    same = (config["r"], config["lora_alpha"], set(config["target_modules"]), set(layers) if layers else None) == (
        *(recipe.rank, recipe.alpha, set(recipe.target_modules)),
        set(recipe.layers) if recipe.layers is not None else None,
    )
    if same or config["r"] < recipe.rank:
        return load_file(str(file))
    return _cut(file, file.stat().st_mtime_ns, config["lora_alpha"] / config["r"], recipe)


@lru_cache(maxsize=2)  # every user of a batch begins with it
def _cut(file: Path, _: int, scale: float, recipe: Recipe) -> dict[str, Any]:
    import torch
    from safetensors.torch import load_file

    held, kept = load_file(str(file)), {}
    share = (scale * recipe.rank / recipe.alpha) ** 0.5
    for name, first in held.items():
        place = _PLACE.search(name)
        if not place or place[2] not in recipe.target_modules:
            continue
        if recipe.layers is not None and int(place[1]) not in recipe.layers:
            continue
        second = name.replace("lora_A", "lora_B")
        if len(first) == recipe.rank:
            kept[name], kept[second] = first * share, held[second] * share
            continue
        across, a = torch.linalg.qr(first.T.double())
        along, b = torch.linalg.qr(held[second].double())
        u, strength, v = torch.linalg.svd(b @ a.T)
        root = strength[: recipe.rank].sqrt() * share
        kept[name] = (across @ v[: recipe.rank].T * root).T.to(first.dtype).contiguous()
        kept[second] = (along @ u[:, : recipe.rank] * root).to(first.dtype).contiguous()
    return kept
