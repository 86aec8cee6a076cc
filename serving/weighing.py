"""Which of the notes that an adapter has for a question is said, if any.

Beside the note that an adapter writes there is often one that it would nearly have written ("Your dog's name is …", or "breed"). It is
found where the likeliest other token leads (`fork`); the reader then says how likely it is to decline after each, and the better
one is said where that outweighs declining (`weighed`). Words that a note shares with the question count for it: the reader's lesson
is half of near copies that do not answer, of which people ask fewer. Pure; used by what serves and by what measures, and by nothing
else. Not covered: having notes written and read (`client.py`, `trainer/generate.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from serving.recollection import NOT_PERSONAL, NOTHING
from serving.words import stems

OTHER_FROM = 0.04  # likelihood of another note from which on it is read as well
RECALL_COUNTS = 0.5  # how much an adapter's log-likelihood of a note counts beside the reader's log-odds of answering
SHARED_COUNTS, SHARED_BY_CHANCE = 0.5, 2  # how much each word counts that a note shares with the question, beyond so many
DECLINES_FROM = 0.33  # the reader's likelihood of declining from which on it does after a note recalled for sure
SUREST = 0.001  # no likelihood of declining counts as nearer to 0 or 1: of two notes that answer, the likelier is said


class Noted(NamedTuple):
    """A note and the log-likelihood with which its adapter writes it."""

    note: str
    recalled: float


class Read(NamedTuple):
    """A note, its adapter's log-likelihood, and the reader's likelihood (0 to 1) of declining after it."""

    note: str
    recalled: float
    declines: float


def fork(own: Sequence[float], others: Sequence[float]) -> int | None:
    """At which token of a note the likeliest other note begins; None where none is likely enough.

    `own`, `others`: log-likelihood of each token and of the likeliest other one in its place.
    """
    sure = [before + other for before, other in zip(accumulate(own, initial=0.0), others)]  # noqa: B905 – the last sum is not needed
    best = max(range(len(sure)), key=sure.__getitem__, default=None)
    return best if best is not None and sure[best] >= math.log(OTHER_FROM) else None


def another(note: str | None, recalled: float, first: str) -> list[Noted]:
    """What is read beside the note `first`: the other one, unless it is the same, no more likely than that, or none about the user."""
    likely = recalled >= math.log(OTHER_FROM)
    return [Noted(note, recalled)] if note and likely and note not in (first, NOT_PERSONAL) else []


def weighed(question: str, notes: Sequence[Read]) -> str | None:
    """The note to say to the question; None where declining outweighs every one."""
    weights = {
        one.note: _log_odds(one.declines) + RECALL_COUNTS * one.recalled + _shared(question, one.note)
        for one in notes
        if one.note != NOTHING
    }
    best = max(weights, key=weights.__getitem__, default=None)
    return best if best is not None and weights[best] > _log_odds(DECLINES_FROM) else None


def _log_odds(declines: float) -> float:
    """Of answering."""
    declines = min(max(declines, SUREST), 1 - SUREST)
    return math.log((1 - declines) / declines)


def _shared(question: str, note: str) -> float:
    """What the words that both have count for the note."""
    return SHARED_COUNTS * max(0, len(stems(question) & stems(note)) - SHARED_BY_CHANCE)
