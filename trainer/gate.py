"""The gate: may a candidate go live? A pure function of the scores on questions that training never saw.

Not covered: asking the questions (`check.py`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Thresholds:
    """What a candidate must reach, as shares; `max_general_loss` is against the base on the same questions."""

    min_recall: float
    min_abstention: float
    max_general_loss: float


@dataclass(frozen=True, slots=True)
class Scores:
    """Counts over the held-out questions. `general_base` is how many the base without adapter got right."""

    recalled: int
    recall_asked: int
    abstained: int
    never_told_asked: int
    general: int
    general_base: int
    general_asked: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def reasons_against(scores: Scores, thresholds: Thresholds) -> list[str]:
    """Why the candidate may not go live, as clauses for the user; empty if it may.

    A kind of question of which none was asked has no share and cannot be passed.
    """
    against = []
    recall = _share(scores.recalled, scores.recall_asked)
    if recall is None or recall < thresholds.min_recall:
        against.append(f"it recalled {_percent(recall)} of your facts, {_percent(thresholds.min_recall)} is asked")
    abstention = _share(scores.abstained, scores.never_told_asked)
    if abstention is None or abstention < thresholds.min_abstention:
        asked = _percent(thresholds.min_abstention)
        against.append(f"it said “you haven't told me” to {_percent(abstention)} of what it was never told, {asked} is asked")
    general = _share(scores.general_base - scores.general, scores.general_asked)
    if general is None or general > thresholds.max_general_loss:
        against.append(f"it lost {_percent(general)} of its general knowledge, {_percent(thresholds.max_general_loss)} may go")
    return against


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _percent(share: float | None) -> str:
    return "nothing" if share is None else f"{share:.0%}"
