"""The lesson on changes: which pairs take the place of each other and which stand beside each other, and where they come from."""

from __future__ import annotations

import random

from trainer.change_tasks import Three, change_examples, split_threes, threes
from trainer.changes import CHANGED, STILL_TRUE
from trainer.primer_tasks import Item


def told(said: str, changed: str = "") -> Item:
    note = f"You said: {said}"
    return Item([note], [note], [[("What?", note)]], [], [("What?", note)], ["Where?"], [], [(said, "What?")], changed=changed)


CHANGES = [told(f"now {n}", changed=f"once {n}") for n in range(9)]
GROUP = Item(["a", "b"], ["a", "b"], [[], []], [], [("q", "a")], ["x"], [], [("first", "q"), ("second", "r")], grouped=True)
THREES = [Three(f"before {n}", f"later {n}", f"beside {n}") for n in range(9)]


def test_a_third_of_the_pairs_are_changes_and_the_rest_stand_beside_each_other() -> None:
    examples = change_examples([*CHANGES, GROUP], [], 300, random.Random(0))
    changed = [one for one in examples if one.completion == CHANGED]
    assert 70 < len(changed) < 130
    assert all(one.user.startswith("Before: once ") and "\nNow: now " in one.user for one in changed)
    assert {one.user for one in examples if one.completion == STILL_TRUE} == {"Before: first\nNow: second"}


def test_of_a_three_only_what_is_so_now_takes_the_place_of_what_was_before() -> None:
    examples = change_examples([], THREES, 600, random.Random(0))
    assert len(examples) == 600
    changed = {one.user for one in examples if one.completion == CHANGED}
    assert changed == {f"Before: before {n}\nNow: later {n}" for n in range(9)}
    still = {one.user for one in examples if one.completion == STILL_TRUE}
    assert not still & changed
    assert {"Before: before 1\nNow: beside 1", "Before: later 1\nNow: beside 1", "Before: beside 1\nNow: later 1"} <= still


def test_items_and_threes_are_mixed() -> None:
    users = [one.user for one in change_examples([*CHANGES, GROUP], THREES, 400, random.Random(1))]
    from_items = sum("first" in user or "once" in user for user in users)
    assert 100 < from_items < 220


def test_no_three_is_both_learned_from_and_kept_out() -> None:
    learned, kept_out = split_threes()
    assert len(learned) + len(kept_out) == len(threes()) == len(set(threes()))
    assert len(threes()) / 20 < len(kept_out) < len(threes()) / 5
    assert all(one.before != one.now and one.before != one.beside for one in threes())
