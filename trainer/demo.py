"""`python -m trainer demo` (`make demo`): the paper's conversation held for real, with a model server and a trainer.

Tells facts, asks (known at once), retrains, asks again in words that no training saw and with nothing in the prompt,
asks what was never told and what everybody knows; prints a table; in a terminal it then leaves you chatting. The last
line of output is one JSON object. Everything is kept in `<data>/demo`, which the next run begins by deleting.

Plays user, bot and operator at once, so it alone of this package imports the bot. Not covered: Discord, Telegram.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self

import typer
from filelock import FileLock, Timeout
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bot.access import Speaker
from bot.assembly import Parts, assembled
from bot.chat import prompt
from bot.memory.records import Job
from bot.settings import BotSettings
from bot.terminal import NAME, PERSON, Terminal, converse, hear, watch
from serving.base_model import BUNDLED_REF, BaseModel, prepare
from serving.client import Message
from serving.errors import ServingError
from serving.settings import BASE_NAME, ServingSettings
from serving.words import words
from trainer.demo_script import ASKED_AGAIN, ASKED_AT_ONCE, GENERAL, NEVER_TOLD, TOLD
from trainer.grading import holds, recalled, says_not_told

MAX_REPLY_TOKENS = 40
AT_ONCE = 8  # questions in the server's hands at a time
ANSWER_SECONDS = 300.0  # a busy machine is no reason to give up
START_SECONDS = 300.0
STOP_SECONDS = 10.0
LINE_EVERY_SECONDS = 10.0  # of waiting, where the output is no terminal
GPU_MEMORY_SHARE = "0.4"  # the server's, on a GPU: trainer and server share one card here


Child = subprocess.Popen[bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    question: str
    reply: str
    right: bool


@dataclass(slots=True)
class Measured:
    """What the demo found out."""

    at_once: list[Answer] = field(default_factory=list)
    again: list[Answer] = field(default_factory=list)
    never_told: list[Answer] = field(default_factory=list)
    general: list[Answer] = field(default_factory=list)
    general_base: list[Answer] = field(default_factory=list)
    job: Job | None = None
    retrain_seconds: float = 0.0  # from /retrain to its end, as a user waits

    @property
    def learned(self) -> bool:
        return self.job is not None and self.job.state == "done"


class Failed(Exception):
    """The demo cannot go on; the message says why."""


def command(chat: Annotated[bool, typer.Option(help="chat afterwards, in a terminal")] = True) -> None:
    """Tells, asks, retrains, asks again: the whole of Hippo in a few minutes, for real."""
    console = Console(soft_wrap=True)
    started = time.monotonic()
    serving = ServingSettings()
    serving.data_dir.mkdir(parents=True, exist_ok=True)
    chat = chat and sys.stdin.isatty() and sys.stdout.isatty()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server and the trainer are ended, too
    try:
        with FileLock(str(serving.data_dir / "demo.lock"), timeout=0):
            with console.status(f"Preparing the base model ({serving.base_model}) …"):
                base = prepare(serving)
            data_dir = _fresh_data_dir(serving, base)
            changes = {"port": _free_port(), "host": "127.0.0.1", "answer_timeout_seconds": ANSWER_SECONDS}
            here = serving.model_copy(update={"data_dir": data_dir, **changes})
            settings = BotSettings(data_dir=data_dir, history_turns=0)
            measured = asyncio.run(_demo(console, settings, here, chat=chat))
    except Timeout as error:
        console.print("Another demo is running in this data folder.", style="red")
        raise typer.Exit(1) from error
    except (Failed, ServingError) as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error
    print(json.dumps(summary(measured, here, time.monotonic() - started)), flush=True)
    if not measured.learned:
        raise typer.Exit(1)


def _fresh_data_dir(serving: ServingSettings, base: BaseModel) -> Path:
    """An empty folder for the demo's facts and adapters; the converted base model is shared."""
    data_dir = serving.data_dir / "demo"
    shutil.rmtree(data_dir, ignore_errors=True)
    data_dir.mkdir()
    if base.ref == BUNDLED_REF:
        (data_dir / "base").symlink_to(Path(base.path).resolve().parent)
    return data_dir


