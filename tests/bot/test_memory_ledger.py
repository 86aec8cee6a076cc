"""Costs added up: over whole days and the rest of the first one, whatever was booked before sums were kept."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlite_utils import Database

from bot import replies
from bot.memory import Memory
from bot.memory.migrations import migrations

DAY_SECONDS = 86_400.0
PEOPLE = 5_000
NIGHTS = 40


def book(db: Database, user_id: str, created: datetime, seconds: float = 2.0, kind: str = "training") -> None:
    row = {"user_id": user_id, "kind": kind, "device": "cpu", "seconds": seconds, "tokens": 3}
    db.table("ledger").insert(
        {
            **row,
            "rate_usd_per_hour": 1.0,
            "cost_usd": seconds / 3600,
            "created": created.isoformat(timespec="milliseconds"),
        }
    )


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    """A file of the schema before sums were kept."""
    before = Database(tmp_path / "hippo.db")
    migrations.apply(before, stop_before="m005_sums_of_the_ledger")
    yield before
    before.close()


@pytest.mark.parametrize("days", [0.01, 1.0, 2.5, 30.0])
def test_totals_are_those_of_the_entries_one_by_one(tmp_path: Path, db: Database, days: float) -> None:
    rng, now = random.Random(days), datetime.now(UTC)
    people = [f"u{number}" for number in range(6)]
    db.table("users").insert_all({"id": one, "assistant_name": "Hippo", "created": "2025"} for one in people)
    booked = []

    def some(count: int) -> None:
        for _ in range(count):
            age, kind = timedelta(days=rng.uniform(0, 2 * days)), rng.choice(["training", "serving"])
            booked.append((rng.choice(people), now - age, rng.uniform(1, 9), kind))
            book(db, *booked[-1])

    some(150)
    db.conn.commit()
    with closing(Memory.open(tmp_path / "hippo.db")) as memory:
        some(150)
        db.conn.commit()
        memory.delete_user("u5")
        totals = {line.kind: line for line in memory.ledger.totals(days * DAY_SECONDS)}
    since = now - timedelta(days=days)
    for kind in ("training", "serving"):
        within = [(who, seconds) for who, created, seconds, of in booked if of == kind and created >= since]
        assert totals[kind].entries == len(within)
        assert totals[kind].users == len({who for who, _ in within if who != "u5"})
        assert totals[kind].seconds == pytest.approx(sum(seconds for _, seconds in within))
        assert totals[kind].cost_usd == pytest.approx(sum(seconds for _, seconds in within) / 3600)
        assert totals[kind].tokens == 3 * len(within)


@pytest.mark.slow
def test_a_month_of_many_peoples_nights_is_added_up_quickly_and_said_in_a_few_lines(
    tmp_path: Path, db: Database
) -> None:
    db.execute("pragma synchronous = off")
    now = datetime.now(UTC)
    with db.conn:
        db.table("users").insert_all(
            {"id": f"{number:016x}", "assistant_name": "Hippo", "created": "2025"} for number in range(PEOPLE)
        )
        db.conn.executemany(
            "insert into ledger (user_id, kind, device, seconds, tokens, rate_usd_per_hour, cost_usd, created) "
            "values (?, 'training', 'cpu', 4.0, 0, 0.1, 0.0001, ?)",
            [
                (f"{number:016x}", (now - timedelta(days=night, minutes=-1)).isoformat(timespec="milliseconds"))
                for night in range(NIGHTS, 0, -1)
                for number in range(PEOPLE)
            ],
        )
    with closing(Memory.open(tmp_path / "hippo.db")) as memory:
        took = []
        for _ in range(5):
            started = time.perf_counter()
            lines = memory.ledger.totals(30 * DAY_SECONDS)
            took.append(time.perf_counter() - started)
    assert lines[0].entries == 30 * PEOPLE
    assert lines[0].users == PEOPLE
    assert min(took) < 0.02  # entry by entry it is five times that
    assert len(replies.cost([("Last 30 days", lines)])) < 200
