"""The whole bot on the stand-in for Discord: discord.py's client, the core, the store, the stand-in model server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import yarl

from bot.chat import Chat
from bot.commands import Commands
from bot.conversation import Conversation
from bot.discord_app import run
from bot.memory import Memory
from bot.settings import BotSettings
from serving.client import ServingClient
from serving.settings import ServingSettings
from tests.bot.discord_api import TOKEN
from tests.bot.discord_server import DiscordServer
from tests.bot.model_server import ModelServer


@dataclass(slots=True)
class RunningBot:
    """A started bot; `stop` is what a SIGTERM does."""

    memory: Memory
    conversation: Conversation
    stopping: asyncio.Event
    task: asyncio.Task[None]

    async def stop(self) -> None:
        self.stopping.set()
        await self.task


@contextmanager
def addressed_to(server: DiscordServer) -> Iterator[None]:
    """discord.py speaks to the stand-in for the time of the block."""
    with (
        patch("discord.http.Route.BASE", server.api),
        patch("discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY", yarl.URL(server.gateway.url)),
    ):
        yield


@asynccontextmanager
async def bot_on_discord(
    folder: Path, model: ModelServer, server: DiscordServer, **settings: object
) -> AsyncIterator[RunningBot]:
    """A bot over a store in `folder`, connected; entering it again with the same folder is a restart."""
    bot_settings = BotSettings.model_validate({"data_dir": folder, "discord_token": TOKEN, **settings})
    memory = Memory.open(bot_settings.store_path)
    serving = ServingSettings(data_dir=folder)
    stopping = asyncio.Event()
    with addressed_to(server):
        async with ServingClient(model.url, "key", answer_timeout_seconds=60.0) as client:
            commands = Commands(memory, bot_settings, serving, client)
            chat = Chat(memory, bot_settings, client, "base")
            async with Conversation(memory, bot_settings, commands, chat, client) as conversation:
                task = asyncio.create_task(run(bot_settings, conversation, stopping))
                ready = asyncio.create_task(server.gateway.connected.wait())
                await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
                ready.cancel()
                running = RunningBot(memory, conversation, stopping, task)
                try:
                    if task.done():
                        await task  # raises what went wrong
                    yield running
                finally:
                    stopping.set()
                    await asyncio.gather(task, return_exceptions=True)
    memory.close()
