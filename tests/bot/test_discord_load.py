"""A thousand people at once on Discord. Not covered: seconds and memory, which the load test measures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bot.discord_server import DiscordServer, wait_for
from tests.bot.model_server import ModelServer
from tests.bot.on_discord import bot_on_discord

PEOPLE = 1000


@pytest.mark.slow
async def test_a_thousand_people_at_once_each_get_their_own_reply(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer
) -> None:
    people = [discord_server.person(f"person {number}") for number in range(PEOPLE)]
    async with bot_on_discord(tmp_path, model, discord_server):
        for person in people:
            await discord_server.write(person, f"my marker is {person['id']}?")
        await wait_for(lambda: len(discord_server.messages) == 2 * PEOPLE, seconds=200)
        for person in people:
            (reply,) = discord_server.screen(person)
            assert reply["content"] == f"base heard: my marker is {person['id']}?"
