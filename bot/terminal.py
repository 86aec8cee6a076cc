"""The terminal as a chat platform: one person at the keyboard, one line a message.

    python -m bot chat

Replies stream as they come; buttons are numbered choices, chosen by typing the number; a training shows its progress
until it ends or Ctrl-C is pressed. Not covered: line editing beyond what the terminal itself does.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from bot.access import Speaker
from bot.assembly import Parts, assembled
from bot.conversation import Conversation
from bot.memory import Memory
from bot.memory.records import Job
from bot.replies import File, Reply
from bot.settings import BotSettings
from bot.surface import Audience, Incoming, Pace, Undelivered
from serving.settings import ServingSettings

NAME = "terminal"
PERSON = "me"
PLACE = "here"
POLL_SECONDS = 0.3
LINE_EVERY_SECONDS = 10.0  # of progress, where the output is no terminal
TOLD_SECONDS = 5.0  # from a job's end to its message
TRAINER_SECONDS = 6.0  # a job that waits alone for longer: nobody is there to do it
GOODBYE = ("/quit", "/exit")
NO_SERVER = (
    "No model server answers at {url}. Start it in another terminal with `python -m serving` (or everything with "
    "`make up`). You can tell me facts meanwhile; messages are kept and answered when it is up."
)
NO_TRAINER = "Nobody takes this up. Start the trainer in another terminal: python -m trainer"


class Terminal:
    """Platform and surface in one: there is one place to write to."""

    name = NAME
    pace = Pace(max_chars=1_000_000, seconds_between_edits=0.05, typing_seconds=60.0)

    def __init__(self, memory: Memory, console: Console, assistant_name: str) -> None:
        self._memory = memory
        self._console = console
        self._assistant = assistant_name
        self._actions: list[str] = []  # of the numbered choices shown last
        self._growing: str | None = None  # what stands on the screen of a reply under way
        self._jobs: dict[str, int] = {}  # message → the job it shows
        self._messages = 0
        self.at_prompt = False
        self.end_told = asyncio.Event()  # a job's end has been told since its message came

    def surface(self, _place: str) -> Terminal:
        return self

    async def fetch(self, ref: str) -> bytes:
        raise Undelivered(f"{ref} cannot be fetched")

    async def typing(self) -> None:
        """There is no typing sign: the reply itself appears as it comes."""

    async def draft(self, text: str) -> bool:
        self._grow(text.removesuffix("\n```"))  # closed for the time being; more code may follow
        return True

    async def send(self, reply: Reply) -> str:
        self._grow(reply.text)
        self._growing = None
        self._console.print()
        self._actions = [button.action for button in reply.buttons]
        for number, button in enumerate(reply.buttons, start=1):
            self._console.print(f"  [bold]{number}[/bold]  {escape(button.label)}")
        if reply.file:
            self._console.print(f"  saved as {escape(str(_save(reply.file)))}")
        self._messages += 1
        message = str(self._messages)
        if reply.job_id is not None:
            self._jobs[message] = reply.job_id
            self.end_told.clear()
        if self.at_prompt:
            self.prompt()
        return message

    async def edit(self, message: str, reply: Reply) -> bool:
        """What has scrolled by is not changed: while a job is open its progress bar shows it, and its end is told."""
        job = _job(self._memory, self._jobs[message]) if message in self._jobs else None
        if job is None or not job.open:
            await self.send(reply)
            self.end_told.set()
        return True

    def prompt(self) -> None:
        self.at_prompt = True
        self._console.print("[bold]you>[/bold] ", end="")

    def heard(self, line: str, *, typed: bool) -> None:
        """A line came in; where nobody typed it on the screen, it is shown."""
        self.at_prompt = False
        if not typed:
            self._console.print(escape(line), highlight=False)

    def action(self, text: str) -> str:
        """The action of the choice with that number; "" where the text is none."""
        return self._actions[int(text) - 1] if text.isdecimal() and 0 < int(text) <= len(self._actions) else ""

    def open_job(self) -> Job | None:
        """The job shown last, while it is under way."""
        job = _job(self._memory, next(reversed(self._jobs.values()))) if self._jobs else None
        return job if job and job.open else None

    def say(self, text: str) -> None:
        self._console.print(escape(text), style="yellow", highlight=False)

    def _grow(self, text: str) -> None:
        """Writes what of a reply is not on the screen yet."""
        if self._growing is None:
            if self.at_prompt:
                self._console.print()
            self._console.print(f"[bold cyan]{escape(self._assistant)}>[/bold cyan] ", end="")
            self._growing = ""
        elif not text.startswith(self._growing):  # another text takes its place
            self._console.print()
            self._growing = ""
        self._console.print(escape(text[len(self._growing) :]), end="", highlight=False, soft_wrap=True)
        self._growing = text


def incoming(text: str, action: str = "") -> Incoming:
    """A line typed, or the choice it stands for, as an update."""
    return Incoming(
        speaker=Speaker(NAME, PERSON),
        key=f"{NAME}:{secrets.token_hex(8)}",
        audience=Audience.DIRECT,
        text="" if action else text,
        button=action,
        place=PLACE,
    )


async def hear(conversation: Conversation, terminal: Terminal, text: str) -> None:
    """Handles one line, to its end."""
    conversation.receive(incoming(text, terminal.action(text.strip())), terminal)
    await conversation.idle()


async def watch(terminal: Terminal, memory: Memory, console: Console, job_id: int, leave: asyncio.Event) -> None:
    """Shows a job's progress until its end has been told, or `leave` is set."""
    columns = (TextColumn("  {task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[left]}"))
    started = last_line = time.monotonic()
    stage, hinted = "", False
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=1.0, left="")
        while not leave.is_set() and (job := _job(memory, job_id)) and job.open:
            left = f"about {job.seconds_left:.0f} s left" if job.seconds_left is not None else ""
            progress.update(bar, description=job.stage, completed=job.share, left=left)
            now = time.monotonic()
            if not console.is_terminal and (job.stage != stage or now - last_line > LINE_EVERY_SECONDS):
                console.print(f"  {job.stage} … {job.share:.0%} {left}", highlight=False)
                stage, last_line = job.stage, now
            if not hinted and job.state == "queued" and now - started > TRAINER_SECONDS:
                hinted = True
                if memory.jobs.ahead_of(job_id) == 0:
                    terminal.say(NO_TRAINER)
            await asyncio.sleep(POLL_SECONDS)
    if not leave.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(terminal.end_told.wait(), TOLD_SECONDS)


