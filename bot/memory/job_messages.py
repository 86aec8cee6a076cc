"""Which chat messages show which jobs, so that they are kept up to date across restarts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.memory.records import JobMessage

if TYPE_CHECKING:
    from bot.memory.store import Connection


class JobMessages:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, user_id: str, job_id: int, platform: str, place: str, message: str) -> JobMessage:
        """`place`: the private chat where the end is told if the message cannot be edited (any more)."""
        row = {
            "user_id": user_id,
            "job_id": job_id,
            "platform": platform,
            "place": place,
            "message": message,
            "created": self._connection.now(),
        }
        with self._connection.transaction():
            message_id = self._connection.insert("job_messages", row)
        return JobMessage(message_id, user_id, job_id, platform, place, message)

    def open(self, platform: str) -> list[JobMessage]:
        rows = self._connection.rows(
            "select id, user_id, job_id, platform, place, message from job_messages where platform = ? order by id",
            platform,
        )
        return [JobMessage(**row) for row in rows]

    def close(self, message_id: int) -> None:
        with self._connection.transaction() as db:
            db.execute("delete from job_messages where id = ?", [message_id])
