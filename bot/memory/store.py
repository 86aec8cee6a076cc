"""Opening the store, its users, and the rooms for everything else.

    memory = Memory.open(Path("data/hippo.db"))
    user = memory.user_for("terminal", "me")
    memory.facts.tell(user.id, fact)

One file, WAL, foreign keys on, synchronous=FULL: what a method has returned from is on disk. Every write is one short
`begin immediate` transaction, so bot and trainer may share the file. A `Memory` belongs to one thread.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from bot.memory.adapters import Adapters
from bot.memory.facts import Facts
from bot.memory.inbox import Inbox
from bot.memory.job_messages import JobMessages
from bot.memory.jobs import Jobs
from bot.memory.ledger import Ledger
from bot.memory.links import Links
from bot.memory.migrations import migrations
from bot.memory.offers import Offers
from bot.memory.records import Place, User
from bot.memory.turns import Turns

BUSY_SECONDS = 15.0


class Connection:
    """The database with the two things every room needs: transactions and the time."""

    def __init__(self, db: Database) -> None:
        self.db = db

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """All or nothing, and the write lock from the start (a nested one joins the outer)."""
        if self.db.conn.in_transaction:
            yield self.db
            return
        self.db.execute("begin immediate")  # the write lock now, not at the first write: no upgrade can fail
        try:
            yield self.db
        except BaseException:
            self.db.rollback()
            raise
        self.db.commit()

    def rows(self, sql: str, *parameters: Any) -> list[dict[str, Any]]:
        return list(self.db.query(sql, parameters))

    def row(self, sql: str, *parameters: Any) -> dict[str, Any] | None:
        return next(iter(self.rows(sql, *parameters)), None)

    def insert(self, table: str, row: dict[str, Any]) -> int:
        """Adds a row to a table with an integer key; returns the key. Inside a transaction."""
        return int(str(self.db.table(table).insert(row).last_pk))

    @staticmethod
    def now(plus_seconds: float = 0) -> str:
        return (datetime.now(UTC) + timedelta(seconds=plus_seconds)).isoformat(timespec="milliseconds")


class Memory:
    """The whole store; each room has its own file in this folder."""

    def __init__(self, db: Database) -> None:
        self._connection = Connection(db)
        self.facts = Facts(self._connection)
        self.jobs = Jobs(self._connection)
        self.adapters = Adapters(self._connection)
        self.ledger = Ledger(self._connection)
        self.turns = Turns(self._connection)
        self.inbox = Inbox(self._connection)
        self.offers = Offers(self._connection)
        self.links = Links(self._connection)
        self.job_messages = JobMessages(self._connection)

    @classmethod
    def open(cls, path: Path) -> Memory:
        """Opens or creates the file and brings it to the newest schema."""
        path.parent.mkdir(parents=True, exist_ok=True)
        db = Database(sqlite3.connect(path, timeout=BUSY_SECONDS))
        db.enable_wal()
        db.execute("pragma foreign_keys = on")
        db.execute("pragma synchronous = full")
        db.execute("pragma secure_delete = on")
        if migrations.pending(db):
            with _exclusive(path):
                migrations.apply(db)
        return cls(db)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Several calls as one: all are on disk at its end, or none."""
        with self._connection.transaction():
            yield

    def close(self) -> None:
        self._connection.db.close()

    def user_for(self, platform: str, platform_user_id: str, *, assistant_name: str = "Hippo") -> User:
        """The user behind a platform's id; made on first sight."""
        known = self._user_behind(platform, platform_user_id)
        if known is not None:
            return known
        with self._connection.transaction() as db:
            known = self._user_behind(platform, platform_user_id)  # another process may have met them meanwhile
            if known is not None:
                return known
            user_id = secrets.token_hex(8)
            created = self._connection.now()
            db.table("users").insert({"id": user_id, "assistant_name": assistant_name, "created": created})
            db.table("identities").insert(
                {"platform": platform, "platform_user_id": platform_user_id, "user_id": user_id}
            )
        return self.user(user_id)

    def _user_behind(self, platform: str, platform_user_id: str) -> User | None:
        row = self._connection.row(
            "select users.* from users join identities on users.id = user_id "
            "where platform = ? and platform_user_id = ?",
            *(platform, platform_user_id),
        )
        return None if row is None else _user(row)

    def user(self, user_id: str) -> User:
        """Raises `KeyError` where there is no such user."""
        row = self._connection.row("select * from users where id = ?", user_id)
        if row is None:
            raise KeyError(user_id)
        return _user(row)

    def seen_at(self, platform: str, platform_user_id: str, place: str, cursor: str) -> None:
        """Notes the private chat where this person last wrote, and the platform's name of that message."""
        with self._connection.transaction() as db:
            db.execute(
                """update identities set place = ?, cursor = ?, seen = ?
                   where platform = ? and platform_user_id = ?""",
                [place, cursor, self._connection.now(), platform, platform_user_id],
            )

    def places(self, platform: str) -> list[Place]:
        """Every private chat on a platform, the one last written in first."""
        rows = self._connection.rows(
            "select platform, place, cursor from identities where platform = ? and place is not null "
            "order by seen desc",
            platform,
        )
        return [Place(**row) for row in rows]

    def places_of(self, user_id: str) -> list[Place]:
        """The private chats with a user, the one last written in first."""
        rows = self._connection.rows(
            "select platform, place, cursor from identities where user_id = ? and place is not null order by seen desc",
            user_id,
        )
        return [Place(**row) for row in rows]

    def platforms_of(self, user_id: str) -> list[str]:
        """The platform of each of the user's identities."""
        rows = self._connection.rows("select platform from identities where user_id = ? order by platform", user_id)
        return [row["platform"] for row in rows]

    def delete_user(self, user_id: str) -> list[str]:
        """Removes the user and everything of theirs; costs stay, without a name. Returns the adapters' names."""
        with self._connection.transaction() as db:
            names = [row["name"] for row in db.query("select name from adapters where user_id = ?", [user_id])]
            db.execute("delete from users where id = ?", [user_id])
        self._connection.db.execute("pragma wal_checkpoint(truncate)")  # no copy of the rows stays in the log
        return names

    def export(self, user_id: str) -> dict[str, Any]:
        """Everything held about a user, table by table."""
        tables = ("facts", "adapters", "jobs", "ledger", "turns", "identities", "offers", "job_messages")
        held: dict[str, Any] = {
            "user": self._connection.row("select * from users where id = ?", user_id),
            **{
                table: self._connection.rows(f"select * from {table} where user_id = ? order by rowid", user_id)
                for table in tables
            },
        }
        for row in held["job_messages"]:
            del row["place"]  # may hold what lets anybody change that message for some minutes
        return held


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Two processes that start together must not both migrate."""
    from filelock import FileLock

    with FileLock(f"{path}.migrating"):
        yield


def _user(row: dict[str, Any]) -> User:
    return User(row["id"], row["assistant_name"], row["timezone"])
