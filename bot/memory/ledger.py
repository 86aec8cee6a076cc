"""What training and serving cost, in seconds, tokens and dollars."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.memory.store import Connection

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class CostLine:
    """A sum over entries of one kind since a moment."""

    kind: str
    entries: int
    users: int
    seconds: float
    tokens: int
    cost_usd: float


class Ledger:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        user_id: str,
        kind: str,
        *,
        job_id: int | None = None,
        device: str = "",
        seconds: float = 0.0,
        tokens: int = 0,
        rate_usd_per_hour: float = 0.0,
    ) -> float:
        """Books seconds of a device at a rate; returns the dollars."""
        cost_usd = seconds * rate_usd_per_hour / SECONDS_PER_HOUR
        row = {
            "user_id": user_id,
            "job_id": job_id,
            "kind": kind,
            "device": device,
            "seconds": seconds,
            "tokens": tokens,
            "rate_usd_per_hour": rate_usd_per_hour,
            "cost_usd": cost_usd,
            "created": self._connection.now(),
        }
        with self._connection.transaction() as db:
            db.table("ledger").insert(row)
        return cost_usd

    def totals(self, since_seconds: float) -> list[CostLine]:
        """Sums a kind over the last `since_seconds`, all users: whole days, and the entries of the first day's rest."""
        since = self._connection.now(-since_seconds)
        day = since[:10]
        rows = self._connection.rows(
            """select kind, sum(entries) as entries,
                 (select count(*) from ledger_users where kind = spans.kind and latest >= ?) as users,
                 sum(seconds) as seconds, sum(tokens) as tokens, sum(cost_usd) as cost_usd
               from (select kind, entries, seconds, tokens, cost_usd from ledger_days where day > ?
                     union all
                     select kind, count(*), sum(seconds), sum(tokens), sum(cost_usd) from ledger
                       where created >= ? and created < date(?, '+1 day') group by kind) as spans
               group by kind order by kind desc""",
            *(since, day, since, day),
        )
        return [CostLine(**row) for row in rows]
