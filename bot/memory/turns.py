"""Recent chat turns, kept for a while so that a conversation holds together; and messages still to be answered."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from bot.memory.records import Turn

if TYPE_CHECKING:
    from bot.memory.store import Connection


class Turns:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def keep_message(self, user_id: str, content: str, ttl_seconds: float, source_key: str | None = None) -> int | None:
        """Stores a user's message as waiting for its answer. None: this `source_key` was stored before."""
        row = {
            "user_id": user_id,
            "role": "user",
            "content": content,
            "state": "waiting",
            "source_key": source_key,
            "created": self._connection.now(),
            "expires": self._connection.now(ttl_seconds),
        }
        try:
            with self._connection.transaction():
                return self._connection.insert("turns", row)
        except sqlite3.IntegrityError:
            if source_key is None:
                raise
            return None

    def answer(self, user_id: str, turn_id: int, reply: str, ttl_seconds: float) -> None:
        """Stores the reply to a waiting message. One deleted meanwhile (/forget, /delete_me) or answered gets none."""
        with self._connection.transaction() as db:
            found = db.execute(
                "update turns set state = 'said' where id = ? and user_id = ? and state = 'waiting'", [turn_id, user_id]
            )
            if found.rowcount != 1:
                return
            db.table("turns").insert(
                {
                    "user_id": user_id,
                    "role": "assistant",
                    "content": reply,
                    "state": "said",
                    "created": self._connection.now(),
                    "expires": self._connection.now(ttl_seconds),
                }
            )

    def reply_to(self, source_key: str) -> str | None:
        """The reply given to a message, by the platform's id of it; None where there is none (yet)."""
        row = self._connection.row(
            """select answer.content from turns as message join turns as answer
               on answer.user_id = message.user_id and answer.id > message.id and answer.role = 'assistant'
               where message.source_key = ? and message.state = 'said' order by answer.id limit 1""",
            source_key,
        )
        return str(row["content"]) if row else None

    def recent(self, user_id: str, limit: int) -> list[Turn]:
        """The last answered turns that have not expired, oldest first."""
        rows = self._connection.rows(
            "select id, role, content from turns where user_id = ? and state = 'said' and expires > ? "
            "order by id desc limit ?",
            *(user_id, self._connection.now(), limit),
        )
        return [Turn(**row) for row in reversed(rows)]

    def waiting(self, user_id: str | None = None) -> list[tuple[str, Turn]]:
        """(user id, message) of every message not answered yet, oldest first; of one user where given."""
        rows = self._connection.rows(
            "select user_id, id, role, content from turns where state = 'waiting' and (? is null or user_id = ?) "
            "order by id",
            *(user_id, user_id),
        )
        return [(row["user_id"], Turn(row["id"], row["role"], row["content"])) for row in rows]

    def clear(self, user_id: str) -> None:
        with self._connection.transaction() as db:
            db.execute("delete from turns where user_id = ?", [user_id])

    def expire(self) -> int:
        """Deletes turns past their time to live; returns how many. Waiting messages stay until answered."""
        with self._connection.transaction() as db:
            return int(
                db.execute("delete from turns where expires <= ? and state = 'said'", [self._connection.now()]).rowcount
            )
