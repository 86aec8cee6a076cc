"""Which facts are no longer true by what was told since, as the primer reads them.

`bot/fact_changes.py` sees changes by rules when a fact is told. What it does not see ("my record is 148", later "171 on the board
last Friday!") is looked for before training, among each fact and the earlier ones that sound most like it. Either the primer says
that it takes the place of the earlier one, which it learns from the corpus (`change_tasks.py`; for the bundled base a later primer
than the one that reads does it); or both share words and hold other numbers, and the primer, reading, answers from each what may be
asked about the other. Not covered: the store, which keeps both.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nlargest
from pathlib import Path
from typing import NamedTuple

from bot.fact_changes import count_other_things, numbers, of_other_days
from bot.facts import Fact
from serving import primers
from serving.prompts import DEFAULT_ASSISTANT_NAME, system_prompt
from serving.recollection import DECLINES, begun
from serving.words import stems
from trainer.base import LoadedBase
from trainer.dataset import Example
from trainer.decoding import leanings, likelihoods, prompt
from trainer.phrasings import answer
from trainer.primer import start_folder
from trainer.recipes import Recipe

JUDGE = "Does what I say now take the place of what I said before?"
CHANGED, STILL_TRUE = "Yes.", "No."
ASKED_ABOUT = 8  # older facts of each, so that many facts take no longer than they must
SURE = 0.3  # how likely the primer must find it that one takes the place of the other
ANSWERED = 0.5  # share of the questions about either of two facts with other numbers that the other one answers
QUESTIONS = 12  # about each fact
SHARED_WORDS = 2  # beside the numbers


class Pair(NamedTuple):
    """Two facts by their places among all."""

    old: int
    new: int


def change_example(before: str, now: str, changed: bool) -> Example:
    return Example(JUDGE, _both(before, now), CHANGED if changed else STILL_TRUE, "change")


def outdated(base: LoadedBase, recipe: Recipe, facts: Sequence[Fact], questions: Sequence[Sequence[str]]) -> frozenset[int]:
    """Places of the facts, in the order told, that a later one takes the place of; none where no primer can tell.

    `questions`: what may be asked about each fact; without any, numbers tell nothing.
    """
    folder = primers.find(base.ref, base.path) if start_folder(base, recipe) else None
    judge = primers.judge_of_changes(folder) if folder else None
    if folder is None or judge is None:
        return frozenset()
    pairs = [Pair(old, new) for new in range(len(facts)) for old in _alike(facts, new)]
    gone = {pair.old for pair in _judged(base, judge, facts, pairs)}
    left = [pair for pair in pairs if not gone & set(pair) and may_count_anew(facts[pair.old].text, facts[pair.new].text)]
    return frozenset(gone | {pair.old for pair in _answering_the_same(base, folder, facts, questions, left)})


def _judged(base: LoadedBase, judge: Path, facts: Sequence[Fact], pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs of which the judge says that the newer fact takes the place of the older one."""
    if not pairs:
        return []
    texts = [
        prompt(base, [{"role": "system", "content": JUDGE}, {"role": "user", "content": _both(facts[old].text, facts[new].text)}])
        for old, new in pairs
    ]
    sure = leanings(base, judge, texts, CHANGED, STILL_TRUE)
    return [pair for pair, share in zip(pairs, sure, strict=True) if share >= SURE]


def _answering_the_same(
    base: LoadedBase, folder: Path, facts: Sequence[Fact], questions: Sequence[Sequence[str]], pairs: Sequence[Pair]
) -> list[Pair]:
    """The pairs of which each fact answers what may be asked about the other, of the questions that its own answers."""
    if not pairs or not questions:
        return []
    system = {"role": "system", "content": system_prompt(DEFAULT_ASSISTANT_NAME, [])}
    asked = {at: questions[at][:QUESTIONS] for pair in pairs for at in pair}
    reads = list(dict.fromkeys(read for old, new in pairs for read in ((old, old), (new, new), (old, new), (new, old))))
    texts = [
        prompt(base, [system, {"role": "user", "content": one}]) + begun(answer(facts[by]))
        for about, by in reads
        for one in asked[about]
    ]
    declined = iter(likelihoods(base, folder, texts, DECLINES))
    answers = {(about, by): [1 - next(declined) for _ in asked[about]] for about, by in reads}

    def share(about: int, by: int) -> float:
        fair = [said for said, own in zip(answers[about, by], answers[about, about], strict=True) if own > 0.5]
        return sum(fair) / len(fair) if fair else 0.0

    return [pair for pair in pairs if share(pair.old, pair.new) + share(pair.new, pair.old) >= 2 * ANSWERED]


def may_count_anew(one: str, other: str) -> bool:
    """Whether two statements of the same thing and occasion hold other numbers."""
    mine, theirs = numbers(one), numbers(other)
    if not mine or not theirs or mine == theirs:
        return False
    shared = {stem for stem in stems(one) & stems(other) if not stem[0].isdigit()}
    return len(shared) >= SHARED_WORDS and not of_other_days(one, other) and not count_other_things(one, other)


def _alike(facts: Sequence[Fact], new: int) -> list[int]:
    """Which facts told before have the most words in common with this one, as far as there are any."""
    own = stems(facts[new].text)
    shared = {old: len(own & stems(facts[old].text)) for old in range(new)}
    return [old for old in nlargest(ASKED_ABOUT, shared, key=shared.__getitem__) if shared[old]]


def _both(before: str, now: str) -> str:
    return f"Before: {before}\nNow: {now}"
