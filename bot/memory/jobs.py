"""Training jobs: one open job a user, claimed under a lease that a live worker renews.

A worker that dies stops renewing; once its lease has run out another worker (or the same, restarted) takes the job up
again, `MAX_ATTEMPTS` times at the most.
"""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

from bot.errors import NotNow
from bot.memory.records import Job

if TYPE_CHECKING:
    from bot.memory.store import Connection

MAX_ATTEMPTS = 3


class Jobs:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, user_id: str, reason: str) -> Job:
        """Queues a job.

        Raises:
            NotNow: the user has one open already.
        """
        now = self._connection.now()
        row = {"user_id": user_id, "reason": reason, "state": "queued", "created": now, "updated": now}
        try:
            with self._connection.transaction():
                job_id = self._connection.insert("jobs", row)
        except sqlite3.IntegrityError as error:
            if self.open_for(user_id) is None:
                raise
            raise NotNow("I'm already learning your facts. /status shows how far I am.") from error
        return self.get(job_id)

    def get(self, job_id: int) -> Job:
        """Raises `KeyError` where there is no such job."""
        row = self._connection.row("select * from jobs where id = ?", job_id)
        if row is None:
            raise KeyError(job_id)
        return _job(row)

    def open_for(self, user_id: str) -> Job | None:
        row = self._connection.row("select * from jobs where user_id = ? and state in ('queued', 'running')", user_id)
        return _job(row) if row else None

    def last_for(self, user_id: str) -> Job | None:
        row = self._connection.row("select * from jobs where user_id = ? order by id desc limit 1", user_id)
        return _job(row) if row else None

    def set_aside(self, user_id: str) -> frozenset[int]:
        """The facts that the user's last training left out, since later ones seemed to take their place."""
        row = self._connection.row("select * from jobs where user_id = ? and state = 'done' order by id desc limit 1", user_id)
        return frozenset(_job(row).result.get("set_aside", ())) if row else frozenset()

    def claim(self, worker: str, lease_seconds: float, limit: int = 1) -> list[Job]:
        """Takes up to `limit` jobs, oldest first: queued ones, and running ones whose lease has run out."""
        now = self._connection.now()
        with self._connection.transaction() as db:
            db.execute(
                """update jobs set state = 'failed', stage = 'failed', updated = ?,
                     error = 'the training process stopped ' || attempts || ' times while working on it'
                   where state = 'running' and lease_until < ? and attempts >= ?""",
                [now, now, MAX_ATTEMPTS],
            )
            ids = [
                row["id"]
                for row in db.query(
                    """select id from jobs where state = 'queued' or (state = 'running' and lease_until < ?)
                       order by reason = 'nightly', id limit ?""",
                    [now, limit],
                )
            ]
            for job_id in ids:
                db.execute(
                    """update jobs set state = 'running', stage = 'starting', share = 0, seconds_left = null,
                         attempts = attempts + 1, worker = ?, lease_until = ?, updated = ? where id = ?""",
                    [worker, self._connection.now(lease_seconds), now, job_id],
                )
        return [self.get(job_id) for job_id in ids]

    def report(
        self, job_id: int, worker: str, lease_seconds: float, stage: str, share: float, seconds_left: float | None
    ) -> bool:
        """Progress, which also renews the lease. False: the job is this worker's no more; it must let go of it."""
        with self._connection.transaction() as db:
            cursor = db.execute(
                """update jobs set stage = ?, share = ?, seconds_left = ?, lease_until = ?, updated = ?
                   where id = ? and worker = ? and state = 'running'""",
                [
                    *(stage, share, seconds_left, self._connection.now(lease_seconds), self._connection.now()),
                    *(job_id, worker),
                ],
            )
            return cursor.rowcount == 1

    def renew(self, job_id: int, worker: str, lease_seconds: float) -> bool:
        """Renews the lease alone. False: the job is this worker's no more."""
        with self._connection.transaction() as db:
            cursor = db.execute(
                "update jobs set lease_until = ? where id = ? and worker = ? and state = 'running'",
                [self._connection.now(lease_seconds), job_id, worker],
            )
            return cursor.rowcount == 1

    def end_leases(self) -> int:
        """Lets every running job be claimed again at once; called when no worker is at work. Returns how many."""
        with self._connection.transaction() as db:
            now = self._connection.now(-1)
            return int(db.execute("update jobs set lease_until = ? where state = 'running'", [now]).rowcount)

    def finish(self, job_id: int, worker: str, state: str, result: dict[str, Any], error: str = "") -> bool:
        """Ends a job as done, rejected or failed. False: it is this worker's no more, and nothing was changed."""
        with self._connection.transaction() as db:
            cursor = db.execute(
                """update jobs set state = ?, stage = ?, share = 1, seconds_left = 0, result = ?, error = ?, updated = ?
                   where id = ? and worker = ? and state = 'running'""",
                [state, state, json.dumps(result), error, self._connection.now(), job_id, worker],
            )
            return cursor.rowcount == 1

    def release(self, job_id: int, worker: str) -> None:
        """Hands a job back unharmed (a clean stop): queued again, the attempt not counted."""
        with self._connection.transaction() as db:
            db.execute(
                """update jobs set state = 'queued', stage = 'queued', share = 0, worker = null, lease_until = null,
                     attempts = attempts - 1 where id = ? and worker = ? and state = 'running'""",
                [job_id, worker],
            )

    def waiting(self) -> int:
        """How many jobs are queued or running."""
        row = self._connection.row("select count(*) as n from jobs where state in ('queued', 'running')")
        return int(row["n"]) if row else 0

    def asked_since(self, user_id: str, seconds: float) -> list[str]:
        """When the user asked for a training (not the nightly ones) within the last `seconds`, oldest first."""
        rows = self._connection.rows(
            "select created from jobs where user_id = ? and reason = 'retrain' and created > ? order by id",
            *(user_id, self._connection.now(-seconds)),
        )
        return [row["created"] for row in rows]

    def ahead_of(self, job_id: int) -> int:
        """How many jobs are open that came before this one."""
        row = self._connection.row(
            "select count(*) as n from jobs where state in ('queued', 'running') and id < ?", job_id
        )
        return int(row["n"]) if row else 0

    def start_night(self, due: str, users: int) -> bool:
        """Notes that the nightly run due at `due` has started; False: it has before."""
        try:
            with self._connection.transaction() as db:
                db.table("nights").insert({"due": due, "started": self._connection.now(), "users": users})
        except sqlite3.IntegrityError:
            return False
        return True

    def last_night(self) -> str | None:
        """When the newest nightly run was due; None before the first."""
        row = self._connection.row("select max(due) as due from nights")
        return row["due"] if row else None

    def users_to_train(self) -> list[str]:
        """Users whose active facts are not just what their live adapter holds, and who have no job open."""
        return [
            row["id"]
            for row in self._connection.rows(
                """select id from users
                   where not exists (select 1 from jobs where user_id = users.id and state in ('queued', 'running'))
                     and coalesce((select group_concat(id) from
                           (select id from facts where user_id = users.id and status = 'active' order by id)), '')
                       != coalesce((select group_concat(value) from
                           (select value from adapters, json_each(fact_ids)
                            where user_id = users.id and status = 'live' order by value)), '')
                   order by id"""
            )
        ]


def _job(row: dict[str, Any]) -> Job:
    return Job(
        *(row["id"], row["user_id"], row["reason"], row["state"], row["stage"], row["share"], row["seconds_left"]),
        *(row["attempts"], json.loads(row["result"]), row["error"]),
    )
