"""The bot on Discord, from slash commands to private chat."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bot.discord_server import DiscordServer, wait_for
from tests.bot.model_server import ModelServer
from tests.bot.on_discord import RunningBot, bot_on_discord


@pytest.fixture
async def discord_server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server
        assert server.breaches == []


@pytest.fixture
async def bot(tmp_path: Path, model: ModelServer, discord_server: DiscordServer) -> AsyncIterator[RunningBot]:
    async with bot_on_discord(tmp_path, model, discord_server) as running:
        yield running


async def test_private_message_is_answered(bot: RunningBot, discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    await discord_server.write(ann, "hello")
    await wait_for(lambda: discord_server.screen(ann))
    assert discord_server.screen(ann)[0]["content"] == "base heard: hello"


async def test_slash(bot: RunningBot, discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    await discord_server.slash(ann, "remember", fact="my dog is Buddy")
    await wait_for(lambda: discord_server.screen(ann))
    print(discord_server.screen(ann))
    await discord_server.press(ann, discord_server.screen(ann)[0]["id"], "Undo")
    await wait_for(lambda: discord_server.screen(ann)[0]["content"] == "Taken back.")
    r = await discord_server.slash(ann, "export", in_server=True)
    await wait_for(lambda: r.message_id)
    print(discord_server.server_screen(ann), discord_server.server_screen(discord_server.person("b")))
