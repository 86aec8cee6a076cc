"""Facts of a user: told, replaced, forgotten; and which of them are pending."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bot.facts import Fact
from bot.memory.records import StoredFact, Told

if TYPE_CHECKING:
    from bot.memory.store import Connection

Replaces = Callable[[Fact, Fact], bool]
_HELD = "select value from adapters, json_each(fact_ids) where adapters.user_id = ? and adapters.status = 'live'"


class Facts:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tell(self, user_id: str, fact: Fact, replaces: Replaces) -> Told:
        """Stores a fact; on disk when this returns. Active facts that it `replaces` become superseded."""
        with self._connection.transaction() as db:
            active = self.active(user_id)
            for stored in active:
                if _same(stored.fact, fact):
                    return Told(stored, already_known=True, replaced=())
            replaced = tuple(stored for stored in active if replaces(fact, stored.fact))
            row = {
                "user_id": user_id,
                "text": fact.text,
                "subject": fact.subject,
                "attribute": fact.attribute,
                "value": fact.value,
                "status": "active",
                "created": self._connection.now(),
            }
            fact_id = self._connection.insert("facts", row)
            for stored in replaced:
                db.table("facts").update(stored.id, {"status": "superseded", "superseded_by": fact_id})
        return Told(StoredFact(fact_id, fact, row["created"]), already_known=False, replaced=replaced)

    def undo(self, user_id: str, fact_id: int) -> bool:
        """Takes back a telling: the fact is removed and what it replaced is active again. False: not there any more."""
        with self._connection.transaction() as db:
            found = self._connection.row(
                "select id from facts where id = ? and user_id = ? and status = 'active'", fact_id, user_id
            )
            if found is None:
                return False
            replaced = self._connection.rows("select id from facts where superseded_by = ?", fact_id)
            db.table("facts").delete(fact_id)
            for row in replaced:
                db.table("facts").update(row["id"], {"status": "active", "superseded_by": None})
        return True

    def forget(self, user_id: str, fact_id: int) -> StoredFact | None:
        """Forgets a fact and the values it had replaced, and drops the recent turns and offers, which may repeat it.

        Rows that the live adapter holds stay, marked forgotten, until the next adapter is live; the others go at once.
        """
        with self._connection.transaction() as db:
            found = [stored for stored in self.active(user_id) if stored.id == fact_id]
            if not found:
                return None
            db.execute(
                """with recursive chain(id) as (select ? union select facts.id from facts, chain
                   where facts.superseded_by = chain.id)
                   update facts set status = 'forgotten' where id in (select id from chain)""",
                [fact_id],
            )
            db.execute("delete from turns where user_id = ?", [user_id])
            db.execute("delete from offers where user_id = ? and kind != 'batch'", [user_id])
            self.purge_forgotten(user_id)
        return found[0]

    def purge_forgotten(self, user_id: str) -> None:
        """Deletes the forgotten rows that no live adapter holds."""
        with self._connection.transaction() as db:
            db.execute(
                f"delete from facts where user_id = ? and status = 'forgotten' and id not in ({_HELD})",
                [user_id, user_id],
            )

    def any_forgotten(self, user_id: str) -> bool:
        """Whether the live adapter holds what the user had forgotten: such rows are kept for as long as it does."""
        found = self._connection.row("select 1 from facts where user_id = ? and status = 'forgotten' limit 1", user_id)
        return found is not None

    def active(self, user_id: str) -> list[StoredFact]:
        """In the order told."""
        return _stored(
            self._connection.rows("select * from facts where user_id = ? and status = 'active' order by id", user_id)
        )

    def pending(self, user_id: str) -> list[StoredFact]:
        """Active facts that the user's live adapter does not hold, in the order told."""
        return _stored(
            self._connection.rows(
                f"select * from facts where user_id = ? and status = 'active' and id not in ({_HELD}) order by id",
                *(user_id, user_id),
            )
        )

    def find(self, user_id: str, wanted: str) -> list[StoredFact]:
        """Active facts meant by `wanted`: its number as listed, its sentence, or words that all stand in it."""
        active = self.active(user_id)
        wanted = wanted.strip()
        if wanted.isdigit() and 1 <= int(wanted) <= len(active):
            return [active[int(wanted) - 1]]
        if exact := [stored for stored in active if stored.fact.text.casefold() == wanted.casefold()]:
            return exact
        words = set(_words(wanted))
        return [stored for stored in active if words and words <= set(_words(stored.fact.text))]


def _same(one: Fact, other: Fact) -> bool:
    """Whether both say the same: one sentence, but for case and its end, or one value of one attribute."""
    if one.text.casefold().rstrip(" .!") == other.text.casefold().rstrip(" .!"):
        return True
    said = [(fact.subject.casefold(), fact.attribute, fact.value.casefold()) for fact in (one, other)]
    return bool(one.attribute and one.value) and said[0] == said[1]


def _words(text: str) -> list[str]:
    """Words without case, punctuation and a plural's or owner's s: "dogs" and "dog's" find "dog"."""
    plain = text.casefold().replace("'", "").replace("’", "")
    words = "".join(char if char.isalnum() else " " for char in plain).split()
    return [word.removesuffix("s") if len(word) > 3 else word for word in words]


def _stored(rows: Sequence[dict[str, Any]]) -> list[StoredFact]:
    return [
        StoredFact(row["id"], Fact(row["text"], row["subject"], row["attribute"], row["value"]), row["created"])
        for row in rows
    ]
