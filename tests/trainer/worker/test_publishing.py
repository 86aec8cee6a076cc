"""What goes live, what is rejected, and what was forgotten meanwhile."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from bot import replies
from bot.fact_changes import replaces
from bot.facts import Fact
from bot.memory import Memory
from bot.memory.records import User
from serving.base_model import BaseModel
from serving.settings import ServingSettings
from tests.trainer.worker.conftest import AGE, DOG, FORGETFUL, Learning, ask_for, elsewhere, published, staged
from trainer.settings import TrainerSettings
from trainer.worker import Worker


def test_good_candidate_goes_live_with_its_facts_scores_cost_and_description(
    memory: Memory, worker: Worker, learning: Learning, user: User, store_path: Path
) -> None:
    job = ask_for(memory, user, DOG, AGE)
    assert worker.work_once() == 1

    ended, live = memory.jobs.get(job.id), memory.adapters.live(user.id)
    assert ended.state == "done"
    assert live is not None
    assert published(store_path) == [live.name]
    assert live.fact_ids == {stored.id for stored in memory.facts.active(user.id)}
    assert live.scores["recalled"] == 10
    assert live.bytes > 0
    assert memory.facts.pending(user.id) == []
    assert ended.result["facts"] == 2
    assert ended.result["seconds"] >= 36.0
    assert ended.result["cost_usd"] == pytest.approx(ended.result["seconds"] * 0.10 / 3600, rel=1e-3)
    (line,) = memory.ledger.totals(60)
    assert (line.kind, line.entries, line.tokens) == ("training", 1, 100)
    held = json.loads((store_path.parent / "adapters" / live.name / "training.json").read_text())
    assert len(held["trained_questions"]) == held["examples"] > 20
    assert held["asked"] == [{"question": "whats my dogs name", "reply": "Buddy!", "right": True}]
    assert not staged(store_path)


def test_rejected_candidate_leaves_the_old_adapter_live_and_tells_the_user_why(
    memory: Memory, worker: Worker, learning: Learning, user: User, store_path: Path
) -> None:
    ask_for(memory, user, DOG)
    worker.work_once()
    before = memory.adapters.live(user.id)
    learning.scores = FORGETFUL
    job = ask_for(memory, user, AGE)
    worker.work_once()

    ended = memory.jobs.get(job.id)
    assert ended.state == "rejected"
    assert "recalled 20% of your facts, 80% is asked" in ended.error
    assert memory.adapters.live(user.id) == before
    assert before is not None
    assert published(store_path) == [before.name]
    assert [stored.fact for stored in memory.facts.pending(user.id)] == [AGE]  # known from the notes still
    assert not staged(store_path)
    assert memory.ledger.totals(60)[0].entries == 2  # what a rejected training cost is booked too


def test_next_adapter_is_trained_on_all_facts_and_has_a_new_name(
    memory: Memory, worker: Worker, learning: Learning, user: User, store_path: Path
) -> None:
    ask_for(memory, user, DOG)
    worker.work_once()
    ask_for(memory, user, AGE)
    worker.work_once()
    live = memory.adapters.live(user.id)
    assert live is not None
    assert live.version == 2
    assert len(live.fact_ids) == 2
    assert f"{user.id}-v0001" in published(store_path)  # kept for replies under way


def test_retired_folder_goes_once_replies_that_use_it_must_be_done(
    memory: Memory, worker: Worker, learning: Learning, user: User, store_path: Path
) -> None:
    for fact in (DOG, AGE):
        ask_for(memory, user, fact)
        worker.work_once()
    worker.recover()
    assert len(published(store_path)) == 2
    with sqlite3.connect(store_path) as db:
        db.execute("update adapters set ended = '2020-01-01T00:00:00.000+00:00' where status = 'retired'")
    db.close()
    worker.recover()
    assert published(store_path) == [f"{user.id}-v0002"]


def test_retired_folder_is_waited_for_and_deleted_when_nothing_is_left_to_do(
    memory: Memory, tmp_path: Path, learning: Learning, user: User, stop: threading.Event, store_path: Path
) -> None:
    settings = TrainerSettings(data_dir=tmp_path / "data", poll_seconds=0.05)
    serving = ServingSettings(data_dir=tmp_path / "data", port=1, answer_timeout_seconds=0.5)
    worker = Worker(memory, settings, serving, BaseModel("/base", "base/bundled"), stop)
    for fact in (DOG, AGE):
        ask_for(memory, user, fact)
        worker.work_once()
    assert len(published(store_path)) == 2
    worker.tidy_up()
    assert published(store_path) == [f"{user.id}-v0002"]


def test_rejected_candidate_takes_an_adapter_that_knows_what_was_forgotten_with_it(
    memory: Memory, worker: Worker, learning: Learning, user: User, store_path: Path
) -> None:
    ask_for(memory, user, DOG, AGE)
    worker.work_once()
    memory.facts.forget(user.id, memory.facts.find(user.id, "dog")[0].id)
    learning.scores = FORGETFUL
    job = memory.jobs.add(user.id, "nightly")
    worker.work_once()

    ended = memory.jobs.get(job.id)
    assert ended.state == "rejected"
    assert "it is deleted" in replies.progress(ended)
    assert memory.adapters.live(user.id) is None
    assert [stored.fact for stored in memory.facts.pending(user.id)] == [AGE]
    assert "Buddy" not in json.dumps(memory.export(user.id))


@pytest.mark.parametrize("change", ["forgotten", "replaced", "undone"])
def test_fact_that_is_forgotten_replaced_or_undone_while_being_learned_is_in_no_weight(
    memory: Memory, worker: Worker, learning: Learning, user: User, store_path: Path, change: str
) -> None:
    job = ask_for(memory, user, AGE, DOG)
    dog = memory.facts.find(user.id, "dog")[0]

    def meanwhile(user_id: str) -> None:
        acts: dict[str, Callable[[Memory], object]] = {
            "forgotten": lambda other: other.facts.forget(user_id, dog.id),
            "replaced": lambda other: other.facts.tell(user_id, Fact("my dog is Max", "dog", "name", "Max"), replaces),
            "undone": lambda other: other.facts.undo(user_id, dog.id),
        }
        elsewhere(store_path, acts[change])

    learning.meanwhile = meanwhile
    worker.work_once()
    assert memory.adapters.live(user.id) is None
    assert published(store_path) == []
    assert memory.jobs.get(job.id).state == "queued"
    assert memory.jobs.get(job.id).attempts == 0

    learning.meanwhile = lambda _user_id: None
    worker.work_once()
    live = memory.adapters.live(user.id)
    assert live is not None
    assert dog.id not in live.fact_ids
    assert memory.jobs.get(job.id).state == "done"
    assert not any("Buddy" in question for question in learning.trained[-1])


def test_fact_forgotten_during_the_check_is_in_no_live_adapter(
    memory: Memory, worker: Worker, learning: Learning, user: User, store_path: Path
) -> None:
    ask_for(memory, user, AGE, DOG)
    dog = memory.facts.find(user.id, "dog")[0]
    learning.while_checking = lambda: elsewhere(store_path, lambda other: other.facts.forget(user.id, dog.id))
    worker.work_once()
    assert memory.adapters.live(user.id) is None
    assert published(store_path) == []


def test_fact_told_while_being_learned_stays_pending(
    memory: Memory, worker: Worker, learning: Learning, user: User, store_path: Path
) -> None:
    job = ask_for(memory, user, DOG)
    learning.meanwhile = lambda user_id: elsewhere(store_path, lambda other: other.facts.tell(user_id, AGE, replaces))
    worker.work_once()
    assert memory.jobs.get(job.id).state == "done"
    assert [stored.fact for stored in memory.facts.pending(user.id)] == [AGE]
