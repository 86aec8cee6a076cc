"""A thousand people at once on Discord. Not covered: seconds and memory, which the load test measures."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.bot.discord_server import DiscordServer, wait_for
from tests.bot.model_server import ModelServer
from tests.bot.on_discord import bot_on_discord

PEOPLE = 1000
BURST = 400


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


@pytest.mark.slow
async def test_burst_of_messages_leaves_room_for_everything_else(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer
) -> None:
    people = [discord_server.person(f"person {number}") for number in range(BURST)]
    async with bot_on_discord(tmp_path, model, discord_server):
        for person in people:
            await discord_server.write(person, f"I am {person['id']}")
        longest = 0.0
        while len(discord_server.messages) < 2 * BURST:
            before = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - before)
    assert longest < 0.6  # taken in without a break, they stop everything for a second and more
