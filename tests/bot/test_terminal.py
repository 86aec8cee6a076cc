"""`python -m bot chat` and `python -m bot run` as processes: at the end of a pipe and of a real terminal (pty)."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from bot.__main__ import PLATFORMS
from bot.memory import Memory
from tests.bot.model_server import ModelServer
from tests.vllm_server import environment

WAIT_SECONDS = 60.0
SCREEN_CODES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\r")


class Session:
    """A running `python -m bot chat` whose lines are typed by the test."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.shown = ""

    async def type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def until(self, text: str) -> str:
        """What was shown since the last call, up to and with `text`."""
        assert self._process.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS):
            while text not in self.shown:
                got = await self._process.stdout.read(4096)
                assert got, f"it ended without {text!r}:\n{self.shown}"
                self.shown += got.decode(errors="replace")
        before, self.shown = self.shown.split(text, 1)
        return before + text

    async def end(self) -> int:
        self._process.stdin.close()  # type: ignore[union-attr]
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._process.wait()


@asynccontextmanager
async def session(folder: Path, model: ModelServer | None) -> AsyncIterator[Session]:
    port = model.url.rsplit(":", 1)[1] if model else "1"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "chat"),
        cwd=folder,
        env=environment(HIPPO_DATA_DIR=folder / "data", SERVING_PORT=port),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield Session(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "hippo.db"


def exported(path: str) -> list[str]:
    """The facts in a saved file, which its owner alone may read."""
    assert Path(path).stat().st_mode & 0o077 == 0
    return [fact["text"] for fact in json.loads(Path(path).read_text())["facts"]]


async def test_facts_choices_files_and_chat_at_the_keyboard(tmp_path: Path, model: ModelServer) -> None:
    async with session(tmp_path, model) as chat:
        await chat.until("personal AI")  # who has told nothing yet is greeted
        await chat.type("/remember my dog is Buddy")
        await chat.until("Got it: Your dog is Buddy.")
        await chat.until("1  Undo")
        await chat.type("1")
        await chat.until("Taken back.")
        await chat.type("/remember I live in Oslo")
        await chat.until("Got it: You live in Oslo.")
        await chat.type("/export")
        assert exported((await chat.until(".json")).split("saved as ")[1]) == ["I live in Oslo"]
        await chat.type("hello there [bold]friend[/bold]")
        await chat.until("Hippo> default heard: hello there [bold]friend[/bold]")
        await chat.type("/nonsense")
        await chat.until("I don't know the command /nonsense")
        await chat.type("/quit")
        assert await chat.end() == 0
        assert "Traceback" not in chat.shown
    assert "You live in Oslo." in model.asked[-1].system


@pytest.mark.slow
async def test_without_a_model_server_it_says_how_to_start_one_and_answers_kept_messages_when_it_is_up(
    tmp_path: Path, model: ModelServer
) -> None:
    model.status = 503
    async with session(tmp_path, model) as chat:
        await chat.until("python -m serving")
        await chat.type("are you there?")
        await chat.until("I've kept your message")
        await chat.type("/remember my dog is Buddy")
        await chat.until("Got it: Your dog is Buddy.")
        model.status = 200
        await chat.until("default heard: are you there?")
        assert await chat.end() == 0  # the end of the input is the end of the chat


@pytest.mark.slow
async def test_retrain_shows_its_progress_and_how_it_ended(
    tmp_path: Path, model: ModelServer, store_path: Path
) -> None:
    async with session(tmp_path, model) as chat:
        await chat.type("/remember my dog is Buddy")
        await chat.until("Got it")
        await chat.type("/retrain")
        await chat.until("queued")
        with closing(Memory.open(store_path)) as trainer:
            (job,) = trainer.jobs.claim("w", 60)
            trainer.jobs.report(job.id, "w", 60, "learning", 0.25, 42.0)
            await chat.until("learning … 25% about 42 s left")
            trainer.jobs.finish(job.id, "w", "failed", {}, "the loss was not a finite number")
        await chat.until("the loss was not a finite number")
        await chat.until("you>")
        await chat.type("/quit")
        assert await chat.end() == 0


@pytest.mark.slow
async def test_training_that_nobody_takes_up_says_how_to_start_the_trainer(tmp_path: Path, model: ModelServer) -> None:
    async with session(tmp_path, model) as chat:
        await chat.type("/remember my dog is Buddy")
        await chat.type("/retrain")
        await chat.until("python -m trainer")


@pytest.mark.slow
async def test_end_of_a_training_from_before_is_told_at_the_next_start(
    tmp_path: Path, model: ModelServer, store_path: Path
) -> None:
    async with session(tmp_path, model) as chat:
        await chat.type("/remember my dog is Buddy")
        await chat.type("/retrain")
        await chat.until("queued")
    with closing(Memory.open(store_path)) as trainer:
        (job,) = trainer.jobs.claim("w", 60)
        trainer.jobs.finish(job.id, "w", "failed", {}, "the card fell out")
    async with session(tmp_path, model) as chat:
        await chat.until("the card fell out")


def test_ctrl_c_at_the_prompt_of_a_real_terminal_ends_it_cleanly(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bot", "chat"],
        cwd=tmp_path,
        env=environment(HIPPO_DATA_DIR=tmp_path / "data", SERVING_PORT=1, TERM="xterm"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    shown = b""
    deadline = time.monotonic() + WAIT_SECONDS
    try:
        while b"you>" not in shown and time.monotonic() < deadline:
            shown += SCREEN_CODES.sub(b"", os.read(master, 4096))
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(master)
    assert b"Traceback" not in shown


@pytest.mark.parametrize("given", [{}, {"BOT_DISCORD_TOKEN": "", "BOT_TELEGRAM_TOKEN": "  "}])
def test_run_without_a_token_names_both_settings(tmp_path: Path, given: dict[str, str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "bot", "run"],
        cwd=tmp_path,
        env=environment(HIPPO_DATA_DIR=tmp_path / "data", **given),
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert ended.returncode == 1
    assert "BOT_DISCORD_TOKEN" in ended.stderr
    assert "BOT_TELEGRAM_TOKEN" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_setting_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "bot", "run"],
        cwd=tmp_path,
        env=environment(HIPPO_DATA_DIR=tmp_path / "data", BOT_MAX_FACTS="many"),
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert ended.returncode == 1
    assert "max_facts" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("module", PLATFORMS.values())
def test_every_platform_has_the_entry_that_run_calls(module: str) -> None:
    run = importlib.import_module(module).run
    assert inspect.iscoroutinefunction(run)
    assert list(inspect.signature(run).parameters) == ["settings", "conversation", "stop"]
