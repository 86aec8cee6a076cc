"""What is no longer true by what was told later is left out of a training; what stands beside it stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.fact_changes import replaces
from bot.facts import Fact, understand
from serving.primers import BUNDLED_REF
from trainer.base import LoadedBase, load
from trainer.changes import still_true
from trainer.recipes import RECIPES

TOLD = ("I weigh 92 kilos", "I play tennis on Mondays", "my dog is called Tom", "I swim on Tuesdays", "my dog loves cheese")


def facts(*told: str) -> list[Fact]:
    return [fact for one in told for fact in understand(one)]


@pytest.mark.slow
def test_the_primer_sees_a_change_that_no_rule_sees(bundled_folder: Path) -> None:
    base = load(bundled_folder, ref=BUNDLED_REF, device="cpu", dtype="bfloat16")
    older, newer = facts(*TOLD), facts("the scales said 88 kilos this morning")
    assert not any(replaces(newer[0], old) for old in older)
    assert still_true(base, RECIPES["default"], older) == older
    assert still_true(base, RECIPES["default"], [*older, *newer]) == [*older[1:], *newer]
    assert still_true(base, RECIPES["paper"], [*older, *newer]) == [*older, *newer], "there is no primer to ask"


def test_without_a_primer_all_is_taken_for_true(small_base: LoadedBase) -> None:
    told = facts("I weigh 92 kilos", "the scales said 88 kilos this morning")
    assert still_true(small_base, RECIPES["default"], told) == told
