"""People on a platform's stand-in, by number: what they write, and what the bot shows them and when.

    crowd = OnTelegram(server)
    sent = await crowd.write(7, "/facts")
    crowd.answered()[7] - crowd.given(sent)      # seconds of the bot's own time

Not covered: what they write and what is measured (`measure.py`).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from tests.bot.bot_process import BotProcess, bot_process
from tests.bot.discord_objects import Json
from tests.bot.discord_server import DiscordServer
from tests.bot.model_server import ModelServer
from tests.bot.telegram_server import TelegramServer
from tests.load.store import platform_id

READ_AGAIN_SECONDS = 240.0  # of every private chat, after Discord's start
OPTIONS = {"remember": "fact", "forget": "fact", "link": "code"}  # what follows a command, as Discord names it


class Crowd(Protocol):
    """`answered` is the arrival of the first reply to each person, in seconds of the monotonic clock."""

    async def write(self, person: int, text: str) -> int:
        """A private message or a command; returns what `given` takes."""

    def given(self, sent: int) -> float:
        """When the bot could first have had it."""

    def answered(self) -> Mapping[int, float]: ...

    def shown(self) -> Mapping[int, list[str]]:
        """The texts on each person's screen, in order."""


class OnTelegram:
    replies = frozenset({"sendMessage", "sendDocument", "editMessageText"})

    def __init__(self, server: TelegramServer) -> None:
        self._server = server

    async def write(self, person: int, text: str) -> int:
        return self._server.person(platform_id(person), f"Person {person}").say(text)

    def given(self, sent: int) -> float:
        return self._server.given[sent]

    def answered(self) -> Mapping[int, float]:
        first: dict[int, float] = {}
        for call in self._server.calls:
            if call.method in self.replies:
                first.setdefault(call.chat_id - platform_id(0), call.seconds)
        return first

    def shown(self) -> Mapping[int, list[str]]:
        return {
            chat - platform_id(0): [message.get("text") or message.get("caption", "") for message in held.values()]
            for chat, held in self._server.chats.items()
        }


class OnDiscord:
    def __init__(self, server: DiscordServer) -> None:
        self._server = server
        self._given: list[float] = []

    async def write(self, person: int, text: str) -> int:
        somebody = self._person(person)
        self._given.append(time.monotonic())
        if command := re.fullmatch(r"/(\w+) ?(.*)", text):
            options = {OPTIONS[command[1]]: command[2]} if command[2] else {}
            await self._server.slash(somebody, command[1], **options)
        else:
            await self._server.write(somebody, text)
        return len(self._given) - 1

    def given(self, sent: int) -> float:
        return self._given[sent]

    def answered(self) -> Mapping[int, float]:
        """Messages, and what stands in an interaction's answer: at once, or after it was deferred."""
        first: dict[int, float] = {}
        for call in self._server.calls:
            where = re.match(r"/(channels|interactions|webhooks)/(\d+)/(\w+)", call.path)
            if not where or where[3] == "typing" or call.method == "GET":
                continue
            if where[1] == "channels":
                first.setdefault(self._in_channel(where[2]), call.at)
            elif where[1] == "webhooks" or call.body["type"] != 5:
                first.setdefault(self._number(self._server.interactions[where[3]].person), call.at)
        return first

    def shown(self) -> Mapping[int, list[str]]:
        texts: dict[int, list[str]] = defaultdict(list)
        for message in self._server.messages.values():
            if message["author"]["id"] == self._server.bot["id"]:
                texts[self._in_channel(message["channel_id"])].append(message["content"])
        return texts

    def _person(self, number: int) -> Json:
        return self._server.person(f"person {number}", str(platform_id(number)))

    def _number(self, person: Json) -> int:
        return int(person["id"]) - platform_id(0)

    def _in_channel(self, channel: str) -> int:
        return int(channel) - int(self._server.private(self._person(0)))


@asynccontextmanager
async def running_bot(
    platform: str, folder: Path, model: ModelServer, people: int, settings: Mapping[str, str]
) -> AsyncIterator[tuple[BotProcess, Crowd]]:
    """The bot's process on one platform. On Discord it has read its people's chats again, as after every start."""
    if platform == "telegram":
        async with (
            TelegramServer(checked=False) as telegram,
            bot_process(folder, model, telegram=telegram, settings=settings) as process,
        ):
            yield process, OnTelegram(telegram)
        return
    async with (
        DiscordServer(checked=False) as discord,
        bot_process(folder, model, discord=discord, settings=settings) as process,
    ):
        async with asyncio.timeout(READ_AGAIN_SECONDS):
            while len(discord.calls) < people:
                await asyncio.sleep(0.2)
        discord.calls.clear()
        yield process, OnDiscord(discord)
