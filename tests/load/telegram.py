"""The bot under load on Telegram: its own time a command, and a thousand people who chat at once.

    python -m tests.load.telegram --json load.json     # 10,000 people, 300,000 facts; about three minutes
    python -m tests.load.telegram --people 500         # smaller

The bot is a process of its own (`python -m bot run`) over a filled store; the stand-ins for Telegram and for the model
server, which answers instantly, are in this process. The time of a command runs from the moment an update leaves the
stand-in to the arrival of the bot's reply there: reading, storing, handling and sending, with HTTP on both ways.
Not covered: a real network, a real model's seconds, Discord.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import random
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from tests.bot.bot_process import BotProcess, bot_process
from tests.bot.model_server import ModelServer
from tests.bot.telegram_person import Person
from tests.bot.telegram_server import TelegramServer
from tests.load.store import fill, marker, platform_id

CHAT_MESSAGE = "chat"
REPLIES = ("sendMessage", "sendDocument", "editMessageText")
MARKER = re.compile(r"zq\d{6}x")
TURNS = 3  # messages that each of the people chatting at once sends
COMMANDS_A_SECOND = 20.0
COMMAND_P99_MS = 25.0
MEMORY_MB = 500.0
GIVE_UP_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of the bot's own time."""

    count: int
    p50: float
    p99: float
    most: float


@dataclass(frozen=True, slots=True)
class Chatting:
    """What became of the messages of people who all chat at once."""

    people: int
    messages: int
    seconds: float
    dropped: int
    doubled: int
    out_of_order: int
    mixed_up: int


@dataclass(frozen=True, slots=True)
class Report:
    ran_on: str  # with the machine's load before the start
    people: int
    facts: int
    commands: Times
    by_command: dict[str, Times]
    chat_message: Times  # one at a time: typing sign, the model's answer, the reply
    chatting: Chatting
    memory_mb: float  # the most the bot's process ever held


@dataclass(frozen=True, slots=True)
class Bot:
    """The bot's process, and what it talks to."""

    process: BotProcess
    server: TelegramServer

    def person(self, number: int) -> Person:
        return self.server.person(platform_id(number), f"Person {number}")


def with_both_markers(_model: str, messages: Sequence[dict[str, str]]) -> str:
    """The marker in the facts that the bot sent along, and the message: each must be the speaker's own."""
    return f"{' '.join(MARKER.findall(messages[0]['content']))} heard {messages[-1]['content']}"


@asynccontextmanager
async def running_bot(folder: Path, people: int, facts_each: int) -> AsyncIterator[Bot]:
    fill(folder / "hippo.db", people, facts_each, "telegram")
    async with TelegramServer(checked=False) as server, ModelServer() as model:
        model.answer = with_both_markers
        async with bot_process(folder, server, model) as process:
            yield Bot(process, server)


async def time_commands(bot: Bot, people: int, count: int, seed: int = 0) -> dict[str, list[float]]:
    """Sends commands of different people at random moments; milliseconds by command."""
    rng = random.Random(seed)
    sent: list[tuple[str, int, int]] = []  # (command, chat, update)
    for person in rng.sample(range(people), min(count, people)):
        name, text = rng.choice(_commands(person))
        sent.append((name, platform_id(person), bot.person(person).say(text)))
        await asyncio.sleep(rng.expovariate(COMMANDS_A_SECOND))
    chats = {chat for _, chat, _ in sent}
    await bot.server.until(lambda: chats <= _answered(bot.server).keys(), GIVE_UP_SECONDS)
    answered = _answered(bot.server)
    times: dict[str, list[float]] = defaultdict(list)
    for name, chat, update in sent:
        times[name].append(1000 * (answered[chat] - bot.server.given[update]))
    return times


