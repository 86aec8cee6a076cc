"""After an adapter's note the primer reads it, and looks once more before it declines."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving import primers
from serving.prompts import system_prompt
from serving.recollection import NOT_TOLD
from trainer.base import LoadedBase, load
from trainer.generate import PASSED_ON, likelihoods, raw_replies, settled


@pytest.mark.slow
def test_a_general_question_that_a_fact_was_recalled_for_is_passed_on(bundled_folder: Path) -> None:
    base = load(bundled_folder, ref=primers.BUNDLED_REF, device="cpu", dtype="float32")
    system = {"role": "system", "content": system_prompt("Hippo", [])}
    asked = ("What is the capital of France?", "What's the name of my cat?", "What's my dog called?", "Is my dog called Max?")
    conversations = [[system, {"role": "user", "content": one}] for one in asked]
    notes = ["Noted: Your dog's name is Buddy."] * len(asked)
    general, not_told, told, wrong_name = settled(base, conversations, notes, 24, primers.SHIPPED, ask_base=False)
    assert general == PASSED_ON
    assert not_told == NOT_TOLD
    assert (told, wrong_name) == ("Your dog's name is Buddy.", "No, your dog's name is Buddy.")


def test_a_bias_on_a_token_has_it_said(small_base: LoadedBase) -> None:
    token = small_base.tokenizer(" told", add_special_tokens=False)["input_ids"][0]
    text = "A text."
    assert raw_replies(small_base, None, [text], 1, bias={token: 1e4}) == [small_base.tokenizer.decode([token]).strip()]
    assert raw_replies(small_base, None, [], 1) == []


def test_likelihoods_are_those_of_a_plain_run_whatever_stands_in_the_same_batch(small_base: LoadedBase) -> None:
    import torch

    texts, following = ["Hello.\n", "A much longer text stands here, so that the other one is padded.\n"], " not told"
    wanted = small_base.tokenizer(following, add_special_tokens=False)["input_ids"]
    found = likelihoods(small_base, None, texts, following)
    for text, share in zip(texts, found, strict=True):
        ids = small_base.tokenizer(text, add_special_tokens=False)["input_ids"] + wanted
        with torch.inference_mode():
            logits = small_base.model(torch.tensor([ids])).logits[0].float()
        plain = logits[-len(wanted) - 1 : -1].log_softmax(-1)[range(len(wanted)), wanted].sum().exp()
        assert share == pytest.approx(float(plain), rel=1e-2)
