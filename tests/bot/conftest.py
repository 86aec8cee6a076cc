"""What the tests of the bot share: a stand-in model server, and a running core over a fresh store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bot.discord_server import DiscordServer
from tests.bot.model_server import ModelServer
from tests.bot.on_discord import RunningBot, bot_on_discord
from tests.bot.on_telegram import OnTelegram, on_telegram
from tests.bot.talk import Talk, talking
from tests.bot.telegram_person import Person
from tests.bot.telegram_server import TelegramServer


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def talk(tmp_path: Path, model: ModelServer) -> AsyncIterator[Talk]:
    async with talking(tmp_path, model) as running:
        yield running


@pytest.fixture
async def discord_server() -> AsyncIterator[DiscordServer]:
    """Whatever a test does, nothing sent or answered may breach Discord's description."""
    async with DiscordServer() as server:
        yield server
        assert server.breaches == []


@pytest.fixture
async def discord_bot(tmp_path: Path, model: ModelServer, discord_server: DiscordServer) -> AsyncIterator[RunningBot]:
    async with bot_on_discord(tmp_path, model, discord_server) as running:
        yield running


@pytest.fixture
async def telegram_server() -> AsyncIterator[TelegramServer]:
    """Whatever a test does, nothing sent or answered may breach Telegram's description."""
    async with TelegramServer() as server:
        yield server
        assert server.breaches == []


@pytest.fixture
async def telegram_bot(
    tmp_path: Path, model: ModelServer, telegram_server: TelegramServer
) -> AsyncIterator[OnTelegram]:
    async with on_telegram(tmp_path, telegram_server, model, admins="telegram:99") as running:
        yield running


@pytest.fixture
def ann(telegram_server: TelegramServer) -> Person:
    return telegram_server.person(11, "Ann")
