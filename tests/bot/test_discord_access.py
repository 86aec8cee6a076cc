"""Who may use the bot on Discord, how fast, and what is logged of it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest

from bot import replies
from tests.bot.discord_server import DiscordServer, wait_for
from tests.bot.model_server import ModelServer
from tests.bot.on_discord import bot_on_discord


async def test_blocked_person_gets_no_answer_of_any_kind(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer
) -> None:
    eve, ann = discord_server.person("eve"), discord_server.person("ann")
    async with bot_on_discord(tmp_path, model, discord_server, blocked=f"discord:{eve['id']}"):
        await discord_server.write(eve, "hello")
        interaction = await discord_server.slash(eve, "facts")
        await discord_server.write(ann, "hello")
        await wait_for(lambda: discord_server.screen(ann))
        await asyncio.sleep(1.7)  # past the moment of deferring
        assert discord_server.screen(eve) == []
        assert interaction.kind is None


async def test_stranger_is_told_how_to_be_let_in(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer
) -> None:
    ann, eve = discord_server.person("ann"), discord_server.person("eve")
    async with bot_on_discord(tmp_path, model, discord_server, allowed=f"discord:{ann['id']}"):
        await discord_server.write(eve, "hello")
        await wait_for(lambda: discord_server.screen(eve))
        assert f"discord:{eve['id']}" in discord_server.screen(eve)[0]["content"]
        assert await discord_server.complete(eve, "forget", "fact", "") == []


async def test_fast_writer_gets_one_friendly_sentence(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer
) -> None:
    ann = discord_server.person("ann")
    async with bot_on_discord(tmp_path, model, discord_server, messages_per_minute=2):
        for number in range(5):
            await discord_server.write(ann, f"message {number}")
        await wait_for(lambda: len(discord_server.screen(ann)) == 3)
        await asyncio.sleep(0.2)
        contents = [message["content"] for message in discord_server.screen(ann)]
        assert len(contents) == 3
        assert sum(content.startswith("You write faster than I can read") for content in contents) == 1


async def test_logs_hold_no_word_that_people_or_the_model_said(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer, caplog: pytest.LogCaptureFixture
) -> None:
    ann = discord_server.person("ann")
    with caplog.at_level(logging.DEBUG):
        async with bot_on_discord(tmp_path, model, discord_server) as running:
            await discord_server.write(ann, "by the way my dog is Xylophonius, any tips?")
            await wait_for(lambda: len(discord_server.screen(ann)) == 2)
            await running.stop()
    assert caplog.text
    assert "Xylophonius" not in "\n".join(record.getMessage() for record in caplog.records if record.name != "asyncio")


async def test_cost_is_for_admins(tmp_path: Path, model: ModelServer, discord_server: DiscordServer) -> None:
    boss = discord_server.person("boss")
    async with bot_on_discord(tmp_path, model, discord_server, admins=f"discord:{boss['id']}"):
        for person, text in ((boss, "Last 24 hours"), (discord_server.person("eve"), replies.ADMIN_ONLY)):
            await discord_server.write(person, "/cost")
            await wait_for(lambda person=person: discord_server.screen(person))
            assert text in discord_server.screen(person)[0]["content"]