async def chat_at_once(bot: Bot, people: int) -> Chatting:
    """Everybody sends `TURNS` messages in the same moment."""
    everyone = [bot.person(number) for number in range(people)]
    before = [len(person.shown) for person in everyone]
    started = time.monotonic()
    for turn in range(TURNS):
        for number, person in enumerate(everyone):
            person.say(f"{marker(number)} turn {turn}?")

    def waiting() -> int:
        return sum(len(person.shown) - old < TURNS for person, old in zip(everyone, before, strict=True))

    while (missing := waiting()) and time.monotonic() - started < GIVE_UP_SECONDS:
        await asyncio.sleep(0.05 if missing < people / 10 else 0.5)
    seconds = time.monotonic() - started
    await asyncio.sleep(1.0)  # for any reply too many
    dropped = doubled = out_of_order = mixed_up = 0
    for number, (person, old) in enumerate(zip(everyone, before, strict=True)):
        mine, texts = marker(number), person.texts[old:]
        wanted = [f"{mine} heard {mine} turn {turn}?" for turn in range(TURNS)]
        dropped += sum(text not in texts for text in wanted)
        doubled += len(texts) - len(set(texts))
        out_of_order += texts != wanted and sorted(texts) == sorted(wanted)
        mixed_up += any(found != mine for text in texts for found in MARKER.findall(text))
    return Chatting(people, people * TURNS, round(seconds, 1), dropped, doubled, out_of_order, mixed_up)


async def measure(folder: Path, people: int, facts_each: int, commands: int, chatting: int) -> Report:
    load = os.getloadavg()[0]
    async with running_bot(folder, people, facts_each) as bot:
        times = await time_commands(bot, people, commands)
        chats = await chat_at_once(bot, chatting)
        return Report(
            ran_on=f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}, load {load:.1f}",
            people=people,
            facts=people * facts_each,
            chat_message=_times(times.pop(CHAT_MESSAGE)),
            commands=_times([one for some in times.values() for one in some]),
            by_command={name: _times(some) for name, some in sorted(times.items())},
            chatting=chats,
            memory_mb=round(bot.process.memory_mb(), 1),
        )


def _commands(person: int) -> list[tuple[str, str]]:
    return [
        ("/remember", f"/remember my neighbour is called Kim{person % 97}"),
        ("/remember, a long one", "/remember I work as a nurse in the children's ward of a hospital near the river"),
        ("/facts", "/facts"),
        ("/forget", "/forget 3"),
        ("/status", "/status"),
        ("/export", "/export"),
        ("/help", "/help"),
        ("/start", "/start"),
        ("/privacy", "/privacy"),
        ("/link", "/link"),
        ("/delete_me", "/delete_me"),
        ("/retrain", "/retrain"),
        (CHAT_MESSAGE, f"{marker(person)} what should I cook tonight?"),
    ]


def _answered(server: TelegramServer) -> dict[int, float]:
    """When the bot's first reply in each chat came."""
    first: dict[int, float] = {}
    for call in server.calls:
        if call.method in REPLIES:
            first.setdefault(call.chat_id, call.seconds)
    return first


def _times(milliseconds: Sequence[float]) -> Times:
    ordered = sorted(milliseconds)
    at = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99)]
    return Times(len(ordered), round(at[0], 1), round(at[1], 1), round(ordered[-1], 1))


def over(report: Report) -> list[str]:
    """What is not as it should be."""
    chats = report.chatting
    limits = {
        f"a command takes up to {report.commands.p99} ms (p99)": report.commands.p99 > COMMAND_P99_MS,
        f"memory is {report.memory_mb} MB": report.memory_mb > MEMORY_MB,
        f"{chats.dropped} messages dropped": chats.dropped,
        f"{chats.doubled} replies doubled": chats.doubled,
        f"{chats.out_of_order} people answered out of order": chats.out_of_order,
        f"{chats.mixed_up} people got another's words": chats.mixed_up,
    }
    return [what for what, wrong in limits.items() if wrong]


def main(
    people: Annotated[int, typer.Option(help="in the store")] = 10_000,
    facts_each: Annotated[int, typer.Option(help="facts of each of them")] = 30,
    commands: Annotated[int, typer.Option(help="commands to time, each of another person")] = 2_000,
    chatting: Annotated[int, typer.Option(help="people who chat at once")] = 1_000,
    out: Annotated[Path | None, typer.Option("--json", help="where to write the figures")] = None,
) -> None:
    """Measures, prints the figures, and fails where one is over its limit."""
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(measure(Path(folder), people, facts_each, commands, min(chatting, people)))
    figures = json.dumps(asdict(report), indent=2)
    print(figures)
    if out:
        out.write_text(f"{figures}\n")
    if failures := over(report):
        raise SystemExit("; ".join(failures))


if __name__ == "__main__":
    typer.run(main)
