"""What the worker decides, with everything real but the learning itself: engine and check are stand-ins here.

Real training in real processes, and killing them, is in test_worker_process.py.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot import replies
from bot.fact_changes import replaces
from bot.facts import Fact
from bot.memory import Memory
from bot.memory.records import Job, User
from serving.base_model import BaseModel
from serving.errors import BaseModelMissing
from serving.settings import ServingSettings
from trainer import worker as worker_module
from trainer.base import LoadedBase
from trainer.dataset import Replay
from trainer.engine import Progress, Trained, UserExamples
from trainer.gate import Scores
from trainer.settings import TrainerSettings
from trainer.worker import Worker

GOOD = Scores(
    recalled=10, recall_asked=10, abstained=5, never_told_asked=5, general=9, general_base=9, general_asked=10
)
FORGETFUL = Scores(
    recalled=2, recall_asked=10, abstained=5, never_told_asked=5, general=9, general_base=9, general_asked=10
)
DOG = Fact("my dog is Buddy", "dog", "name", "Buddy")
AGE = Fact("I am 25", "", "age", "25")


class Learning:
    """The stand-in for engine and check. `meanwhile` runs in the middle of the training of each user."""

    def __init__(self) -> None:
        self.scores = GOOD
        self.meanwhile: Callable[[str], None] = lambda _user_id: None
        self.while_checking: Callable[[], None] = lambda: None
        self.trained: list[list[str]] = []  # questions of each user trained

    def train(
        self, _base: Any, users: Sequence[UserExamples], _recipe: Any, on_progress: Callable[[Progress], None]
    ) -> list[Trained]:
        done = []
        for user in users:
            on_progress(Progress(user.user_id, 1, 4, 1.0))
            self.meanwhile(user.user_id)
            on_progress(Progress(user.user_id, 4, 4, 0.1))
            user.folder.mkdir(parents=True)
            (user.folder / "adapter_config.json").write_text("{}")
            self.trained.append([example.user for example in user.examples])
            done.append(Trained(user.user_id, user.folder, seconds=36.0, tokens=100, losses=[1.0, 0.1]))
        return done

    def ask(self, *_: Any) -> tuple[Scores, list[tuple[str, str, bool]]]:
        self.while_checking()
        return self.scores, [("whats my dogs name", "Buddy!", True)]


@pytest.fixture
def learning(monkeypatch: pytest.MonkeyPatch) -> Learning:
    stand_in = Learning()
    monkeypatch.setitem(worker_module.ENGINES, "stacked", stand_in.train)
    monkeypatch.setattr(worker_module, "load", lambda path, ref, **_: LoadedBase(None, None, "cpu", ref, path))
    monkeypatch.setattr(worker_module, "replay_pairs", lambda *_: [Replay("Say hi", "Hi!")])
    monkeypatch.setattr(worker_module, "start_folder", lambda *_: None)
    monkeypatch.setattr(worker_module, "written", lambda *_: [])
    monkeypatch.setattr(worker_module.check, "general_of_base", lambda *_: [True])
    monkeypatch.setattr(worker_module.check, "ask", stand_in.ask)
    return stand_in


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "hippo.db"


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


@pytest.fixture
def worker(memory: Memory, tmp_path: Path, stop: threading.Event) -> Worker:
    settings = TrainerSettings(data_dir=tmp_path / "data")
    serving = ServingSettings(data_dir=tmp_path / "data", port=1)  # nobody answers there
    return Worker(memory, settings, serving, BaseModel("/base", "base/bundled"), stop)


@pytest.fixture
def user(memory: Memory) -> User:
    return memory.user_for("terminal", "me")


def ask_for(memory: Memory, user: User, *facts: Fact) -> Job:
    for fact in facts:
        memory.facts.tell(user.id, fact, replaces)
    return memory.jobs.add(user.id, "retrain")


def published(memory_path: Path) -> list[str]:
    folder = memory_path.parent / "adapters"
    return sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []


def staged(memory_path: Path) -> bool:
    return (memory_path.parent / "staging").exists()


def elsewhere(memory_path: Path, act: Callable[[Memory], object]) -> None:
    """As another process would: over a connection of its own."""
    with closing(Memory.open(memory_path)) as other:
        act(other)


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
