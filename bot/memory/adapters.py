"""Adapters of a user: candidate → live → retired, or rejected. Versions only grow; a name is never used twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from bot.memory.records import Adapter, StoredFact, facts_hash

if TYPE_CHECKING:
    from bot.memory.store import Connection


class Adapters:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def reserve(
        self, user_id: str, facts: Sequence[StoredFact], base_model: str, name_of: Callable[[str, int], str]
    ) -> Adapter:
        """A candidate row with the user's next version; `name_of(user_id, version)` names it."""
        with self._connection.transaction():
            last = self._connection.row("select max(version) as n from adapters where user_id = ?", user_id)
            version = int((last or {}).get("n") or 0) + 1
            row = {
                "user_id": user_id,
                "version": version,
                "name": name_of(user_id, version),
                "base_model": base_model,
                "fact_ids": json.dumps(sorted(stored.id for stored in facts)),
                "facts_hash": facts_hash(facts),
                "status": "candidate",
                "created": self._connection.now(),
            }
            adapter_id = self._connection.insert("adapters", row)
        return self.get(adapter_id)

    def get(self, adapter_id: int) -> Adapter:
        """Raises `KeyError` where there is no such adapter."""
        row = self._connection.row("select * from adapters where id = ?", adapter_id)
        if row is None:
            raise KeyError(adapter_id)
        return _adapter(row)

    def live(self, user_id: str) -> Adapter | None:
        row = self._connection.row("select * from adapters where user_id = ? and status = 'live'", user_id)
        return _adapter(row) if row else None

    def go_live(self, adapter_id: int, scores: dict[str, Any], size_bytes: int) -> Adapter | None:
        """Makes a candidate the live one and retires the one before, which is returned. One transaction."""
        with self._connection.transaction() as db:
            adapter = self.get(adapter_id)
            before = self.live(adapter.user_id)
            if before:
                self._end(before.id, "retired")
            change = {"status": "live", "scores": json.dumps(scores), "bytes": size_bytes}
            db.table("adapters").update(adapter_id, change)
        return before

    def retire_live(self, user_id: str) -> Adapter | None:
        """Takes the live adapter out of use (a user without facts needs none); returns it."""
        with self._connection.transaction():
            before = self.live(user_id)
            if before:
                self._end(before.id, "retired")
        return before

    def reject(self, adapter_id: int, scores: dict[str, Any]) -> None:
        with self._connection.transaction() as db:
            self._end(adapter_id, "rejected")
            db.table("adapters").update(adapter_id, {"scores": json.dumps(scores)})

    def reject_unfinished(self) -> None:
        """Rejects candidates whose worker died; called when no worker is at work."""
        with self._connection.transaction() as db:
            for row in list(db.query("select id from adapters where status = 'candidate'")):
                self._end(row["id"], "rejected")

    def retire_unservable(self, base_model: str, folders: Collection[str]) -> int:
        """Retires live adapters of another base model, or whose folder is not among `folders`; returns how many.

        Their facts are pending again: known from the notes now, learned with the next training.
        """
        with self._connection.transaction() as db:
            live = list(db.query("select id, name, base_model from adapters where status = 'live'"))
            gone = [row["id"] for row in live if row["base_model"] != base_model or row["name"] not in folders]
            for adapter_id in gone:
                self._end(adapter_id, "retired")
        return len(gone)

    def served_names(self, retired_within_seconds: float) -> set[str]:
        """Names whose folders must stay: live ones, and retired ones that replies under way may still use."""
        rows = self._connection.rows(
            "select name from adapters where status = 'live' or (status = 'retired' and ended > ?)",
            self._connection.now(-retired_within_seconds),
        )
        return {row["name"] for row in rows}

    def _end(self, adapter_id: int, status: str) -> None:
        self._connection.db.table("adapters").update(adapter_id, {"status": status, "ended": self._connection.now()})


def _adapter(row: dict[str, Any]) -> Adapter:
    return Adapter(
        *(row["id"], row["user_id"], row["version"], row["name"], row["base_model"]),
        *(frozenset(json.loads(row["fact_ids"])), row["facts_hash"], json.loads(row["scores"]), row["bytes"]),
        *(row["status"], row["created"]),
    )
