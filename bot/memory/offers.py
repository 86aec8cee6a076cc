"""What was put to a user and waits for them: a question, a fact said in passing, an undo of many facts.

Buttons carry an offer's number alone. At most one offer a user expects the next message as its answer.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bot.memory.records import Offer

if TYPE_CHECKING:
    from bot.memory.store import Connection

EXPECTING = ("question", "awaited")  # answered by the user's next message


class Offers:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, user_id: str, kind: str, payload: dict[str, Any], ttl_seconds: float) -> int:
        """Stores an offer and returns its number; one that expects an answer takes the place of the one before."""
        row = {
            "user_id": user_id,
            "kind": kind,
            "payload": json.dumps(payload, ensure_ascii=False),
            "created": self._connection.now(),
            "expires": self._connection.now(ttl_seconds),
        }
        with self._connection.transaction():
            if kind in EXPECTING:
                self.cancel_expected(user_id)
            return self._connection.insert("offers", row)

    def expected(self, user_id: str) -> Offer | None:
        """The offer whose answer the next message is."""
        row = self._connection.row(
            "select id, kind, payload from offers where user_id = ? and kind in ('question', 'awaited') "
            "and expires > ?",
            *(user_id, self._connection.now()),
        )
        return _offer(row) if row else None

    def cancel_expected(self, user_id: str) -> None:
        if self._connection.row(
            "select 1 from offers where user_id = ? and kind in ('question', 'awaited')", user_id
        ):  # no write where there is nothing to do
            with self._connection.transaction() as db:
                db.execute("delete from offers where user_id = ? and kind in ('question', 'awaited')", [user_id])

    def take(self, user_id: str, offer_id: int, kind: str) -> Offer | None:
        """Removes the offer and returns it; None where it is another's, used, or too old."""
        with self._connection.transaction() as db:
            row = self._connection.row(
                "select id, kind, payload from offers where id = ? and user_id = ? and kind = ? and expires > ?",
                *(offer_id, user_id, kind, self._connection.now()),
            )
            if row is None:
                return None
            db.table("offers").delete(offer_id)
        return _offer(row)

    def expire(self) -> int:
        with self._connection.transaction() as db:
            return int(db.execute("delete from offers where expires <= ?", [self._connection.now()]).rowcount)


def _offer(row: dict[str, Any]) -> Offer:
    return Offer(row["id"], row["kind"], json.loads(row["payload"]))
