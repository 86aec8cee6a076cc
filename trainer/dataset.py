"""What one user's adapter is trained on and checked with: examples, holdouts, negatives, replay."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """One training example. Only `completion` (and the end-of-turn token after it) is supervised.

    `kind` is one of recall, combined, never_told, pending, identity, general.
    """

    system: str
    user: str
    completion: str
    kind: str
