"""A pack holds each example's tokens, positions and labels, what is alike once, and keeps examples apart."""

from __future__ import annotations

import random

import pytest
import torch

from trainer.engine import IGNORED_LABEL, Encoded
from trainer.packing import batch, pack


def random_examples(seed: int, count: int = 6) -> list[Encoded]:
    """A shared beginning, few different tokens (so that more is alike by chance), labels at the end."""
    rng = random.Random(seed)
    system = [rng.randrange(3) for _ in range(5)]
    made = []
    for _ in range(count):
        prompt = system + [rng.randrange(3) for _ in range(rng.randrange(1, 6))]
        completion = [rng.randrange(3) for _ in range(rng.randrange(1, 5))]
        made.append(Encoded(prompt + completion, [IGNORED_LABEL] * len(prompt) + completion))
    return made


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_every_token_sees_its_own_example_up_to_itself_and_nothing_else(seed: int, share: bool) -> None:
    examples = random_examples(seed)
    made = pack(examples, share)
    mask = batch([made], "cpu").mask()[0, 0]
    for example, path in zip(examples, made.paths, strict=True):
        assert [made.input_ids[place] for place in path] == example.input_ids[:-1]
        assert [made.positions[place] for place in path] == list(range(len(example.input_ids) - 1))
        for position, place in enumerate(path):
            assert mask[place].nonzero().flatten().tolist() == sorted(path[: position + 1])


@pytest.mark.parametrize("seed", range(20))
def test_labels_stand_on_answers_only_and_each_exactly_once(seed: int) -> None:
    examples = random_examples(seed)
    made = pack(examples)
    wanted = sorted(
        (path[position - 1], label)
        for example, path in zip(examples, made.paths, strict=True)
        for position, label in enumerate(example.labels)
        if label != IGNORED_LABEL
    )
    assert sorted(zip(made.rows, made.targets, strict=True)) == wanted


def test_what_examples_begin_with_alike_is_in_the_pack_once() -> None:
    examples = [Encoded([7, 8, 9, last, 5], [-100, -100, -100, -100, 5]) for last in (1, 2, 3)]
    assert len(pack(examples).input_ids) == 3 + 3
    assert len(pack(examples, share=False).input_ids) == 3 * 4


def test_one_prompt_with_two_answers_is_run_once_and_predicts_both() -> None:
    made = pack([Encoded([1, 2, 3, 9], [-100, -100, 3, 9]), Encoded([1, 2, 4, 9], [-100, -100, 4, 9])])
    assert made.input_ids == [1, 2, 3, 4]
    assert sorted(zip(made.rows, made.targets, strict=True)) == [(1, 3), (1, 4), (2, 9), (3, 9)]


def test_padding_is_seen_by_no_token_of_a_user() -> None:
    long, short = pack(random_examples(1)), pack(random_examples(2, count=2))
    made = batch([long, short], "cpu")
    real = len(short.input_ids)
    assert made.input_ids.shape[1] % 8 == 0
    assert not made.mask()[1, 0, :real, real:].any()
    assert made.mask()[1, 0].any(dim=1).all(), "a row that sees nothing would be NaN"


def test_all_rows_asks_for_every_token_and_keeps_the_labels() -> None:
    made = pack(random_examples(3))
    rows, targets = (held[0].tolist() for held in (lambda b: (b.rows, b.targets))(batch([made], "cpu", all_rows=True)))
    assert set(rows) == set(range(len(made.input_ids)))
    labelled = [pair for pair in zip(rows, targets, strict=True) if pair[1] != IGNORED_LABEL]
    assert sorted(labelled) == sorted(zip(made.rows, made.targets, strict=True))


def test_masks_of_a_batch_are_boolean_and_one_a_slot() -> None:
    made = batch([pack(random_examples(1)), pack(random_examples(2))], "cpu")
    length = made.input_ids.shape[1]
    assert made.mask().shape == (2, 1, length, length)
    assert made.mask().dtype == torch.bool