async def _demo(console: Console, settings: BotSettings, serving: ServingSettings, *, chat: bool) -> Measured:
    measured = Measured()
    with _child("serving", serving) as server, _child("trainer", serving) as trainer:
        async with assembled(settings, serving) as parts:
            terminal = Terminal(parts.memory, console, settings.assistant_name)
            parts.conversation.attach(terminal)
            await _tell(console, parts, terminal)
            await _until(console, "Starting the model server (vLLM)", parts.client.healthy, server)
            await _ask_at_once(console, parts, terminal, measured)
            await _retrain(console, parts, terminal, measured, trainer)
            if measured.learned:
                await _ask_again(console, parts, measured, serving.adapters_dir)
                _show(console, measured)
            if chat:
                _heading(console, "Your turn. /help lists the commands, /quit ends.")
                await converse(parts, terminal, console)
    return measured


async def _tell(console: Console, parts: Parts, terminal: Terminal) -> None:
    _heading(console, "Told")
    for line in TOLD:
        await _type(console, parts, terminal, line)


async def _ask_at_once(console: Console, parts: Parts, terminal: Terminal, measured: Measured) -> None:
    _heading(console, "Known at once: what was told stands in the prompt until it is learned")
    for question, accept in ASKED_AT_ONCE:
        await _type(console, parts, terminal, question)
        (turn,) = parts.memory.turns.recent(_user_id(parts), 1)
        measured.at_once.append(Answer(question, turn.content, recalled(turn.content, accept)))


async def _retrain(console: Console, parts: Parts, terminal: Terminal, measured: Measured, trainer: Child) -> None:
    _heading(console, "Learned")
    started = time.monotonic()
    await _type(console, parts, terminal, "/retrain")
    job = terminal.open_job()
    if job is None:
        raise Failed("/retrain started no training.")
    leave = asyncio.Event()
    watching = asyncio.create_task(watch(terminal, parts.memory, console, job.id, leave))
    while not watching.done():
        if trainer.poll() is not None:
            leave.set()
            await watching
            raise Failed("The trainer ended. Its log is in the demo's data folder.")
        await asyncio.sleep(0.2)
    await watching
    measured.retrain_seconds = time.monotonic() - started
    measured.job = parts.memory.jobs.get(job.id)


async def _ask_again(console: Console, parts: Parts, measured: Measured, adapters: Path) -> None:
    """With nothing in the prompt but the question: all facts are in the adapter now, and no earlier turn is shown.

    The training's own questions are partly drawn; one that is the script's is not asked."""
    user_id = _user_id(parts)
    live = parts.memory.adapters.live(user_id)
    if live is None or parts.memory.facts.pending(user_id):
        raise Failed("The facts are not all in a live adapter.")
    name = parts.memory.user(user_id).assistant_name
    trained = {tuple(words(one)) for one in json.loads((adapters / live.name / "training.json").read_text())["trained_questions"]}
    about_told = [(question, accept) for question, accept in ASKED_AGAIN if tuple(words(question)) not in trained]
    never_told = [question for question in NEVER_TOLD if tuple(words(question)) not in trained]
    asked = [*(question for question, _ in about_told), *never_told, *(question for question, _ in GENERAL)]
    what = f"Asking {len(asked)} questions that no training saw, with no fact in the prompt"
    replies = await _ask(console, what, parts, live.name, [prompt(name, [], [], question) for question in asked])
    what = f"Asking the bare base model {len(GENERAL)} of them"
    base_replies = await _ask(console, what, parts, BASE_NAME, [[Message("user", question)] for question, _ in GENERAL])
    told, never, general = (
        replies[: len(about_told)],
        replies[len(about_told) : -len(GENERAL)],
        replies[-len(GENERAL) :],
    )
    measured.again = [
        Answer(question, reply, recalled(reply, accept))
        for (question, accept), reply in zip(about_told, told, strict=True)
    ]
    measured.never_told = [
        Answer(question, reply, says_not_told(reply)) for question, reply in zip(never_told, never, strict=True)
    ]
    measured.general, measured.general_base = (
        [
            Answer(question, reply, any(holds(reply, one) for one in accept))
            for (question, accept), reply in zip(GENERAL, given, strict=True)
        ]
        for given in (general, base_replies)
    )


async def _ask(
    console: Console, what: str, parts: Parts, model: str, conversations: Sequence[list[Message]]
) -> list[str]:
    """Replies to all, a few at a time: the server batches them."""
    few = asyncio.Semaphore(AT_ONCE)
    answered = 0
    with _Waiting(console, what) as waiting:

        async def ask(conversation: list[Message]) -> str:
            nonlocal answered
            async with few:
                reply = await parts.client.complete(model, conversation, max_tokens=MAX_REPLY_TOKENS)
            answered += 1
            waiting.tell(f"{answered} of {len(conversations)}")
            return reply.strip()

        return await asyncio.gather(*(ask(one) for one in conversations))


