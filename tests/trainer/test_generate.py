"""After an adapter's note the primer reads it, and looks once more before it declines."""

from __future__ import annotations

from math import log
from pathlib import Path

import pytest

from serving import primers
from serving.prompts import system_prompt
from serving.recollection import NOT_TOLD
from serving.weighing import OTHER_FROM, Noted
from trainer.base import load
from trainer.decoding import each, prompt
from trainer.generate import PASSED_ON, Raw, recollected, settled


@pytest.mark.slow
def test_a_general_question_that_a_fact_was_recalled_for_is_passed_on(bundled_folder: Path) -> None:
    base = load(bundled_folder, ref=primers.BUNDLED_REF, device="cpu", dtype="float32")
    system = {"role": "system", "content": system_prompt("Hippo", [])}
    asked = ("What is the capital of France?", "What's the name of my cat?", "What's my dog called?", "Is my dog called Max?")
    conversations = [[system, {"role": "user", "content": one}] for one in asked]
    note = "Your dog's name is Buddy."
    notes = [Raw(f"Noted: {note}", [Noted(note, 0.0)])] * len(asked)
    general, not_told, told, wrong_name = settled(base, conversations, notes, 24, primers.SHIPPED, ask_base=False)
    assert general == PASSED_ON
    assert not_told == NOT_TOLD
    assert (told, wrong_name) == (note, "No, your dog's name is Buddy.")


@pytest.mark.slow
def test_a_question_in_the_first_person_that_an_adapter_passes_on_is_the_primers(bundled_folder: Path) -> None:
    base = load(bundled_folder, ref=primers.BUNDLED_REF, device="cpu", dtype="float32")
    system = {"role": "system", "content": system_prompt("Hippo", [])}
    asked = ("Which company pays my salary?", "How do I boil an egg?", "What is the capital of France?")
    conversations = [[system, {"role": "user", "content": one}] for one in asked]
    passed = [Raw("Noted: not about you.")] * len(asked)
    replies = settled(base, conversations, passed, 40, primers.SHIPPED, ask_base=False)
    assert replies == [NOT_TOLD, PASSED_ON, PASSED_ON]


@pytest.mark.slow
def test_the_note_that_was_nearly_written_is_found_too(bundled_folder: Path) -> None:
    """The primer with the facts in its prompt stands in for a trained memory."""
    base = load(bundled_folder, ref=primers.BUNDLED_REF, device="cpu", dtype="float32")
    told = ["Your dog's name is Buddy.", "Your dog's breed is a beagle."]
    system = {"role": "system", "content": system_prompt("Hippo", told)}
    asked = ("Tell me about my dog.", "What is my dog's name?")
    texts = [prompt(base, [system, {"role": "user", "content": one}]) for one in asked]
    unsure, sure = each(base, primers.SHIPPED, texts, lambda model, batch: recollected(base, model, batch, 40), None)
    assert {one.note for one in unsure.notes} == set(told)
    assert [one.note for one in sure.notes] == [told[0]]
    assert all(log(OTHER_FROM) <= one.recalled < 0 for one in (*unsure.notes, *sure.notes))
