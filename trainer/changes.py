"""Which facts are no longer true by what was told since, as the primer reads them.

`bot/fact_changes.py` sees changes by rules when a fact is told. What it does not see ("my record is 148", later "171 on the board
last Friday!") the primer is asked before training, of each fact and the earlier ones that sound most like it; it learns that from the
corpus (`change_examples`), beside its other lessons. Not covered: the store, which keeps both.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest

from bot.facts import Fact
from serving import primers
from trainer.base import LoadedBase
from trainer.dataset import Example
from trainer.generate import Conversation, leanings, prompt
from trainer.notes import stems
from trainer.primer import start_folder
from trainer.recipes import Recipe

JUDGE = "Does what I say now take the place of what I said before?"
CHANGED, STILL_TRUE = "Yes.", "No."
ASKED_ABOUT = 8  # older facts of each, so that many facts take no longer than they must
SURE = 0.1  # from which on a fact is left out; of 144 kept-out pairs that stand beside each other none had more


def change_example(before: str, now: str, changed: bool) -> Example:
    return Example(JUDGE, _both(before, now), CHANGED if changed else STILL_TRUE, "change")


def still_true(base: LoadedBase, recipe: Recipe, facts: Sequence[Fact]) -> list[Fact]:
    """`facts`, in the order told, without those that a later one takes the place of; all of them where no primer can tell."""
    folder = start_folder(base, recipe)
    if folder is None or not primers.described(folder).get("sees_changes"):
        return list(facts)
    pairs = [(old, new) for new in range(len(facts)) for old in _alike(facts, new)]
    if not pairs:
        return list(facts)
    asked: list[Conversation] = [
        [{"role": "system", "content": JUDGE}, {"role": "user", "content": _both(facts[old].text, facts[new].text)}]
        for old, new in pairs
    ]
    sure = leanings(base, folder, [prompt(base, one) for one in asked], CHANGED, STILL_TRUE)
    gone = {old for (old, _), share in zip(pairs, sure, strict=True) if share >= SURE}
    return [fact for at, fact in enumerate(facts) if at not in gone]


def _alike(facts: Sequence[Fact], new: int) -> list[int]:
    """Which facts told before have the most words in common with this one, as far as there are any."""
    own = stems(facts[new].text)
    shared = {old: len(own & stems(facts[old].text)) for old in range(new)}
    return [old for old in nlargest(ASKED_ABOUT, shared, key=shared.__getitem__) if shared[old]]


def _both(before: str, now: str) -> str:
    return f"Before: {before}\nNow: {now}"
