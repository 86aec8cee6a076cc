"""After an adapter's note the primer reads it, and looks once more before it declines."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving import primers
from serving.prompts import system_prompt
from serving.recollection import declines
from trainer.base import load
from trainer.generate import PASSED_ON, settled


@pytest.mark.slow
def test_a_general_question_that_a_fact_was_recalled_for_is_passed_on(bundled_folder: Path) -> None:
    base = load(bundled_folder, ref=primers.BUNDLED_REF, device="cpu", dtype="float32")
    system = {"role": "system", "content": system_prompt("Hippo", [])}
    asked = ("What is the capital of France?", "What's the name of my cat?", "What's my dog called?")
    conversations = [[system, {"role": "user", "content": one}] for one in asked]
    notes = ["Noted: Your dog's name is Buddy."] * len(asked)
    general, not_told, told = settled(base, conversations, notes, 24, primers.SHIPPED, ask_base=False)
    assert general == PASSED_ON
    assert declines(not_told)
    assert "Buddy" in told
