"""Likelihoods told beside what is written are those of a plain run, whatever stands in the same batch."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.base import LoadedBase
from trainer.decoding import each, likelihoods, lines

TEXTS = ["Hello.\n", "A much longer text stands here, so that the other one is padded.\n"]


def plain(base: LoadedBase, text: str, tokens: list[int]) -> Any:
    """(tokens × vocabulary): log-likelihoods of what stands in the place of each token after the text."""
    import torch

    ids = base.tokenizer(text, add_special_tokens=False)["input_ids"] + tokens
    with torch.inference_mode():
        logits = base.model(torch.tensor([ids])).logits[0].float()
    return logits[-len(tokens) - 1 : -1].log_softmax(-1)


def test_likelihoods_are_those_of_a_plain_run_whatever_stands_in_the_same_batch(small_base: LoadedBase) -> None:
    following = " not told"
    wanted = small_base.tokenizer(following, add_special_tokens=False)["input_ids"]
    for text, share in zip(TEXTS, likelihoods(small_base, None, TEXTS, following), strict=True):
        sure = plain(small_base, text, wanted)[range(len(wanted)), wanted].sum().exp()
        assert share == pytest.approx(float(sure), rel=1e-2)


def test_of_a_line_each_token_and_the_likeliest_other_one_are_told(small_base: LoadedBase) -> None:
    found = lines(small_base, small_base.model, TEXTS, 6)
    for text, line in zip(TEXTS, found, strict=True):
        assert 0 < len(line.tokens) <= 6
        sure = plain(small_base, text, line.tokens)
        assert line.own == pytest.approx(sure.max(-1).values.tolist(), abs=0.05)
        assert line.others == pytest.approx(sure.topk(2).values[:, 1].tolist(), abs=0.05)
        assert all(own != other for own, other in zip(line.tokens, line.other_tokens, strict=True))
        begin, likely = line.branch(small_base.tokenizer, 2)
        assert begin == small_base.tokenizer.decode([*line.tokens[:2], line.other_tokens[2]])
        assert likely == sum(line.own[:2]) + line.others[2]


def test_what_is_made_of_texts_keeps_their_order(small_base: LoadedBase) -> None:
    batches: list[int] = []
    texts = [text for text in ("ccc", "a", "bb") for _ in range(7)]
    assert each(small_base, None, texts, lambda _, batch: [one.upper() for one in batch], batches.append) == [one.upper() for one in texts]
    assert batches == [16, 5]
    assert each(small_base, None, [], lambda _, batch: batch, None) == []
