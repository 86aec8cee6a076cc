"""Discord and Telegram in one process over one conversation, as `python -m bot run` starts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bot import discord_app, telegram_app
from bot.assembly import Parts, assembled
from bot.settings import BotSettings
from serving.settings import ServingSettings
from tests.bot.discord_api import TOKEN as DISCORD_TOKEN
from tests.bot.discord_server import DiscordServer, wait_for
from tests.bot.model_server import ModelServer
from tests.bot.on_discord import addressed_to
from tests.bot.telegram_person import Person
from tests.bot.telegram_server import TelegramServer


@asynccontextmanager
async def both(
    folder: Path, model: ModelServer, discord: DiscordServer, telegram: TelegramServer, stop: asyncio.Event
) -> AsyncIterator[Parts]:
    tokens = {"discord_token": DISCORD_TOKEN, "telegram_token": telegram.token, "telegram_api_url": telegram.url}
    settings = BotSettings.model_validate({"data_dir": folder, **tokens})
    serving = ServingSettings.model_validate({"data_dir": folder, "port": int(model.url.rpartition(":")[2])})
    with addressed_to(discord):
        async with assembled(settings, serving) as parts, asyncio.TaskGroup() as platforms:
            for app in (discord_app, telegram_app):
                platforms.create_task(app.run(settings, parts.conversation, stop))
            await telegram.until(lambda: telegram.calls_of("getUpdates") and discord.gateway.connected.is_set(), 20.0)
            yield parts
            stop.set()


async def test_one_person_on_both_platforms_has_one_memory(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer, telegram_server: TelegramServer, ann: Person
) -> None:
    there = discord_server.person("ann")
    async with both(tmp_path, model, discord_server, telegram_server, asyncio.Event()):
        ann.say("/remember my dog is Buddy")
        ann.say("/link")
        await telegram_server.until(lambda: len(ann.shown) == 2)
        code = next(word for word in ann.texts[1].split() if word.count("-") == 2)
        await discord_server.slash(there, "link", code=code)
        await wait_for(lambda: "are one account now" in str(discord_server.screen(there)))
        await discord_server.write(there, "what is my dog called?")
        await wait_for(lambda: len(discord_server.screen(there)) == 2)
        assert "Your dog is Buddy." in model.asked[-1].system
        await discord_server.slash(there, "remember", fact="my cat is Mia")
        await wait_for(lambda: len(discord_server.screen(there)) == 3)
        ann.say("/facts")
        await telegram_server.until(lambda: "Mia" in ann.texts[-1])


async def test_stop_finishes_replies_in_hand_on_both(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer, telegram_server: TelegramServer, ann: Person
) -> None:
    there, stop = discord_server.person("ben"), asyncio.Event()
    model.seconds_before = 0.7
    async with both(tmp_path, model, discord_server, telegram_server, stop):
        ann.say("here?")
        await discord_server.write(there, "there?")
        await wait_for(lambda: len(model.asked) == 2)
        stop.set()
    assert ann.texts == ["default heard: here?"]
    assert [message["content"] for message in discord_server.screen(there)] == ["default heard: there?"]
