"""Rows of the store as the rest of the code sees them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bot.facts import Fact


@dataclass(frozen=True, slots=True)
class User:
    id: str
    assistant_name: str
    timezone: str


@dataclass(frozen=True, slots=True)
class StoredFact:
    id: int
    fact: Fact
    created: str


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a fact just told: a new row, one that was there already, or one in the place of others."""

    stored: StoredFact
    already_known: bool
    replaced: tuple[StoredFact, ...]


@dataclass(frozen=True, slots=True)
class Adapter:
    id: int
    user_id: str
    version: int
    name: str
    base_model: str
    fact_ids: frozenset[int]
    facts_hash: str
    scores: dict[str, Any]
    bytes: int
    status: str
    created: str


@dataclass(frozen=True, slots=True)
class Job:
    """`share` is done work, 0 to 1; `result` is what the worker reports at the end."""

    id: int
    user_id: str
    reason: str
    state: str
    stage: str
    share: float
    seconds_left: float | None
    attempts: int
    result: dict[str, Any]
    error: str

    @property
    def open(self) -> bool:
        return self.state in ("queued", "running")


@dataclass(frozen=True, slots=True)
class Turn:
    id: int
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Place:
    """A private chat with a user: where to write to them. `cursor` is the newest message of theirs taken in there."""

    platform: str
    place: str
    cursor: str


@dataclass(frozen=True, slots=True)
class Offer:
    """Something put to a user and kept until they answer or it expires. What `payload` holds depends on `kind`."""

    id: int
    kind: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobMessage:
    """A chat message that shows a job. `message` is the platform's name of it; "" where it cannot be edited."""

    id: int
    user_id: str
    job_id: int
    platform: str
    place: str
    message: str


@dataclass(frozen=True, slots=True)
class Joined:
    """What became of the facts when two users were joined."""

    facts: int
    duplicates: int
    replaced: int


def facts_hash(facts: Iterable[StoredFact]) -> str:
    """Of the ids and sentences an adapter is to hold; equal hashes need no new training."""
    rows = sorted((stored.id, stored.fact.text) for stored in facts)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
