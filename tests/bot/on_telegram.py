"""The bot on Telegram as it runs in production, core, store and client library included; only both far ends stand in.

async with on_telegram(tmp_path, server, model) as bot:     # entering it again with the same folder is a restart
    await bot.reply_to(ann, "/start")
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot import telegram_app
from bot.access import Speaker
from bot.chat import Chat
from bot.commands import Commands
from bot.conversation import Conversation
from bot.memory import Memory
from bot.settings import BotSettings
from serving.client import ServingClient
from serving.settings import ServingSettings
from tests.bot.model_server import ModelServer
from tests.bot.telegram_person import Person
from tests.bot.telegram_server import TelegramServer

BASE = "base"
Message = dict[str, Any]


@dataclass
class OnTelegram:
    server: TelegramServer
    memory: Memory
    conversation: Conversation
    stop: asyncio.Event
    running: asyncio.Task[None]

    async def handled(self, update_id: int, timeout_seconds: float = 10.0) -> None:
        """Returns once the bot has confirmed the update and handled what it had taken in."""
        await self.server.until(lambda: update_id not in self.server.waiting_ids, timeout_seconds)
        await self.conversation.idle()

    async def reply_to(self, person: Person, text: str) -> Message:
        """The last message in the person's chat after what they wrote was handled."""
        await self.handled(person.say(text))
        return person.shown[-1]

    async def press(self, person: Person, message: Message, label: str) -> Message:
        await self.handled(person.press(message, label))
        return person.shown[-1]

    def told(self, person: Person) -> list[str]:
        """The sentences held as facts of that person."""
        return [stored.fact.text for stored in self.memory.facts.active(self.user_id(person))]

    def user_id(self, person: Person) -> str:
        return self.conversation.commands.user(Speaker("telegram", str(person.id))).id


def settings_for(folder: Path, server: TelegramServer, **changed: object) -> BotSettings:
    """As they would be read from the environment."""
    values = {"data_dir": folder, "telegram_token": server.token, "telegram_api_url": server.url, **changed}
    return BotSettings.model_validate(values)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


@asynccontextmanager
async def on_telegram(
    folder: Path, server: TelegramServer, model: ModelServer, **changed: object
) -> AsyncIterator[OnTelegram]:
    settings = settings_for(folder, server, **changed)
    memory = Memory.open(settings.store_path)
    stop = asyncio.Event()
    async with ServingClient(model.url, "key", answer_timeout_seconds=5.0) as client:
        commands = Commands(memory, settings, ServingSettings.model_validate({"data_dir": folder}), client)
        chat = Chat(memory, settings, client, BASE)
        async with Conversation(memory, settings, commands, chat, client) as conversation:
            asked_before = len(server.calls_of("getUpdates")) + len(server.calls_of("setWebhook"))
            running = asyncio.create_task(telegram_app.run(settings, conversation, stop))
            try:
                await server.until(
                    lambda: (
                        running.done()
                        or len(server.calls_of("getUpdates")) + len(server.calls_of("setWebhook")) > asked_before
                    )
                )
                yield OnTelegram(server, memory, conversation, stop, running)
            finally:
                stop.set()
                await running  # raises what went wrong
                memory.close()
