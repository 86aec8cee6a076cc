"""Recording steps changes nothing of the result. On a CPU a stand-in for CUDA's graph runs the step anew at each replay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.trainer.conftest import MakeUsers, examples
from tests.trainer.test_stacked import assert_same, run
from trainer import graphed
from trainer.base import LoadedBase
from trainer.engine import encode
from trainer.graphed import GraphedLosses, padded
from trainer.lora_stack import LoraStack
from trainer.packing import Pack, Size, pack
from trainer.recipes import Recipe
from trainer.slot_count import dropout_for
from trainer.stacked import Options
from trainer.stacked_model import StackedModel


class Graph:
    """Reads and writes the tensors of the recorded step, as a graph does."""

    def __init__(self, step: Callable[[], Any]) -> None:
        self._step, self.made, self.replays = step, step(), 0

    def replay(self) -> None:
        self.replays += 1
        self.made.copy_(self._step())

    def pool(self) -> str:
        return "pool"


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[Graph]:
    """What is recorded, on a CPU."""
    made: list[Graph] = []

    def capture(step: Callable[[], Any], _: Any) -> tuple[Any, Any]:
        made.append(Graph(step))
        return made[-1], made[-1].made

    monkeypatch.setattr(graphed, "RECORDS_ON", "cpu")
    monkeypatch.setattr(graphed, "capture", capture)
    return made


def packs_of(base: LoadedBase, *counts: int) -> list[Pack]:
    return [
        pack([encode(base.tokenizer, one, 512) for one in examples(count, seed)]) for seed, count in enumerate(counts)
    ]


def stack_of(base: LoadedBase, recipe: Recipe, **options: Any) -> tuple[LoraStack, GraphedLosses]:
    stack = LoraStack(base.model, recipe, 2)
    for slot in range(2):
        stack.init_slot(slot, slot)
    dropout = dropout_for(stack, recipe)
    return stack, GraphedLosses(StackedModel(stack, dropout), stack, dropout, **options)


@pytest.mark.parametrize(("dropout", "all_rows"), [(0.0, False), (0.2, False), (0.2, True)])
def test_a_replayed_step_gives_what_the_plain_one_gives(
    small_base: LoadedBase, recipe: Recipe, graphs: list[Graph], dropout: float, all_rows: bool
) -> None:
    """With all rows a padded step has more of them than tokens."""
    recipe = replace(recipe, dropout=dropout)
    recorded_stack, recorded = stack_of(small_base, recipe, waste=1.0, all_rows=all_rows)
    plain_stack, plain = stack_of(small_base, recipe, graphed=False, all_rows=all_rows)
    for seed, counts in enumerate([(4, 4), (4, 4), (4, 3), (3, 4)]):
        packs = packs_of(small_base, *counts)
        mine, theirs = (losses(packs, [seed, seed + 10]) for losses in (recorded, plain))
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(recorded_stack.grad, plain_stack.grad, rtol=1e-4, atol=1e-7)
    assert [graph.replays for graph in graphs] == [3], "recorded when it was needed again, and used for smaller steps"


def test_training_with_recorded_steps_is_training(
    llama_base: LoadedBase, recipe: Recipe, make_users: MakeUsers, graphs: list[Graph]
) -> None:
    recipe = replace(recipe, dropout=0.1, epochs=5)
    plain = run(llama_base, make_users(5, 9, 6, run="plain"), recipe, Options(graphed=False))
    recorded = run(llama_base, make_users(5, 9, 6, run="recorded"), recipe)
    assert sum(graph.replays for graph in graphs) > 4
    for one, other in zip(recorded, plain, strict=True):
        assert_same(one, other)


def test_a_recording_much_larger_than_the_step_is_not_used(
    llama_base: LoadedBase, recipe: Recipe, graphs: list[Graph]
) -> None:
    _, losses = stack_of(llama_base, recipe)
    for counts in [(8, 8), (8, 8), (2, 2)]:
        losses(packs_of(llama_base, *counts))
    assert [graph.replays for graph in graphs] == [1]


def test_without_memory_to_record_steps_run_as_they_are(
    llama_base: LoadedBase, recipe: Recipe, graphs: list[Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(graphed, "capture", full)
    stack, losses = stack_of(llama_base, recipe)
    packs = packs_of(llama_base, 3, 4)
    first, second, third = (losses(packs) for _ in range(3))
    assert torch.equal(first, second)
    assert torch.equal(first, third)
    assert stack.grad.any()


def test_recordings_make_room_for_a_step_that_does_not_fit_beside_them(
    llama_base: LoadedBase, recipe: Recipe, graphs: list[Graph], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, losses = stack_of(llama_base, recipe)
    plain = StackedModel.losses

    def tight(self: Any, made: Any) -> Any:
        if made.input_ids.shape[1] < 150 and losses._recorded:
            raise torch.OutOfMemoryError
        return plain(self, made)

    monkeypatch.setattr(StackedModel, "losses", tight)
    for counts in [(8, 8), (8, 8), (2, 2), (8, 8)]:
        losses(packs_of(llama_base, *counts))
    assert [graph.replays for graph in graphs] == [1, 1], "recorded again at once"


@pytest.mark.parametrize("tokens", [3, 40, 150, 248, 500, 1000, 3000])
def test_padding_stays_small(tokens: int) -> None:
    size = padded(Size(8, tokens, 90))
    assert size.fits(Size(8, tokens, 90))
    assert size.tokens <= max(8, tokens * 1.0625 + 7)
    assert padded(size) == size
