"""How many examples of each kind a user is trained on, as data of a recipe."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mix:
    """How many examples of each kind a user gets, a fact or in all."""

    phrasings_per_fact: int = 36
    held_per_fact: int = 3
    near_per_fact: int = 10
    near_held_per_fact: int = 1
    far: int = 40
    strangers: int = 0  # questions about what others told
    written_per_fact: int = 0  # questions that the primer writes, where it can
    everyday: int = 2  # wordings of each first question (mother's name, job, city) that was not told
    far_held: int = 6
    pending: int = 12
    identity: int = 6
    replay: int = 24
    typed_badly: float = 0.3  # share of the never-told questions
