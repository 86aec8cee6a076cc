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
    most = max(len(wanted & one) for one in held)
    if not most:
        return rng.choice(notes)
    near = [(len(words), note) for note, words in zip(notes, held, strict=True) if len(wanted & words) == most]
    fewest = min(count for count, _ in near)
    return rng.choice([note for count, note in near if count == fewest])
