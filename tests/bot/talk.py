"""A conversation without a platform: a surface that keeps what is shown, and a core wired to the stand-in model server.

The surface behaves as a platform's does: messages have names, can be edited, and may be deleted by the person.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from bot.access import Speaker
from bot.chat import Chat
from bot.commands import Commands
from bot.conversation import Conversation
from bot.memory import Memory
from bot.replies import Reply
from bot.settings import BotSettings
from bot.surface import Attachment, Audience, Incoming, Pace, Surface, Undelivered
from serving.client import ServingClient
from serving.settings import ServingSettings
from tests.bot.model_server import ModelServer

BASE = "base"


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Waits for something that happens by itself."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


class ScreenSurface:
    """What one person sees of one chat, newest text of each message last."""

    def __init__(self, max_chars: int = 2000, seconds_between_edits: float = 0.02) -> None:
        self.pace = Pace(max_chars, seconds_between_edits, typing_seconds=1.0)
        self.messages: dict[str, Reply] = {}
        self.versions: list[tuple[str, str]] = []  # (message, text) in the order shown
        self.typed = 0
        self.blocked = False
        self._names = (str(number) for number in itertools.count(1))

    async def typing(self) -> None:
        self.typed += 1

    async def draft(self, text: str) -> bool:
        return False

    async def send(self, reply: Reply) -> str:
        if self.blocked:
            raise Undelivered("the person has blocked the bot")
        name = next(self._names)
        self._show(name, reply)
        return name

    async def edit(self, message: str, reply: Reply) -> bool:
        if message not in self.messages:
            return False
        self._show(message, reply)
        return True

    def delete(self, message: str) -> None:
        del self.messages[message]

    @property
    def texts(self) -> list[str]:
        return [reply.text for reply in self.messages.values()]

    @property
    def last(self) -> Reply:
        return list(self.messages.values())[-1]

    def _show(self, name: str, reply: Reply) -> None:
        assert len(reply.text) <= self.pace.max_chars
        self.messages[name] = reply
        self.versions.append((name, reply.text))


class ScreenPlatform:
    """A platform of such surfaces, one a place; `name` as it stands in the store."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.screens: dict[str, ScreenSurface] = {}
        self.files: dict[str, bytes] = {}

    def surface(self, place: str) -> ScreenSurface:
        return self.screens.setdefault(place, ScreenSurface())

    async def fetch(self, ref: str) -> bytes:
        if ref not in self.files:
            raise Undelivered("no such file")
        return self.files[ref]


class Talk:
    """A running core and two platforms; `say` hands in a message and waits until everything is handled."""

    def __init__(self, memory: Memory, conversation: Conversation, model: ModelServer) -> None:
        self.memory = memory
        self.conversation = conversation
        self.model = model
        self.discord = ScreenPlatform("discord")
        self.telegram = ScreenPlatform("telegram")
        self._keys = itertools.count(1)
        conversation.attach(self.discord)
        conversation.attach(self.telegram)

    def incoming(
        self,
        text: str = "",
        *,
        who: str = "ann",
        on: str = "discord",
        audience: Audience = Audience.DIRECT,
        key: str | None = None,
        button: str = "",
        attachment: Attachment | None = None,
        command: str = "",
    ) -> Incoming:
        return Incoming(
            speaker=Speaker(on, who),
            key=key or f"{on}:{next(self._keys)}",
            audience=audience,
            text=text,
            command=command,
            button=button,
            attachment=attachment,
            place=who if audience is not Audience.GROUP else "",
        )

    def screen(self, who: str = "ann", on: str = "discord") -> ScreenSurface:
        return (self.discord if on == "discord" else self.telegram).surface(who)

    async def say(self, text: str, *, who: str = "ann", on: str = "discord", surface: Surface | None = None) -> Reply:
        """The last message on that person's screen after the text was handled."""
        screen = self.screen(who, on)
        self.conversation.receive(self.incoming(text, who=who, on=on), surface or screen)
        await self.conversation.idle()
        return screen.last

    async def press(self, label: str, *, who: str = "ann", on: str = "discord") -> Reply:
        """Presses the newest button of that label."""
        screen = self.screen(who, on)
        action = next(
            button.action
            for reply in reversed(screen.messages.values())
            for button in reply.buttons
            if button.label == label
        )
        self.conversation.receive(self.incoming(button=action, who=who, on=on), screen)
        await self.conversation.idle()
        return screen.last

    async def told(self, who: str = "ann", on: str = "discord") -> list[str]:
        """The sentences held as facts of that person."""
        user = self.conversation.commands.user(Speaker(on, who))
        return [stored.fact.text for stored in self.memory.facts.active(user.id)]


@asynccontextmanager
async def talking(folder: Path, model: ModelServer, **settings: object) -> AsyncIterator[Talk]:
    """A core over a store in `folder`; entering it again with the same folder is a restart."""
    bot_settings = BotSettings.model_validate({"data_dir": folder, **settings})
    memory = Memory.open(bot_settings.store_path)
    serving = ServingSettings(data_dir=folder)
    async with ServingClient(model.url, "key", answer_timeout_seconds=5.0) as client:
        commands = Commands(memory, bot_settings, serving, client)
        chat = Chat(memory, bot_settings, client, BASE)
        async with Conversation(memory, bot_settings, commands, chat, client) as conversation:
            yield Talk(memory, conversation, model)
    memory.close()
