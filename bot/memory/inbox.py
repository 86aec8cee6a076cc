"""Updates from the platforms: each is handled once, and one that was taken in is not lost if the process dies.

A handled update keeps its key alone, for as long as a platform may send it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.memory.store import Connection

KEEP_SECONDS = 2 * 86_400.0  # Telegram sends an update again for a day


class Inbox:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take_in(self, platform: str, key: str, payload: str | None) -> bool:
        """Stores an update under the platform's id of it. False: it was taken in before.

        `payload`: what is needed to handle it after a restart; None where it could not be answered then.
        """
        with self._connection.transaction() as db:
            return bool(
                db.execute(
                    "insert or ignore into inbox (key, platform, payload, created, expires) values (?, ?, ?, ?, ?)",
                    [key, platform, payload, self._connection.now(), self._connection.now(KEEP_SECONDS)],
                ).rowcount
            )

    def done(self, keys: Sequence[str]) -> None:
        """The updates have been handled; their texts go."""
        with self._connection.transaction() as db:
            db.conn.executemany("update inbox set payload = null where key = ?", [[key] for key in keys])

    def waiting(self, platform: str) -> list[str]:
        """Payloads of updates taken in and not handled, oldest first."""
        rows = self._connection.rows(
            "select payload from inbox where platform = ? and payload is not null order by rowid", platform
        )
        return [row["payload"] for row in rows]

    def expire(self) -> int:
        with self._connection.transaction() as db:
            return int(
                db.execute(
                    "delete from inbox where expires <= ? and payload is null", [self._connection.now()]
                ).rowcount
            )