async def chat(settings: BotSettings, serving: ServingSettings) -> None:
    """Talks with the person at the keyboard until the input ends, /quit, or Ctrl-C at the prompt."""
    console = Console(soft_wrap=True)
    async with assembled(settings, serving) as parts:
        terminal = Terminal(parts.memory, console, settings.assistant_name)
        parts.conversation.attach(terminal)
        if not await parts.client.healthy():
            terminal.say(NO_SERVER.format(url=serving.url))
        if not parts.memory.facts.active(parts.conversation.commands.user(Speaker(NAME, PERSON)).id):
            await hear(parts.conversation, terminal, "/start")
        await converse(parts, terminal, console)


async def converse(parts: Parts, terminal: Terminal, console: Console) -> None:
    """The loop of a person's lines; Ctrl-C leaves a progress bar, or at the prompt the chat."""
    lines = _typed_lines()
    loop = asyncio.get_running_loop()
    leave = asyncio.Event()

    def interrupted() -> None:
        leave.set()
        if terminal.at_prompt:
            lines.put_nowait(None)

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        while True:
            terminal.prompt()
            line = await lines.get()
            if line is None or line.strip().lower() in GOODBYE:
                break
            terminal.heard(line, typed=sys.stdin.isatty())
            await hear(parts.conversation, terminal, line)
            if job := terminal.open_job():
                leave.clear()
                await watch(terminal, parts.memory, console, job.id, leave)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        console.print()


def _typed_lines() -> asyncio.Queue[str | None]:
    """Lines of standard input as they come, and None at its end, read by a thread that dies with the process."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        rest = b""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            # not sys.stdin: a thread waiting inside its lock would make the interpreter's end fail
            while got := os.read(sys.stdin.fileno(), 65_536):
                *whole, rest = (rest + got).split(b"\n")
                for line in whole:
                    loop.call_soon_threadsafe(lines.put_nowait, line.decode(errors="replace").rstrip("\r"))
            if rest:
                loop.call_soon_threadsafe(lines.put_nowait, rest.decode(errors="replace"))
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, name="keyboard", daemon=True).start()
    return lines


def _job(memory: Memory, job_id: int) -> Job | None:
    """None: it is gone with its user."""
    try:
        return memory.jobs.get(job_id)
    except KeyError:
        return None


def _save(file: File) -> Path:
    """Writes a file into the current folder under a name that is free, for its owner to read."""
    name = Path(file.name)
    path, number = name, 1
    while path.exists():
        path, number = name.with_stem(f"{name.stem}-{number}"), number + 1
    path.touch(mode=0o600)
    path.write_bytes(file.content)
    return path.resolve()
