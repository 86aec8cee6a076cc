"""The bot's process is killed while people write to it on Discord; the next one takes up where it stood."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import pytest

from bot.memory import Memory
from tests.bot.bot_process import bot_process
from tests.bot.discord_server import DiscordServer, wait_for
from tests.bot.model_server import ModelServer

FRUITS = ("apples", "pears", "plums", "figs", "dates", "limes", "lemons", "mangos", "melons", "grapes")


@pytest.mark.slow
@pytest.mark.parametrize("replies_before", [1, 4, 9])
async def test_nothing_is_lost_and_nothing_stored_twice(
    tmp_path: Path, discord_server: DiscordServer, model: ModelServer, replies_before: int
) -> None:
    model.seconds_before = 0.05
    ann = discord_server.person("ann")
    asked = [f"what do you think of {fruit}?" for fruit in FRUITS]
    answers = [f"default heard: {question}" for question in asked]

    def texts() -> list[str]:
        return [message["content"] for message in discord_server.screen(ann)]

    async with bot_process(tmp_path, model, discord=discord_server) as bot:
        for fruit, question in zip(FRUITS, asked, strict=True):
            await discord_server.write(ann, f"/remember I like {fruit}")
            await discord_server.write(ann, question)
        await wait_for(lambda: len(texts()) >= replies_before, seconds=20)
        await bot.kill()
    assert len(texts()) < 2 * len(FRUITS)
    await asyncio.sleep(0.2)  # until the connection is seen to be gone
    discord_server.gateway.forget_session()
    async with bot_process(tmp_path, model, discord=discord_server):
        await wait_for(lambda: set(answers) <= set(texts()), seconds=20)
        await asyncio.sleep(0.2)  # for what is noted as handled
    with closing(Memory.open(tmp_path / "hippo.db")) as memory:
        user = memory.user_for("discord", ann["id"])
        told = [stored.fact.text for stored in memory.facts.active(user.id)]
        assert memory.inbox.waiting("discord") == []
    assert told == [f"I like {fruit}" for fruit in FRUITS]
    assert list(dict.fromkeys(text for text in texts() if text in answers)) == answers  # in order
    assert len(texts()) <= 2 * len(FRUITS) + 3  # what was handled in its last 0.05 s may come again
