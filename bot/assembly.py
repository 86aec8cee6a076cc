"""The bot's parts put together over one data folder: store, model client, commands, chat, conversation.

async with assembled(BotSettings(), ServingSettings()) as parts:
    parts.conversation.attach(platform)
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from bot.chat import Chat
from bot.commands import Commands
from bot.conversation import Conversation
from bot.memory import Memory
from bot.settings import BotSettings
from serving.client import ServingClient
from serving.settings import DEFAULT_NAME, ServingSettings


@dataclass(frozen=True, slots=True)
class Parts:
    memory: Memory
    client: ServingClient
    conversation: Conversation


@asynccontextmanager
async def assembled(settings: BotSettings, serving: ServingSettings) -> AsyncIterator[Parts]:
    """A conversation ready for platforms to attach to; closed, with replies in hand finished, at the end."""
    with closing(Memory.open(settings.store_path)) as memory:
        async with ServingClient(serving.url, serving.key(), serving.answer_timeout_seconds) as client:
            commands = Commands(memory, settings, serving, client)
            chat = Chat(memory, settings, client, DEFAULT_NAME)
            async with Conversation(memory, settings, commands, chat, client) as conversation:
                yield Parts(memory, client, conversation)
