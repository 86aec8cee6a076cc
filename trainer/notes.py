"""Which note a reply goes by: a fact with those that are about the same, or the nearest where no fact answers.

The note stands before the reply (`serving/recollection.py`). Facts about the same stand in one note, in the order told, so that
an adapter need not tell them apart and the reader sees the newest beside the older ones. For a question about what was
never told it is the note with the most words in common, any of them where none has one: so recalling is one skill, and seeing
that what is recalled does not answer is another, which needs no user's facts to be learned.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from bot.facts import Fact, you_form
from bot.language import statement
from serving.recollection import NOTHING
from trainer.grading import words

STEM = 5  # letters that words are compared by
TOGETHER = 3  # facts in a note at most
ALIKE = 0.4  # share of telling words from which two facts are about the same
_QUESTION_WORDS = (
    "i me my mine you your am is are was were be been do does did have has had what who whose which where when why how many "
    "much long of to in on at for from with by and or it its im ive youre youve that this there can could would tell told "
    "remind know about call called name named"
)
_EMPTY = frozenset(_QUESTION_WORDS.split())
_LITTLE_SAID = (
    "just so some all any as but not no yes if then than too very really now new still also been being get got getting go going "
    "went gone make made take took use used want like love back up out off over after before since last next first one two "
    "about around every day week month year time thing lot more most much little well good great nice we us our they them their "
    "he him his she her hers who whom because while once again already usually always never often s t ve re ll d m"
)
_SAYING_LITTLE = frozenset(_LITTLE_SAID.split())
_SAME = {"old": "age", "year": "age", "birthday": "age", "born": "age"}


def note(fact: Fact) -> str:
    """A fact as it is recalled, in the second person."""
    return you_form(statement(fact.text))


def together(notes: Sequence[str]) -> list[str]:
    """For each fact's note, in the order told, the note of all that is about the same, itself included."""
    groups: list[list[int]] = []
    for at, one in enumerate(notes):
        fitting = [group for group in groups if len(group) < TOGETHER and any(_alike(one, notes[other]) for other in group)]
        if fitting:
            max(fitting, key=lambda group: max(_likeness(one, notes[other]) for other in group)).append(at)
        else:
            groups.append([at])
    joined = {at: " ".join(notes[other] for other in group) for group in groups for at in group}
    return [joined[at] for at in range(len(notes))]


def _alike(one: str, other: str) -> bool:
    return _likeness(one, other) >= ALIKE


def _likeness(one: str, other: str) -> float:
    """The share of the shorter one's telling words that the other has too."""
    mine, theirs = _about(one), _about(other)
    return len(mine & theirs) / max(1, min(len(mine), len(theirs)))


def _about(text: str) -> frozenset[str]:
    found = (word.removesuffix("s") for word in words(text) if word not in _EMPTY and word not in _SAYING_LITTLE)
    return frozenset(_SAME.get(word, word[:STEM]) for word in found)


def nearest(asked: str, notes: Sequence[str], rng: random.Random) -> str:
    """The note that shares the most words with what is asked; `NOTHING` where there are no notes."""
    if not notes:
        return NOTHING
    wanted = stems(asked)
    shared = [len(wanted & stems(one)) for one in notes]
    return rng.choice([one for one, count in zip(notes, shared, strict=True) if count == max(shared)])


def stems(text: str) -> frozenset[str]:
    return frozenset(word[:STEM] for word in words(text) if word not in _EMPTY)
