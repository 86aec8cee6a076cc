"""A worker with everything real but the learning itself: engine and check are stand-ins here.

Real training in real processes, and killing them, is in ../test_worker_process.py.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot.fact_changes import replaces
from bot.facts import Fact
from bot.memory import Memory
from bot.memory.records import Job, User
from serving.base_model import BaseModel
from serving.settings import ServingSettings
from trainer import user_dataset as user_dataset_module
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
    monkeypatch.setattr(user_dataset_module, "start_folder", lambda *_: None)
    monkeypatch.setattr(user_dataset_module, "written", lambda *_: [])
    monkeypatch.setattr(user_dataset_module, "outdated", lambda *_: frozenset())
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
