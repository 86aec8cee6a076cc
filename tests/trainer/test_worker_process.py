"""Real `python -m trainer` processes over one store, killed with SIGKILL where it hurts, and stopped with SIGTERM.

The base model is tiny and the gate is open: what counts here is what stands in the store and on disk afterwards.
"""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bot.fact_changes import replaces
from bot.facts import Fact
from bot.memory import Memory
from bot.memory.records import Job, User
from tests.vllm_server import ROOT, environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FACTS = (
    Fact("my dog is Buddy", "dog", "name", "Buddy"),
    Fact("I am 25", "", "age", "25"),
    Fact("my birthday is March 15", "", "birthday", "March 15"),
)
WAIT_SECONDS = 180.0
DIE_BETWEEN_RENAME_AND_COMMIT = """
import os, signal
from bot.memory.adapters import Adapters
Adapters.go_live = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from trainer.__main__ import app
app(["once"])
"""


@pytest.fixture(scope="module")
def shared_base_dir(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> Path:
    """The base's own answers to general prompts, as the trainer keeps them: a base that babbles needs minutes."""
    folder = tmp_path_factory.mktemp("shared") / "base"
    folder.mkdir()
    digest = hashlib.sha256(str(tiny_base).encode()).hexdigest()[:12]
    (folder / f"replay-{digest}.json").write_text(json.dumps([["Name a color.", "Blue."], ["Say hi.", "Hi!"]]))
    return folder


@pytest.fixture
def data_dir(tmp_path: Path, shared_base_dir: Path) -> Path:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "base").symlink_to(shared_base_dir)
    return data_dir


@pytest.fixture
def env(data_dir: Path, tiny_base: Path) -> dict[str, str]:
    return environment(
        HIPPO_DATA_DIR=data_dir,
        SERVING_BASE_MODEL=tiny_base,
        SERVING_PORT=1,
        TRAINER_POLL_SECONDS=0.1,
        TRAINER_MIN_RECALL=0,
        TRAINER_MIN_ABSTENTION=0,
        TRAINER_MAX_GENERAL_LOSS=1,
    )


@pytest.fixture
def memory(data_dir: Path) -> Iterator[Memory]:
    with closing(Memory.open(data_dir / "hippo.db")) as memory:
        yield memory


@pytest.fixture
def user(memory: Memory) -> User:
    user = memory.user_for("terminal", "me")
    for fact in FACTS:
        memory.facts.tell(user.id, fact, replaces)
    return user


@contextmanager
def trainer(env: dict[str, str], *args: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, *(args or ("-m", "trainer"))],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def once(env: dict[str, str]) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "trainer", "once"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stderr


def wait_for(memory: Memory, job_id: int, *stages: str) -> Job:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        job = memory.jobs.get(job_id)
        if job.stage in stages:
            return job
        assert job.open, f"the job ended as {job.state} ({job.error}) before it was {stages}"
        time.sleep(0.005)
    raise AssertionError(f"the job never was {stages}")


def folders(data_dir: Path, name: str) -> list[str]:
    folder = data_dir / name
    return sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []


def consistent(memory: Memory, user: User, data_dir: Path) -> bool:
    """What is live is on disk, whole, and nothing else is."""
    live = memory.adapters.live(user.id)
    expected = [live.name] if live else []
    files = folders(data_dir, f"adapters/{live.name}") if live else []
    return folders(data_dir, "adapters") == expected and (not live or "adapter_model.safetensors" in files)


def test_worker_killed_while_learning_and_while_checking_leaves_no_trace_and_the_job_is_done_in_the_end(
    memory: Memory, user: User, data_dir: Path, env: dict[str, str]
) -> None:
    job = memory.jobs.add(user.id, "retrain")
    for stage in ("learning", "checking"):
        with trainer(env) as process:
            wait_for(memory, job.id, stage)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert memory.jobs.get(job.id).state == "running"
        assert memory.adapters.live(user.id) is None
        assert folders(data_dir, "adapters") == []
        assert len(memory.facts.active(user.id)) == len(FACTS)

    assert "1 jobs done" in once(env)  # at once: the lease of the dead is not waited for

    ended = memory.jobs.get(job.id)
    assert ended.state == "done"
    assert ended.attempts == 3
    assert consistent(memory, user, data_dir)
    assert folders(data_dir, "staging") == []
    live = memory.adapters.live(user.id)
    assert live is not None
    assert live.fact_ids == {stored.id for stored in memory.facts.active(user.id)}
    held = json.loads((data_dir / "adapters" / live.name / "training.json").read_text())
    assert not {one["question"] for one in held["asked"]} & set(held["trained_questions"])


def test_worker_killed_between_rename_and_commit_leaves_nothing_half_published(
    memory: Memory, user: User, data_dir: Path, env: dict[str, str]
) -> None:
    job = memory.jobs.add(user.id, "retrain")
    with trainer(env, "-c", DIE_BETWEEN_RENAME_AND_COMMIT) as process:
        assert process.wait(WAIT_SECONDS) == -signal.SIGKILL
    assert folders(data_dir, "adapters") == [f"{user.id}-v0001"]  # renamed, but no row says that it is live
    assert memory.adapters.live(user.id) is None
    assert memory.jobs.get(job.id).state == "running"
    assert memory.ledger.totals(3600) == []

    once(env)

    live = memory.adapters.live(user.id)
    assert live is not None
    assert live.version > 1  # the name of the half-published one is never used again
    assert consistent(memory, user, data_dir)
    assert memory.jobs.get(job.id).state == "done"
    assert memory.ledger.totals(3600)[0].entries == 1


def test_worker_asked_to_stop_hands_its_job_back_and_ends_well(
    memory: Memory, user: User, data_dir: Path, env: dict[str, str]
) -> None:
    job = memory.jobs.add(user.id, "retrain")
    with trainer(env) as process:
        wait_for(memory, job.id, "learning")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output.decode()
    assert "Traceback" not in output.decode()
    handed_back = memory.jobs.get(job.id)
    assert (handed_back.state, handed_back.attempts) == ("queued", 0)
    assert folders(data_dir, "staging") == []
    assert memory.adapters.live(user.id) is None


def test_second_trainer_in_one_data_folder_is_refused_with_a_sentence(
    memory: Memory, data_dir: Path, env: dict[str, str]
) -> None:
    from filelock import FileLock

    with FileLock(str(data_dir / "trainer.lock")):
        ended = subprocess.run(
            [sys.executable, "-m", "trainer"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=WAIT_SECONDS
        )
    assert ended.returncode == 1
    assert "A trainer is at work" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_recipe_whose_adapters_the_server_would_refuse_is_told_at_the_start(env: dict[str, str]) -> None:
    env["TRAINER_RECIPE"] = "paper"
    ended = subprocess.run(
        [sys.executable, "-m", "trainer"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=WAIT_SECONDS
    )
    assert ended.returncode == 1
    assert "SERVING_MAX_LORA_RANK=64" in ended.stderr
