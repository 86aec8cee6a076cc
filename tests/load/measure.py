"""The bot under load: its own time a command, and a thousand people who chat at once, on either platform.

    report = await measure("discord", folder, people=10_000, facts_each=30, commands=2_000, chatting=1_000)
    over(report)                                  # what is not as it should be

The bot is a process of its own over a filled store; the stand-ins for the platform and for the model server, which
answers instantly, are in this process. The time of a command runs from the moment it leaves the stand-in to the arrival
of the bot's reply there: reading, storing, handling and sending. Not covered: a real network, a real model's seconds.
"""

from __future__ import annotations

import asyncio
import os
import platform as machine
import random
import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bot.model_server import ModelServer
from tests.load.crowd import Crowd, running_bot
from tests.load.store import fill, marker, platform_id

CHAT_MESSAGE = "chat"
MARKER = re.compile(r"zq\d{6}x")
TURNS = 3  # messages that each of the people chatting at once sends
COMMANDS_A_SECOND = 20.0
COMMAND_P99_MS = 25.0
MEMORY_MB = 500.0
GIVE_UP_SECONDS = 240.0
ADMIN_EVERY = 50  # one person in so many is an admin, and asks for /cost


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
    platform: str
    people: int
    facts: int
    commands: Times
    by_command: dict[str, Times]
    chat_message: Times  # one at a time: typing sign, the model's answer, the reply
    chatting: Chatting
    memory_mb: float  # the most the bot's process ever held


def with_both_markers(_model: str, messages: Sequence[dict[str, str]]) -> str:
    """The marker in the facts that the bot sent along, and the message: each must be the speaker's own."""
    return f"{' '.join(MARKER.findall(messages[0]['content']))} heard {messages[-1]['content']}"


async def time_commands(crowd: Crowd, people: int, count: int, seed: int = 0) -> dict[str, list[float]]:
    """Sends commands of different people at random moments; milliseconds by command."""
    rng = random.Random(seed)
    sent: list[tuple[str, int, int]] = []  # (command, person, what was sent)
    for person in rng.sample(range(people), min(count, people)):
        name, text = ("/cost", "/cost") if person % ADMIN_EVERY == 0 else rng.choice(_commands(person))
        sent.append((name, person, await crowd.write(person, text)))
        await asyncio.sleep(rng.expovariate(COMMANDS_A_SECOND))
    asked = {person for _, person, _ in sent}
    await _until(lambda: asked <= crowd.answered().keys())
    answered = crowd.answered()
    times: dict[str, list[float]] = defaultdict(list)
    for name, person, what in sent:
        times[name].append(1000 * (answered[person] - crowd.given(what)))
    return times


async def chat_at_once(crowd: Crowd, people: int) -> Chatting:
    """Everybody sends `TURNS` messages in the same moment."""
    await asyncio.sleep(1.0)  # for what is offered after the last reply
    shown = crowd.shown()
    before = [len(shown.get(person, ())) for person in range(people)]
    started = time.monotonic()
    for turn in range(TURNS):
        for person in range(people):
            await crowd.write(person, f"{marker(person)} turn {turn}?")

    def wanted(person: int) -> list[str]:
        mine = marker(person)
        return [f"{mine} heard {mine} turn {turn}?" for turn in range(TURNS)]

    def waiting() -> int:
        """People who have not got all their replies whole: one may be there in part."""
        now = crowd.shown()
        return sum(not set(wanted(person)) <= set(now.get(person, [])[before[person] :]) for person in range(people))

    while (missing := waiting()) and time.monotonic() - started < GIVE_UP_SECONDS:
        await asyncio.sleep(0.05 if missing < people / 10 else 0.5)
    seconds = time.monotonic() - started
    await asyncio.sleep(1.0)  # for any reply too many
    dropped = doubled = out_of_order = mixed_up = 0
    shown = crowd.shown()
    for person in range(people):
        mine, texts = marker(person), shown.get(person, [])[before[person] :]
        dropped += sum(text not in texts for text in wanted(person))
        doubled += len(texts) - len(set(texts))
        out_of_order += texts != wanted(person) and sorted(texts) == sorted(wanted(person))
        mixed_up += any(found != mine for text in texts for found in MARKER.findall(text))
    return Chatting(people, people * TURNS, round(seconds, 1), dropped, doubled, out_of_order, mixed_up)


async def measure(platform: str, folder: Path, *, people: int, facts_each: int, commands: int, chatting: int) -> Report:
    load = os.getloadavg()[0]
    fill(folder / "hippo.db", people, facts_each, platform)
    admins = ",".join(f"{platform}:{platform_id(person)}" for person in range(0, people, ADMIN_EVERY))
    async with ModelServer() as model:
        model.answer = with_both_markers
        async with running_bot(platform, folder, model, people, {"BOT_ADMINS": admins}) as (process, crowd):
            times = await time_commands(crowd, people, commands)
            chats = await chat_at_once(crowd, chatting)
            return Report(
                ran_on=f"{os.cpu_count()} cores, Python {machine.python_version()}, {machine.system()}, load {load:.1f}",
                platform=platform,
                people=people,
                facts=people * facts_each,
                chat_message=_times(times.pop(CHAT_MESSAGE)),
                commands=_times([one for some in times.values() for one in some]),
                by_command={name: _times(some) for name, some in sorted(times.items())},
                chatting=chats,
                memory_mb=round(process.memory_mb(), 1),
            )


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(GIVE_UP_SECONDS):
        while not condition():
            await asyncio.sleep(0.05)


def _commands(person: int) -> list[tuple[str, str]]:
    return [
        ("/remember", f"/remember my neighbour is called Kim{person % 97}"),
        ("/remember, a long one", "/remember I work as a nurse in the children's ward of a hospital near the river"),
        ("/remember, of another", f"/remember Kim{person} is allergic to peanuts"),
        ("/facts", "/facts"),
        ("/forget", "/forget 3"),
        ("/status", "/status"),
        ("/export", "/export"),
        ("/help", "/help"),
        ("/start", "/start"),
        ("/privacy", "/privacy"),
        ("/link", "/link"),
        ("/unlink", "/unlink"),
        ("/delete_me", "/delete_me"),
        ("/retrain", "/retrain"),
        (CHAT_MESSAGE, f"{marker(person)} what should I cook tonight?"),
        (CHAT_MESSAGE, f"{marker(person)} for you. I never eat breakfast before {person} o'clock"),
    ]


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
