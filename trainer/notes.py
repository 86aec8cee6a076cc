"""Which fact a reply goes by where none answers: the one nearest to the question.

A fact's note is its answer, and stands before the reply (`serving/recollection.py`). For a question about what was never told it
is the note with the most words in common, of several the shortest, so that an adapter is not torn between them ("Your dog's birthday
is …"); any where none has one: so recalling is one skill, and seeing that what is recalled does not answer is another, which needs no
user's facts to be learned.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from serving.recollection import NOTHING
from serving.words import stems


def nearest(asked: str, notes: Sequence[str], rng: random.Random) -> str:
    """The note that shares the most words with what is asked, the shortest of several; `NOTHING` where there are no notes."""
    if not notes:
        return NOTHING
    wanted = stems(asked)
    held = [stems(one) for one in notes]
    closeness = [(len(wanted & one), -len(one)) for one in held]
    best = max(closeness)
    return rng.choice([note for note, close in zip(notes, closeness, strict=True) if close == best or not best[0]])
