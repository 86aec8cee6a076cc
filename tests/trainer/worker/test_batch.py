"""A batch under way: users deleted, jobs lost, failures of one alone, stopping, progress, leases, recovery."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bot.memory import Memory
from bot.memory.records import Job, User
from serving.base_model import BaseModel
from serving.errors import BaseModelMissing
from serving.settings import ServingSettings
from tests.trainer.worker.conftest import AGE, DOG, Learning, ask_for, elsewhere, published, staged
from trainer import worker as worker_module
from trainer.base import LoadedBase
from trainer.engine import Trained, UserExamples
from trainer.settings import TrainerSettings
from trainer.worker import Worker


@pytest.mark.parametrize("moment", ["meanwhile", "while_checking"])
def test_deleted_user_leaves_no_adapter_and_the_others_of_the_batch_are_served(
    memory: Memory, worker: Worker, learning: Learning, user: User, store_path: Path, moment: str
) -> None:
    other = memory.user_for("terminal", "other")
    ask_for(memory, user, DOG)
    kept = ask_for(memory, other, AGE)
    deleted = False

    def delete(*_: object) -> None:
        nonlocal deleted
        if not deleted:
            deleted = True
            elsewhere(store_path, lambda memory: memory.delete_user(user.id))

    setattr(learning, moment, delete)
    assert worker.work_once() == 2

    assert memory.jobs.get(kept.id).state == "done"
    assert published(store_path) == [f"{other.id}-v0001"]
    assert not staged(store_path)
    with sqlite3.connect(store_path) as db:
        assert db.execute("select count(*) from adapters where user_id = ?", [user.id]).fetchone() == (0,)
    db.close()


def test_training_is_given_up_when_nobody_waits_for_it(
    memory: Memory, worker: Worker, learning: Learning, user: User, store_path: Path
) -> None:
    ask_for(memory, user, DOG)
    learning.meanwhile = lambda user_id: elsewhere(store_path, lambda other: other.delete_user(user_id))
    worker.work_once()
    assert learning.trained == []  # it ended at the next step
    assert not staged(store_path)


def test_job_taken_over_by_another_worker_is_left_to_it(
    memory: Memory, worker: Worker, learning: Learning, user: User, store_path: Path
) -> None:
    job = ask_for(memory, user, DOG)

    def take_over(other: Memory) -> None:
        other.jobs.end_leases()
        assert other.jobs.claim("another", 60.0)

    learning.while_checking = lambda: elsewhere(store_path, take_over)
    worker.work_once()
    assert memory.jobs.get(job.id).state == "running"
    assert memory.adapters.live(user.id) is None
    assert published(store_path) == []


def test_failure_of_one_user_is_that_users_alone(
    memory: Memory, worker: Worker, learning: Learning, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = memory.user_for("terminal", "other")
    bad, good = ask_for(memory, user, DOG), ask_for(memory, other, AGE)

    def train(base: Any, users: Sequence[UserExamples], recipe: Any, on_progress: Any) -> list[Trained]:
        trained = learning.train(base, users, recipe, on_progress)
        return [
            Trained(one.user_id, one.folder, error="the loss was not a finite number")
            if one.user_id == user.id
            else one
            for one in trained
        ]

    monkeypatch.setitem(worker_module.ENGINES, "stacked", train)
    worker.work_once()
    assert memory.jobs.get(bad.id).state == "failed"
    assert memory.jobs.get(bad.id).error == "the loss was not a finite number"
    assert memory.jobs.get(good.id).state == "done"
    assert memory.adapters.live(user.id) is None


def test_unexpected_error_is_a_sentence_without_its_text_and_the_log_holds_no_fact(
    memory: Memory,
    worker: Worker,
    learning: Learning,
    user: User,
    store_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    job = ask_for(memory, user, DOG)

    quoting = f"cannot encode {DOG.text!r}"

    def fail(_user_id: str) -> None:
        raise RuntimeError(quoting)

    learning.meanwhile = fail
    with caplog.at_level(logging.DEBUG):
        worker.work_once()
    ended = memory.jobs.get(job.id)
    assert ended.state == "failed"
    assert ended.error == "something went wrong on the training machine (RuntimeError)"
    assert "RuntimeError" in caplog.text
    assert "Buddy" not in caplog.text
    assert not staged(store_path)
    learning.meanwhile = lambda _user_id: None
    again = memory.jobs.add(user.id, "retrain")
    worker.work_once()
    assert memory.jobs.get(again.id).state == "done"


def test_missing_base_model_is_told_in_its_own_words(
    memory: Memory, worker: Worker, learning: Learning, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any, **__: Any) -> LoadedBase:
        raise BaseModelMissing("SERVING_BASE_MODEL=x: not there")

    monkeypatch.setattr(worker_module, "load", load)
    job = ask_for(memory, user, DOG)
    worker.work_once()
    assert memory.jobs.get(job.id).error == "SERVING_BASE_MODEL=x: not there"


def test_asked_to_stop_it_hands_the_batch_back(
    memory: Memory, worker: Worker, learning: Learning, user: User, stop: threading.Event, store_path: Path
) -> None:
    job = ask_for(memory, user, DOG)
    learning.meanwhile = lambda _user_id: stop.set()
    worker.run()
    handed_back = memory.jobs.get(job.id)
    assert handed_back.state == "queued"
    assert handed_back.attempts == 0
    assert not staged(store_path)
    assert memory.adapters.live(user.id) is None


def test_user_without_facts_is_left_without_an_adapter(
    memory: Memory, worker: Worker, learning: Learning, user: User
) -> None:
    ask_for(memory, user, DOG)
    worker.work_once()
    memory.facts.forget(user.id, memory.facts.active(user.id)[0].id)
    job = memory.jobs.add(user.id, "nightly")
    worker.work_once()
    assert memory.jobs.get(job.id).result == {"facts": 0}
    assert memory.adapters.live(user.id) is None
    assert memory.export(user.id)["facts"] == []


def test_commit_that_fails_takes_the_published_folder_back(
    memory: Memory,
    worker: Worker,
    learning: Learning,
    user: User,
    store_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = ask_for(memory, user, DOG)

    def full_disk(*_: Any) -> None:
        assert published(store_path)  # the rename has happened
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(memory.facts, "purge_forgotten", full_disk)
        worker.work_once()
    assert published(store_path) == []
    assert memory.adapters.live(user.id) is None
    assert memory.jobs.get(job.id).state == "failed"
    assert memory.ledger.totals(60) == []


def test_progress_is_told_while_it_learns(
    memory: Memory, worker: Worker, learning: Learning, user: User, store_path: Path
) -> None:
    job = ask_for(memory, user, DOG)
    seen: list[tuple[str, float]] = []

    def look(*_: object) -> None:
        elsewhere(store_path, lambda other: seen.append((other.jobs.get(job.id).stage, other.jobs.get(job.id).share)))

    learning.meanwhile = look
    learning.while_checking = look
    worker.work_once()
    assert [stage for stage, _ in seen] == ["learning", "checking"]
    assert 0 < seen[0][1] < seen[1][1] < 1


def test_lease_is_renewed_while_a_step_takes_longer_than_it(
    memory: Memory, tmp_path: Path, learning: Learning, user: User, stop: threading.Event, store_path: Path
) -> None:
    settings = TrainerSettings(data_dir=tmp_path / "data").model_copy(update={"lease_seconds": 0.4})
    worker = Worker(
        memory, settings, ServingSettings(data_dir=tmp_path / "data"), BaseModel("/b", "base/bundled"), stop
    )
    job = ask_for(memory, user, DOG)
    claimed: list[Job] = []

    def slow(_user_id: str) -> None:
        threading.Event().wait(1.0)
        elsewhere(store_path, lambda other: claimed.extend(other.jobs.claim("another", 60.0)))

    learning.meanwhile = slow
    worker.work_once()
    assert claimed == []
    assert memory.jobs.get(job.id).state == "done"


def test_recovery_retires_adapters_of_another_base_and_frees_jobs_of_the_dead(
    memory: Memory, worker: Worker, tmp_path: Path, learning: Learning, user: User, stop: threading.Event
) -> None:
    ask_for(memory, user, DOG)
    worker.work_once()
    job = memory.jobs.add(user.id, "nightly")
    memory.jobs.claim("dead", 600.0)
    serving = ServingSettings(data_dir=tmp_path / "data", port=1)
    settings = TrainerSettings(data_dir=tmp_path / "data")
    other_base = Worker(memory, settings, serving, BaseModel("/other", "Qwen/Qwen2.5-7B-Instruct"), stop)
    other_base.recover()
    assert memory.adapters.live(user.id) is None
    other_base.work_once()
    assert memory.jobs.get(job.id).state == "done"
    live = memory.adapters.live(user.id)
    assert live is not None
    assert live.base_model == "Qwen/Qwen2.5-7B-Instruct"
