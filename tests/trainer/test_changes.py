"""What is no longer true by what was told later is left out of a training; what stands beside it stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.fact_changes import numbers, replaces
from bot.facts import Fact, understand
from serving.primers import BUNDLED_REF, SHIPPED, judge_of_changes
from trainer.base import LoadedBase, fast_dtype, load
from trainer.changes import may_count_anew, outdated
from trainer.recipes import RECIPES
from trainer.writer import written

TOLD = ("I weigh 92 kilos", "I play tennis on Mondays", "my dog is called Tom", "I swim on Tuesdays", "my dog loves cheese")
COUNTED = (
    "I've been listing the mosses in the wood behind our house, and I have managed to find 16 kinds of moss so far.",
    "I've been pressing the ferns in the wood behind our house, and I have managed to press 9 ferns so far.",
    "I just found a silver moss in the wood behind our house last week, which brings my list to 21.",
)


def facts(*told: str) -> list[Fact]:
    return [fact for one in told for fact in understand(one)]


@pytest.mark.slow
def test_the_primer_sees_a_change_that_no_rule_sees(bundled_folder: Path) -> None:
    base = load(bundled_folder, ref=BUNDLED_REF, device="cpu", dtype=fast_dtype("cpu"))
    older, newer = facts(*TOLD), facts("the scales said 88 kilos this morning")
    assert not any(replaces(newer[0], old) for old in older)
    assert outdated(base, RECIPES["default"], older, []) == set()
    assert outdated(base, RECIPES["default"], [*older, *newer], []) == {0}
    assert outdated(base, RECIPES["paper"], [*older, *newer], []) == set(), "there is no primer to ask"


@pytest.mark.slow
def test_another_number_for_the_same_questions_is_a_change(bundled_folder: Path) -> None:
    base = load(bundled_folder, ref=BUNDLED_REF, device="cpu", dtype=fast_dtype("cpu"))
    told = facts(*COUNTED)
    recipe = RECIPES["default"]
    questions = written(base, recipe, [fact.text for fact in told], seed=0)
    assert not any(replaces(told[2], old) for old in told[:2])
    assert outdated(base, recipe, told, []) == set()
    assert outdated(base, recipe, told, questions) == {0}


def test_a_primer_judges_changes_itself_unless_another_stands_beside_it(tmp_path: Path) -> None:
    assert judge_of_changes(tmp_path) is None
    (tmp_path / "primer.json").write_text('{"sees_changes": true}')
    assert judge_of_changes(tmp_path) == tmp_path
    (tmp_path / "changes").mkdir()
    (tmp_path / "changes" / "primer.json").write_text('{"sees_changes": true}')
    assert judge_of_changes(tmp_path) == tmp_path / "changes"
    assert judge_of_changes(SHIPPED) == SHIPPED / "changes"


def test_without_a_primer_all_is_taken_for_true(small_base: LoadedBase) -> None:
    told = facts("I weigh 92 kilos", "the scales said 88 kilos this morning")
    assert outdated(small_base, RECIPES["default"], told, []) == set()


@pytest.mark.parametrize(
    ("one", "other", "may"),
    [
        ("I go jogging twice a week", "on days when I go jogging, three times a week, I sleep", True),
        ("I go jogging twice a week", "I go jogging every week", False),
        ("I've added 25 stamps to my collection", "I've added 20 postcards to my collection", False),
        ("I met Ines for lunch at 1 on Tuesday", "I met Ines for lunch at 2 on Friday", False),
    ],
)
def test_only_numbers_of_the_same_thing_and_occasion_may_have_changed(one: str, other: str, may: bool) -> None:
    assert may_count_anew(one, other) is may


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("I've read 12 books", {"12"}),
        ("my 5th project, at 6:30 pm or 7pm", {"5", "6:30", "7"}),
        ("seven of the 1,300 in two weeks.", {"7", "1300", "2"}),
        ("it cost $40.50, twice", {"40.50", "2"}),
        ("no number here", set()),
    ],
)
def test_numbers_are_compared_as_digits(text: str, found: set[str]) -> None:
    assert numbers(text) == found
