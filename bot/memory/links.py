"""One person on several platforms: one-time codes, joining two users into one, parting an identity again."""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from bot.facts import Fact
from bot.memory.facts import Facts, Replaces
from bot.memory.records import Joined

if TYPE_CHECKING:
    from bot.memory.store import Connection

CODE_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no I, O, 0, 1: 5 bits a character
CODE_CHARS = 12  # 60 bits: the hash of a code that lives for minutes cannot be searched in time


def new_code() -> str:
    """A code to show, such as "K7QF-2MXR-9TDA"."""
    drawn = "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_CHARS))
    return "-".join(drawn[start : start + 4] for start in range(0, CODE_CHARS, 4))


def code_hash(code: str) -> str:
    """Of a code however it was typed: case, spaces and dashes do not matter."""
    return hashlib.sha256("".join(char for char in code.upper() if char.isalnum()).encode()).hexdigest()


class Links:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def issue(self, user_id: str, ttl_seconds: float) -> str:
        """A new code; the user's earlier one is void. Only its hash is kept."""
        code = new_code()
        with self._connection.transaction() as db:
            db.execute("delete from link_codes where user_id = ? or expires <= ?", [user_id, self._connection.now()])
            db.table("link_codes").insert(
                {
                    "code_hash": code_hash(code),
                    "user_id": user_id,
                    "created": self._connection.now(),
                    "expires": self._connection.now(ttl_seconds),
                }
            )
        return code

    def owner(self, code: str) -> str | None:
        """The user who was given the code, while it lasts."""
        row = self._connection.row(
            "select user_id from link_codes where code_hash = ? and expires > ?",
            *(code_hash(code), self._connection.now()),
        )
        return str(row["user_id"]) if row else None

    def join(self, kept_id: str, other_id: str, replaces: Replaces) -> Joined:
        """Makes one user of two: everything of `other_id` becomes `kept_id`'s, and their codes are void.

        A fact told to both is kept once; of two values for the same thing the one told last holds. If both have a live
        adapter, the other's is retired; an open job of the other's moves over, or ends where both have one.
        """
        with self._connection.transaction() as db:
            duplicates = self._drop_duplicates(kept_id, other_id)
            mine = self._active(kept_id)
            theirs = self._active(other_id)
            self._move_adapters(kept_id, other_id)
            self._move_job(kept_id, other_id)
            for table in ("facts", "ledger", "turns", "identities", "jobs", "job_messages"):
                db.execute(f"update {table} set user_id = ? where user_id = ?", [kept_id, other_id])
            replaced = self._supersede(mine, theirs, replaces)
            Facts(self._connection).purge_forgotten(kept_id)
            db.execute("delete from link_codes where user_id = ?", [kept_id])
            db.execute("delete from users where id = ?", [other_id])  # codes and offers go with it
            facts = len(self._active(kept_id))
        return Joined(facts, duplicates, replaced)

    def part(self, platform: str, platform_user_id: str, assistant_name: str) -> bool:
        """Gives this identity a user of its own, with nothing in it. False: it shares its user with no other."""
        with self._connection.transaction() as db:
            shared = self._connection.row(
                """select count(*) as n from identities where user_id =
                   (select user_id from identities where platform = ? and platform_user_id = ?)""",
                *(platform, platform_user_id),
            )
            if shared is None or shared["n"] < 2:
                return False
            user_id = secrets.token_hex(8)
            db.table("users").insert(
                {"id": user_id, "assistant_name": assistant_name, "created": self._connection.now()}
            )
            db.execute(
                "update identities set user_id = ? where platform = ? and platform_user_id = ?",
                [user_id, platform, platform_user_id],
            )
        return True

    def _active(self, user_id: str) -> list[tuple[int, Fact]]:
        rows = self._connection.rows("select * from facts where user_id = ? and status = 'active' order by id", user_id)
        return [(row["id"], Fact(row["text"], row["subject"], row["attribute"], row["value"])) for row in rows]

    def _drop_duplicates(self, kept_id: str, other_id: str) -> int:
        """Deletes the other's active facts that the kept user holds in the same words; the kept rows stay in place."""
        held = {fact.text.casefold(): fact_id for fact_id, fact in self._active(kept_id)}
        dropped = 0
        for fact_id, fact in self._active(other_id):
            same = held.get(fact.text.casefold())
            if same is None:
                continue
            db = self._connection.db
            db.execute("update facts set superseded_by = ? where superseded_by = ?", [same, fact_id])
            db.execute("delete from facts where id = ?", [fact_id])
            dropped += 1
        return dropped

    def _supersede(self, mine: list[tuple[int, Fact]], theirs: list[tuple[int, Fact]], replaces: Replaces) -> int:
        """Between the two users' facts: the one told later (the higher id) takes the place of the earlier."""
        gone: dict[int, int] = {}
        for mine_id, mine_fact in mine:
            for their_id, their_fact in theirs:
                (old_id, old), (new_id, new) = sorted(
                    [(mine_id, mine_fact), (their_id, their_fact)], key=lambda pair: pair[0]
                )
                if replaces(new, old):
                    gone[old_id] = max(new_id, gone.get(old_id, 0))
        for old_id, new_id in gone.items():
            change = {"status": "superseded", "superseded_by": new_id}
            self._connection.db.table("facts").update(old_id, change)
        return len(gone)

    def _move_adapters(self, kept_id: str, other_id: str) -> None:
        db, now = self._connection.db, self._connection.now()
        db.execute(
            "update adapters set status = 'rejected', ended = ? where user_id = ? and status = 'candidate'",
            [now, other_id],
        )
        if self._connection.row("select 1 from adapters where user_id = ? and status = 'live'", kept_id):
            db.execute(
                "update adapters set status = 'retired', ended = ? where user_id = ? and status = 'live'",
                [now, other_id],
            )
        last = self._connection.row("select max(version) as n from adapters where user_id = ?", kept_id)
        db.execute(
            "update adapters set version = version + ?, user_id = ? where user_id = ?",
            [int((last or {}).get("n") or 0), kept_id, other_id],
        )

    def _move_job(self, kept_id: str, other_id: str) -> None:
        """The other's open job: queued again for the joined user (its worker, if any, lets go), or ended."""
        db, now = self._connection.db, self._connection.now()
        if self._connection.row("select 1 from jobs where user_id = ? and state in ('queued', 'running')", kept_id):
            db.execute(
                """update jobs set state = 'failed', stage = 'failed', worker = null, lease_until = null, updated = ?,
                     error = 'your accounts were joined meanwhile, and the other training goes on'
                   where user_id = ? and state in ('queued', 'running')""",
                [now, other_id],
            )
        else:
            db.execute(
                """update jobs set state = 'queued', stage = 'queued', share = 0, seconds_left = null, worker = null,
                     lease_until = null, updated = ? where user_id = ? and state in ('queued', 'running')""",
                [now, other_id],
            )
