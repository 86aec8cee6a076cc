"""A store filled as after a good year: many people, many facts, most of them learned. For load tests.

Rows are written in bulk; what they hold is what the commands would have written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from bot.facts import Fact
from bot.memory import Memory
from bot.memory.records import StoredFact, facts_hash

FIRST_PERSON_ID = 1_000_000  # on the platform
PRIVATE_CHATS = {"discord": 5000, "telegram": 0}  # the number of a private chat, less its person's id
FIRST_MESSAGE = {"discord": "1", "telegram": ""}
CREATED = "2026-01-01T00:00:00.000+00:00"
LEDGER_DAYS = 30  # a training a night, each
LEDGER_ROW = {"kind": "training", "device": "cpu", "seconds": 4.0, "tokens": 0, "rate_usd_per_hour": 0.1}
MARKER = "my locker code is {marker}"
FILLER = ("my {nth} cousin is Robin", "the {nth} book on my shelf is about sailing", "I own {n} blue pencils")
UNLEARNED_SHARE = 6  # one fact in so many is still pending


def marker(person: int) -> str:
    """Words that only this person's chat may hold."""
    return f"zq{person:06d}x"


def platform_id(person: int) -> int:
    return FIRST_PERSON_ID + person


def fill(path: Path, people: int, facts_each: int, platform: str) -> None:
    """Makes the store. Each person's first fact carries their marker and is pending, as is a sixth of the others."""
    Memory.open(path).close()  # the schema
    db = Database(path)
    db.execute("pragma synchronous = off")
    with db.conn:
        db.table("users").insert_all(
            {"id": user_id(person), "assistant_name": "Hippo", "created": CREATED} for person in range(people)
        )
        db.table("identities").insert_all(
            {
                **{"platform": platform, "platform_user_id": str(platform_id(person)), "user_id": user_id(person)},
                **{"place": _private_chat(platform, person), "cursor": FIRST_MESSAGE[platform], "seen": CREATED},
            }
            for person in range(people)
        )
        db.table("facts").insert_all(_facts(people, facts_each), batch_size=5000)
        db.table("adapters").insert_all(_adapters(people, facts_each), batch_size=1000)
        db.table("ledger").insert_all(_ledger(people), batch_size=5000)
    db.execute("analyze")
    db.close()


def _private_chat(platform: str, person: int) -> str:
    return str(platform_id(person) + PRIVATE_CHATS[platform])


def _ledger(people: int) -> Iterator[dict[str, Any]]:
    """The costs of the last month's nights."""
    now = datetime.now(UTC)
    for day in range(LEDGER_DAYS, 0, -1):
        created = (now - timedelta(days=day, hours=-1)).isoformat(timespec="milliseconds")
        for person in range(people):
            yield {"user_id": user_id(person), "cost_usd": 0.0001, "created": created, **LEDGER_ROW}


def user_id(person: int) -> str:
    return f"{person:016x}"


def _sentence(person: int, number: int) -> str:
    if number == 0:
        return MARKER.format(marker=marker(person))
    return FILLER[number % len(FILLER)].format(nth=f"{number}th", n=number)


def _facts(people: int, each: int) -> Iterator[dict[str, Any]]:
    for person in range(people):
        for number in range(each):
            yield {
                "id": person * each + number + 1,
                "user_id": user_id(person),
                "text": _sentence(person, number),
                "subject": "locker code" if number == 0 else "",
                "attribute": "",
                "value": marker(person) if number == 0 else "",
                "status": "active",
                "created": CREATED,
            }


def _adapters(people: int, each: int) -> Iterator[dict[str, Any]]:
    for person in range(people):
        learned = [
            StoredFact(person * each + number + 1, Fact(_sentence(person, number)), CREATED)
            for number in range(1, each)
            if number % UNLEARNED_SHARE
        ]
        yield {
            "user_id": user_id(person),
            "version": 1,
            "name": f"{user_id(person)}-v1",
            "base_model": "bundled",
            "fact_ids": json.dumps([stored.id for stored in learned]),
            "facts_hash": facts_hash(learned),
            "status": "live",
            "created": CREATED,
        }
