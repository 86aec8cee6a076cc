"""The primer of a base model: the adapter that users' training starts from, and the base's answers to replay.

The one for the bundled base is shipped (`serving/primers/bundled`). For another base, `python -m trainer prime` makes one
under `<data>/primers/`; without one, training starts from nothing, as the paper does. Not covered: making one (`prime.py`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from serving import primers
from trainer.base import LoadedBase
from trainer.dataset import Replay
from trainer.recipes import Recipe


def start_folder(base: LoadedBase, recipe: Recipe) -> Path | None:
    """The primer's folder where the recipe wants one and it fits (rank, layers, projections, replies with or without a note); else None."""
    folder = primers.find(base.ref, base.path)
    if folder is None or not recipe.from_primer:
        return None
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    described = folder / "primer.json"
    made = json.loads(described.read_text(encoding="utf-8")) if described.is_file() else {}
    fits = (
        made.get("recall_first", False) == recipe.recall_first
        and config["r"] == recipe.rank
        and config["lora_alpha"] == recipe.alpha
        and set(config["target_modules"]) == set(recipe.target_modules)
        and config.get("layers_to_transform") == (list(recipe.layers) if recipe.layers is not None else None)
    )
    return folder if fits else None


def replay_pairs(base: LoadedBase, cache_dir: Path) -> list[Replay]:
    """General prompts with the base's own answers: those shipped with the primer, or made once and kept in `cache_dir`."""
    folder = primers.find(base.ref, base.path)
    file = folder / "replay.json" if folder else cache_dir / f"replay-{hashlib.sha256(base.ref.encode()).hexdigest()[:12]}.json"
    if not file.is_file():
        from trainer.general_prompts import REPLAY
        from trainer.self_prompts import answers

        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(answers(base, REPLAY), ensure_ascii=False), encoding="utf-8")
    return [Replay(*one) for one in json.loads(file.read_text(encoding="utf-8"))]
