"""What both engines share: tokens and labels, the data order, the learning rates."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import get_scheduler

from tests.trainer.conftest import examples
from trainer.dataset import Example
from trainer.engine import IGNORED_LABEL, data_order, encode, learning_rates
from trainer.recipes import PAPER, Recipe


def test_only_the_answer_and_its_end_of_turn_carry_labels(tokenizer: Any) -> None:
    example = Example("You are Hippo.", "What's my dog's name?", "Your dog is Bo.", "recall")
    encoded = encode(tokenizer, example, 512)
    supervised = [label for label in encoded.labels if label != IGNORED_LABEL]
    assert tokenizer.decode(supervised) == "Your dog is Bo.<|im_end|>"
    first = encoded.labels.index(supervised[0])
    assert encoded.labels[first:] == encoded.input_ids[first:] == supervised
    assert tokenizer.decode(encoded.input_ids[:first]).endswith("<|im_start|>assistant\n")


def test_a_prompt_that_fills_the_context_is_refused(tokenizer: Any) -> None:
    with pytest.raises(ValueError, match="does not fit 16"):
        encode(tokenizer, examples(1, 0)[0], 16)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 61])
def test_every_epoch_has_every_example_once_in_whole_steps(count: int) -> None:
    epochs = data_order([10 + index % 7 for index in range(count)], PAPER, seed=3)
    assert len(epochs) == PAPER.epochs
    for steps in epochs:
        assert Counter(index for step in steps for index in step) == Counter(range(count))
        assert [len(step) for step in steps[:-1]] == [8] * (math.ceil(count / 8) - 1)
    assert count < 9 or epochs[0] != epochs[1]


def test_the_order_follows_from_the_seed_alone() -> None:
    lengths = [10 + index % 7 for index in range(61)]
    assert data_order(lengths, PAPER, 3) == data_order(lengths, PAPER, 3)
    assert data_order(lengths, PAPER, 3) != data_order(lengths, PAPER, 4)


def test_steps_of_an_epoch_have_about_the_same_number_of_tokens() -> None:
    lengths = [20 + index for index in range(64)]
    totals = [sum(lengths[index] for index in step) for step in data_order(lengths, PAPER, 1)[0]]
    assert max(totals) - min(totals) < 0.15 * sum(totals) / len(totals)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_rates_are_those_of_transformers(schedule: str) -> None:
    recipe = replace(PAPER, schedule=schedule, warmup_ratio=0.1)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=recipe.learning_rate)
    name = "constant_with_warmup" if schedule == "constant" else schedule
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=4, num_training_steps=40)
    expected = []
    for _ in range(40):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert learning_rates(recipe, 40) == pytest.approx(expected)


def test_an_unknown_schedule_is_named() -> None:
    odd: Recipe = replace(PAPER, schedule="zigzag")
    with pytest.raises(ValueError, match="zigzag"):
        learning_rates(odd, 40)
