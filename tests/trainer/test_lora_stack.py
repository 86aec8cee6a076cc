"""The stack's forward pass is the base's with PEFT's adapters, slot by slot, and its files are PEFT's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from tests.trainer.conftest import examples
from trainer.base import LoadedBase
from trainer.engine import Encoded, encode
from trainer.lora_stack import LoraStack, peft_config
from trainer.packing import batch, pack
from trainer.recipes import Recipe
from trainer.stacked_model import StackedModel


def encoded(base: LoadedBase, count: int, seed: int) -> list[Encoded]:
    return [encode(base.tokenizer, example, 512) for example in examples(count, seed)]


def filled(base: LoadedBase, recipe: Recipe, slots: int) -> LoraStack:
    """A stack whose B are not zero, so that every part of an adapter shows in the output."""
    stack = LoraStack(base.model, recipe, slots)
    for slot in range(slots):
        stack.init_slot(slot, slot)
        torch.manual_seed(slot)
        for _, _, b in stack.factors(slot):
            b.normal_(std=0.02)
        stack.refresh(slot)
    return stack


def loss_by_peft(base: LoadedBase, folder: Path, of: list[Encoded]) -> float:
    """The plain way: each example alone in a row through transformers and PEFT, all logits, one mean over labels."""
    model = PeftModel.from_pretrained(base.model, str(folder))
    total, count = 0.0, 0
    with torch.no_grad():
        for one in of:
            logits = model(input_ids=torch.tensor([one.input_ids])).logits[0, :-1].float()
            labels = torch.tensor(one.labels[1:])
            total += torch.nn.functional.cross_entropy(logits, labels, reduction="sum", ignore_index=-100).item()
            count += int((labels != -100).sum())
    base.model = model.unload()
    return total / count


SUBSETS = {
    "all": {},
    "upper layers": {"layers": (1, 2)},
    "few projections": {"target_modules": ("q_proj", "v_proj", "down_proj")},
    "one projection of one layer": {"target_modules": ("up_proj",), "layers": (1,)},
}


@pytest.mark.parametrize("subset", SUBSETS)
def test_each_slots_loss_is_that_of_its_adapter_in_peft(
    small_base: LoadedBase, recipe: Recipe, tmp_path: Path, subset: str
) -> None:
    recipe = replace(recipe, **SUBSETS[subset])
    users = [encoded(small_base, size, seed) for seed, size in enumerate((3, 5, 1))]
    stack = filled(small_base, recipe, 3)
    losses = StackedModel(stack).losses(batch([pack(user) for user in users], "cpu")).tolist()
    for slot, user in enumerate(users):
        stack.save_slot(slot, tmp_path / f"{slot}", small_base.ref)
        assert losses[slot] == pytest.approx(loss_by_peft(small_base, tmp_path / f"{slot}", user), rel=1e-5)


def test_adapters_take_part_in_the_loss(llama_base: LoadedBase, recipe: Recipe) -> None:
    users = [encoded(llama_base, 3, 0)] * 2
    losses = StackedModel(filled(llama_base, recipe, 2)).losses(batch([pack(user) for user in users], "cpu")).tolist()
    assert abs(losses[0] - losses[1]) > 1e-4, "the same examples under two adapters"


def test_a_saved_slot_loads_again_bit_for_bit(small_base: LoadedBase, recipe: Recipe, tmp_path: Path) -> None:
    stack = filled(small_base, recipe, 2)
    stack.save_slot(1, tmp_path / "one", small_base.ref)
    other = LoraStack(small_base.model, recipe, 1)
    other.load_slot(0, tmp_path / "one")
    assert torch.equal(other.master[0], stack.master[1])


def test_a_bfloat16_base_saves_bfloat16(llama_base: LoadedBase, recipe: Recipe, tmp_path: Path) -> None:
    llama_base.model.to(torch.bfloat16)
    stack = filled(llama_base, recipe, 1)
    stack.save_slot(0, tmp_path / "half", llama_base.ref)
    other = LoraStack(llama_base.model, recipe, 1)
    other.load_slot(0, tmp_path / "half")
    assert other.master.dtype == torch.float32
    assert torch.equal(other.master[0], stack.master[0].bfloat16().float())


def test_an_adapter_with_less_than_the_recipe_is_refused(llama_base: LoadedBase, recipe: Recipe, tmp_path: Path) -> None:
    less = replace(recipe, target_modules=("q_proj", "v_proj"))
    filled(llama_base, less, 1).save_slot(0, tmp_path / "r4", llama_base.ref)
    for more in ({"rank": 8}, {"target_modules": ("q_proj", "up_proj")}):
        with pytest.raises(ValueError, match="r4"):
            LoraStack(llama_base.model, replace(less, **more), 1).load_slot(0, tmp_path / "r4")


def test_of_an_adapter_with_more_than_the_recipe_what_fits_is_taken(
    llama_base: LoadedBase, recipe: Recipe, tmp_path: Path
) -> None:
    whole = filled(llama_base, recipe, 1)
    whole.save_slot(0, tmp_path / "all", llama_base.ref)
    part = LoraStack(llama_base.model, replace(recipe, target_modules=("q_proj",)), 1)
    part.load_slot(0, tmp_path / "all")
    theirs = {name: (a, b) for name, a, b in whole.factors(0)}
    assert all(torch.equal(a, theirs[name][0]) and torch.equal(b, theirs[name][1]) for name, a, b in part.factors(0))


def test_a_fresh_slot_begins_as_peft_does_and_from_its_own_seed(llama_base: LoadedBase, recipe: Recipe) -> None:
    stack = LoraStack(llama_base.model, recipe, 3)
    for slot, seed in enumerate((1, 2, 1)):
        stack.init_slot(slot, seed)
    torch.manual_seed(0)
    model = get_peft_model(llama_base.model, peft_config(recipe, LoraConfig))
    theirs = {name: value.detach().clone() for name, value in model.named_parameters() if "lora_" in name}
    llama_base.model = model.unload()
    for name, a, b in stack.factors(0):
        peer = theirs[f"base_model.model.{name}.lora_A.default.weight"].T
        assert a.shape == peer.shape
        assert a.abs().max() == pytest.approx(peer.abs().max().item(), rel=0.2)
        assert a.std() == pytest.approx(peer.std().item(), rel=0.2)
        assert not b.any()
    assert torch.equal(stack.master[0], stack.master[2])
    assert not torch.equal(stack.master[0], stack.master[1])


def test_gradients_of_a_slot_come_from_its_own_examples(small_base: LoadedBase, recipe: Recipe) -> None:
    stack = filled(small_base, recipe, 2)
    packs = [pack(encoded(small_base, 3, 0)), pack(encoded(small_base, 5, 1))]
    model = StackedModel(stack)
    model.losses(batch(packs, "cpu")).sum().backward()
    together = stack.grad.clone()
    model.losses(batch([packs[0], pack(encoded(small_base, 2, 7))], "cpu")).sum().backward()
    torch.testing.assert_close(stack.grad[0], together[0], rtol=1e-4, atol=1e-7)
    assert not torch.allclose(stack.grad[1], together[1], rtol=1e-2)


def test_the_base_is_not_touched(small_base: LoadedBase, recipe: Recipe) -> None:
    before = {name: value.clone() for name, value in small_base.model.state_dict().items()}
    modules = [name for name, _ in small_base.model.named_modules()]
    stack = filled(small_base, recipe, 1)
    StackedModel(stack).losses(batch([pack(encoded(small_base, 3, 0))], "cpu")).sum().backward()
    assert [name for name, _ in small_base.model.named_modules()] == modules
    assert all(torch.equal(before[name], value) for name, value in small_base.model.state_dict().items())
    assert all(value.grad is None and not value.requires_grad for value in small_base.model.parameters())


def test_other_families_and_unknown_projections_are_refused(llama_base: LoadedBase, recipe: Recipe) -> None:
    with pytest.raises(ValueError, match="w_proj"):
        LoraStack(llama_base.model, replace(recipe, target_modules=("w_proj",)), 1)
    llama_base.model.config.model_type = "gpt2"
    with pytest.raises(ValueError, match="gpt2"):
        LoraStack(llama_base.model, recipe, 1)
