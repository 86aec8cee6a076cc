"""The reference engine trains as the stacked one does: same order, same start, same losses, same weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.trainer.conftest import MakeUsers
from trainer import qlora, stacked
from trainer.base import LoadedBase
from trainer.engine import Progress
from trainer.lora_stack import LoraStack
from trainer.recipes import Recipe

pytestmark = pytest.mark.slow  # importing trl takes most of it


@pytest.fixture
def start(llama_base: LoadedBase, recipe: Recipe, tmp_path: Path) -> Path:
    stack = LoraStack(llama_base.model, recipe, 1)
    stack.init_slot(0, 5)
    stack.save_slot(0, tmp_path / "start", llama_base.ref)
    return tmp_path / "start"


@pytest.mark.parametrize(("batch_size", "accumulation"), [(4, 1), (2, 2)])
def test_both_engines_give_the_same_adapter(
    llama_base: LoadedBase, recipe: Recipe, make_users: MakeUsers, start: Path, batch_size: int, accumulation: int
) -> None:
    recipe = replace(recipe, batch_size=batch_size, gradient_accumulation=accumulation, weight_decay=0.0)
    by_stack, by_trl = (replace(make_users(9, run=run)[0], start=start) for run in ("stack", "trl"))
    said: list[Progress] = []
    (stack,) = stacked.train(llama_base, [by_stack], recipe, lambda _: None)
    (trl,) = qlora.train(llama_base, [by_trl], recipe, said.append)
    assert not trl.error
    assert trl.losses == pytest.approx(stack.losses, rel=1e-3)
    assert [one.step for one in said] == list(range(1, len(stack.losses) + 1))
    mine, theirs, before = (
        load_file(str(folder / "adapter_model.safetensors")) for folder in (by_stack.folder, by_trl.folder, start)
    )
    assert mine.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(mine[name], value, rtol=1e-2, atol=3e-4, msg=name)
    assert any((value - before[name]).abs().max() > 1e-3 for name, value in theirs.items())


def test_the_base_is_left_as_it_was(llama_base: LoadedBase, recipe: Recipe, make_users: MakeUsers) -> None:
    before = {name: value.clone() for name, value in llama_base.model.state_dict().items()}
    qlora.train(llama_base, make_users(4), replace(recipe, epochs=1, gradient_checkpointing=True), lambda _: None)
    after = llama_base.model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(before[name], value) for name, value in after.items())
    assert not llama_base.model.is_gradient_checkpointing


def test_errors_of_one_user_are_that_users(
    llama_base: LoadedBase, recipe: Recipe, make_users: MakeUsers, tmp_path: Path
) -> None:
    users = make_users(3, 3, 3)
    users[0] = replace(users[0], examples=[])
    users[1] = replace(users[1], start=tmp_path / "nowhere")
    results = qlora.train(llama_base, users, replace(recipe, epochs=1), lambda _: None)
    assert results[0].error == "there is nothing to train on"
    assert "nowhere" in results[1].error
    assert not results[2].error
    assert results[2].folder.is_dir()
