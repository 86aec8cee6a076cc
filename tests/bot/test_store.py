"""The store file itself: schema, migrations, durability, two processes at once, deletion, export."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from bot.fact_changes import replaces
from bot.facts import Fact
from bot.memory import Memory
from bot.memory.migrations import migrations
from serving.adapters import adapter_name
from tests.vllm_server import ROOT

TABLES = {"users", "identities", "facts", "adapters", "jobs", "nights", "ledger", "turns"}
TELL_FOREVER = """
import sys
from pathlib import Path
from bot.fact_changes import replaces
from bot.facts import Fact
from bot.memory import Memory
memory = Memory.open(Path(sys.argv[1]))
user = memory.user_for("terminal", "me")
for number in range(1_000_000):
    memory.facts.tell(user.id, Fact(f"my lucky number is {number} from {sys.argv[2]}"), lambda new, old: False)
    print(number, flush=True)
"""


def schema(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as db:
        return dict(db.execute("select name, sql from sqlite_master where sql is not null").fetchall())


def tell(memory: Memory, user_id: str, *texts: str) -> list[int]:
    return [memory.facts.tell(user_id, Fact(text), lambda _new, _old: False).stored.id for text in texts]


def test_blank_file_gets_every_table(memory: Memory, store_path: Path) -> None:
    assert set(schema(store_path)) >= TABLES


def test_file_of_every_earlier_schema_keeps_its_rows_and_ends_with_the_newest_schema(tmp_path: Path) -> None:
    newest = tmp_path / "newest.db"
    Memory.open(newest).close()
    names = [migration.name for migration in migrations.applied(Database(str(newest)))]
    assert len(names) >= 3
    for stop_before in names[1:]:
        path = tmp_path / f"before-{stop_before}.db"
        old = Database(str(path))
        migrations.apply(old, stop_before=stop_before)
        old.table("users").insert({"id": "u1", "assistant_name": "Hippo", "created": "2025-01-01"})
        row = {"user_id": "u1", "text": "my dog is Buddy", "subject": "dog", "attribute": "name", "value": "Buddy"}
        old.table("facts").insert({**row, "status": "active", "created": "2025-01-01"})
        old.close()

        with closing(Memory.open(path)) as memory:
            assert [stored.fact.value for stored in memory.facts.active("u1")] == ["Buddy"]
            assert memory.user("u1").assistant_name == "Hippo"
        assert schema(path) == schema(newest)


def test_processes_that_start_together_migrate_once(store_path: Path) -> None:
    code = f"from pathlib import Path; from bot.memory import Memory; Memory.open(Path({str(store_path)!r})).close()"
    started = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE) for _ in range(4)]
    for process in started:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors.decode()
    assert set(schema(store_path)) >= TABLES


def test_store_runs_in_wal_with_foreign_keys_and_full_syncs(memory: Memory) -> None:
    db = memory._connection.db
    assert db.execute("pragma journal_mode").fetchone()[0] == "wal"
    assert db.execute("pragma foreign_keys").fetchone()[0] == 1
    assert db.execute("pragma synchronous").fetchone()[0] == 2
    with pytest.raises(sqlite3.IntegrityError), memory.transaction():
        db.table("facts").insert(
            {"user_id": "nobody", "text": "x", "subject": "", "attribute": "", "value": "", "status": "active"}
            | {"created": "2025-01-01"}
        )


def test_transaction_that_fails_leaves_nothing(memory: Memory) -> None:
    user = memory.user_for("terminal", "me")
    with pytest.raises(RuntimeError), memory.transaction():
        tell(memory, user.id, "my dog is Buddy")
        raise RuntimeError
    assert memory.facts.active(user.id) == []
    tell(memory, user.id, "my dog is Max")
    assert [stored.fact.text for stored in memory.facts.active(user.id)] == ["my dog is Max"]


def test_every_fact_acknowledged_before_kill_9_is_there_after_it(store_path: Path) -> None:
    for attempt in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", TELL_FOREVER, str(store_path), str(attempt)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        first = process.stdout.readline()  # it is at work
        time.sleep(0.3 + attempt / 7)
        process.send_signal(signal.SIGKILL)
        acknowledged = [int(line) for line in [first, *process.stdout.read().split()]]
        process.wait()
        process.stdout.close()
        with closing(Memory.open(store_path)) as memory:
            user = memory.user_for("terminal", "me")
            texts = {stored.fact.text for stored in memory.facts.active(user.id)}
            assert len(acknowledged) > 1
            assert {f"my lucky number is {number} from {attempt}" for number in acknowledged} <= texts
            assert memory._connection.db.execute("pragma integrity_check").fetchone()[0] == "ok"


def test_two_processes_tell_at_once_and_nothing_is_lost(store_path: Path) -> None:
    Memory.open(store_path).close()
    code = TELL_FOREVER.replace("1_000_000", "100")
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(store_path), name], cwd=ROOT, stdout=subprocess.DEVNULL)
        for name in ("one", "two")
    ]
    assert [process.wait(100) for process in started] == [0, 0]
    with closing(Memory.open(store_path)) as memory:
        assert len(memory.facts.active(memory.user_for("terminal", "me").id)) == 200


def test_a_person_whom_two_processes_meet_at_once_is_one_user(memory: Memory, store_path: Path) -> None:
    """The second looks for the person before the first has committed, and makes the user after it."""
    looked = threading.Event()

    def meet() -> str:
        with closing(Memory.open(store_path)) as other:
            connection = other._connection
            row = connection.row

            def row_and_tell(*asked: Any) -> Any:
                found = row(*asked)
                looked.set()
                return found

            connection.row = row_and_tell  # type: ignore[method-assign]
            return other.user_for("terminal", "me").id

    with ThreadPoolExecutor(1) as pool:
        with memory.transaction():
            mine = memory.user_for("terminal", "me").id
            theirs = pool.submit(meet)
            assert looked.wait(10)
        assert theirs.result(10) == mine


def test_same_identity_is_one_user_and_others_are_not(memory: Memory) -> None:
    me = memory.user_for("discord", "1")
    assert memory.user_for("discord", "1") == me
    assert memory.user_for("telegram", "1") != me
    assert me.id.isalnum()
    assert me.id != "1"


def test_deleted_user_is_gone_from_every_table_and_from_the_bytes_on_disk(memory: Memory, store_path: Path) -> None:
    me, other = memory.user_for("discord", "1234567890"), memory.user_for("discord", "2")
    fact_ids = tell(memory, me.id, "my secret word is xylophonist")
    tell(memory, other.id, "my dog is Max")
    held = memory.facts.active(me.id)
    adapter = memory.adapters.reserve(me.id, held, "base/bundled", adapter_name)
    memory.adapters.go_live(adapter.id, {}, 10)
    job = memory.jobs.add(me.id, "retrain")
    memory.ledger.add(me.id, "training", job_id=job.id, device="cpu", seconds=36.0, rate_usd_per_hour=1.0)
    memory.turns.keep_message(me.id, "xylophonist?", 60)

    assert memory.delete_user(me.id) == [adapter.name]

    assert fact_ids
    assert memory.facts.active(me.id) == []
    with pytest.raises(KeyError):
        memory.user(me.id)
    assert [stored.fact.text for stored in memory.facts.active(other.id)] == ["my dog is Max"]
    costs = memory.ledger.totals(60)
    assert [(line.entries, line.users) for line in costs] == [(1, 0)]  # what it cost stays, without a name
    on_disk = b"".join(file.read_bytes() for file in store_path.parent.glob("hippo.db*"))
    for trace in (b"xylophonist", me.id.encode(), b"1234567890"):
        assert trace not in on_disk


def test_export_holds_all_of_mine_and_nothing_of_others(memory: Memory) -> None:
    me, other = memory.user_for("discord", "1"), memory.user_for("discord", "2")
    memory.facts.tell(me.id, Fact("my dog is Buddy", "dog", "name", "Buddy"), replaces)
    memory.facts.tell(me.id, Fact("my dog is Max", "dog", "name", "Max"), replaces)
    tell(memory, other.id, "my cat is Whiskers")
    memory.turns.keep_message(me.id, "hello", 60)
    memory.jobs.add(me.id, "retrain")

    held = memory.export(me.id)

    assert {row["text"]: row["status"] for row in held["facts"]} == {
        "my dog is Buddy": "superseded",
        "my dog is Max": "active",
    }
    assert [row["content"] for row in held["turns"]] == ["hello"]
    assert [row["platform"] for row in held["identities"]] == ["discord"]
    assert len(held["jobs"]) == 1
    assert "Whiskers" not in str(held)
    assert other.id not in str(held)