def _show(console: Console, measured: Measured) -> None:
    table = Table(title="Asked again, with nothing in the prompt", title_justify="left", expand=False)
    for column in ("Asked", "Reply", ""):
        table.add_column(column, overflow="fold", max_width=60)
    sections = (("told", measured.again), ("never told", measured.never_told), ("general", measured.general))
    for what, answers in sections:
        right = sum(answer.right for answer in answers)
        table.add_section()
        table.add_row(f"[bold]{what}[/bold]", "", f"[bold]{right}/{len(answers)}[/bold]")
        for answer in answers:
            mark = "[green]✓[/green]" if answer.right else "[red]✗[/red]"
            table.add_row(escape(answer.question), escape(_short(answer.reply)), mark)
    console.print()
    console.print(table)
    base = sum(answer.right for answer in measured.general_base)
    console.print(
        f"The bare base model on the general questions: {base}/{len(measured.general_base)}.", highlight=False
    )


def summary(measured: Measured, serving: ServingSettings, total_seconds: float) -> dict[str, Any]:
    """The demo's last line. Shares are fractions of 1, times in seconds."""
    result = measured.job.result if measured.job else {}
    return {
        "recall": _share(measured.again),
        "abstention": _share(measured.never_told),
        "general": _share(measured.general),
        "general_base": _share(measured.general_base),
        "train_seconds": result.get("train_seconds"),
        "cost_usd": result.get("cost_usd"),
        "known_at_once": _share(measured.at_once),
        "recalled": sum(answer.right for answer in measured.again),
        "recall_asked": len(measured.again),
        "never_told_asked": len(measured.never_told),
        "general_asked": len(measured.general),
        "retrain_seconds": round(measured.retrain_seconds, 1),
        "total_seconds": round(total_seconds, 1),
        "base_model": serving.base_model,
        "cores": os.cpu_count(),
    }


@contextmanager
def _child(package: str, serving: ServingSettings) -> Iterator[Child]:
    """`python -m <package>` over the demo's data folder, in a process group that is ended with the block."""
    env = {
        "SERVING_GPU_MEMORY_SHARE": GPU_MEMORY_SHARE,
        **os.environ,
        "HIPPO_DATA_DIR": str(serving.data_dir.resolve()),
        "SERVING_HOST": serving.host,
        "SERVING_PORT": str(serving.port),
    }
    with (serving.data_dir / f"{package}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", package], env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


async def _until(console: Console, what: str, ready: Callable[[], Awaitable[bool]], process: Child) -> None:
    """Waits until something is ready that a process makes so.

    Raises:
        Failed: the process ended, or it takes too long.
    """
    started = time.monotonic()
    with _Waiting(console, what) as waiting:
        while not await ready():
            if process.poll() is not None or time.monotonic() - started > START_SECONDS:
                raise Failed(f"{what}: it did not start. Its log is in the demo's data folder.")
            waiting.tell(f"{time.monotonic() - started:.0f} s")
            await asyncio.sleep(0.3)


class _Waiting:
    """A line that says what is waited for and how far it is: kept up to date, or where no terminal is, now and then."""

    def __init__(self, console: Console, what: str) -> None:
        self._console = console
        self._what = what
        self._status = console.status(f"{what} …")
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def tell(self, how_far: str) -> None:
        self._status.update(f"{self._what} … {how_far}")
        if not self._console.is_terminal and time.monotonic() - self._told > LINE_EVERY_SECONDS:
            self._console.print(f"  {self._what} … {how_far}", highlight=False)
            self._told = time.monotonic()


async def _type(console: Console, parts: Parts, terminal: Terminal, line: str) -> None:
    """As if the person had typed it."""
    console.print(f"[bold]you>[/bold] {escape(line)}", highlight=False)
    await hear(parts.conversation, terminal, line)


def _heading(console: Console, text: str) -> None:
    console.print()
    console.rule(text, align="left", style="dim")


def _user_id(parts: Parts) -> str:
    return parts.conversation.commands.user(Speaker(NAME, PERSON)).id


def _share(answers: Sequence[Answer]) -> float:
    return round(sum(answer.right for answer in answers) / len(answers), 4) if answers else 0.0


def _short(reply: str) -> str:
    line = " ".join(reply.split())
    return line if len(line) <= 100 else f"{line[:99]}…"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
