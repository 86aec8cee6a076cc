"""A smaller adapter begins with what of a larger one it has room for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from trainer.fitting import covers, fitted
from trainer.recipes import RECIPES

RECIPE = replace(RECIPES["default"], rank=8, alpha=16, target_modules=("q_proj", "up_proj"))


def adapter(folder: Path, true_rank: int) -> dict[str, torch.Tensor]:
    """Rank 8, though its products have the rank `true_rank`."""
    torch.manual_seed(0)
    held = {}
    for place in ("0.self_attn.q_proj", "1.self_attn.q_proj", "0.mlp.up_proj", "1.mlp.up_proj"):
        name = f"base_model.model.model.layers.{place}"
        held[f"{name}.lora_A.weight"] = torch.randn(8, true_rank) @ torch.randn(true_rank, 12)
        held[f"{name}.lora_B.weight"] = torch.randn(20, 8)
    folder.mkdir()
    save_file(held, folder / "adapter_model.safetensors")
    config = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "up_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return held


def products(held: dict[str, torch.Tensor], scale: float) -> dict[str, torch.Tensor]:
    return {
        name: scale * held[name.replace("lora_A", "lora_B")] @ first for name, first in held.items() if "lora_A" in name
    }


def test_a_smaller_rank_keeps_what_it_can_hold_whatever_its_scale(tmp_path: Path) -> None:
    whole = products(adapter(tmp_path / "a", true_rank=3), 2.0)
    cut = fitted(tmp_path / "a", replace(RECIPE, rank=3, alpha=12))
    assert {len(one) for name, one in cut.items() if "lora_A" in name} == {3}
    for name, product in products(cut, 4.0).items():
        torch.testing.assert_close(product, whole[name], rtol=1e-4, atol=1e-4)


def test_the_nearest_of_a_rank_is_kept(tmp_path: Path) -> None:
    whole = products(adapter(tmp_path / "a", true_rank=8), 2.0)
    cut = products(fitted(tmp_path / "a", replace(RECIPE, rank=2, alpha=4)), 2.0)
    for name, product in cut.items():
        strengths = torch.linalg.svdvals(whole[name])
        torch.testing.assert_close((product - whole[name]).norm(), strengths[2:].norm(), rtol=1e-4, atol=1e-4)


def test_only_the_recipes_projections_and_layers_are_kept(tmp_path: Path) -> None:
    adapter(tmp_path / "a", true_rank=8)
    cut = fitted(tmp_path / "a", replace(RECIPE, target_modules=("q_proj",), layers=(1,)))
    assert {name.rsplit(".lora", 1)[0] for name in cut} == {"base_model.model.model.layers.1.self_attn.q_proj"}
    assert {len(one) for name, one in cut.items() if "lora_A" in name} == {8}


def test_an_adapter_covers_what_has_no_more_than_it(tmp_path: Path) -> None:
    held = adapter(tmp_path / "a", true_rank=8)
    assert covers(tmp_path / "a", replace(RECIPE, rank=4, layers=(0,), target_modules=("up_proj",)))
    assert not covers(tmp_path / "a", replace(RECIPE, rank=16))
    assert not covers(tmp_path / "a", RECIPES["default"])
    assert all(torch.equal(held[name], one) for name, one in fitted(tmp_path / "a", RECIPE).items())
