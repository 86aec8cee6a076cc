"""What a person took back is in no object of the bot's process any more; on both platforms, with a process of its own.

Not covered: memory that is free already, and the disk (`test_store.py`).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.bot.bot_process import BotProcess, bot_process
from tests.bot.discord_server import DiscordServer, wait_for
from tests.bot.model_server import ModelServer
from tests.bot.telegram_person import Person
from tests.bot.telegram_server import TelegramServer

WORD = "Quillbert"  # in no dictionary
LOOKS = 10


async def holders_at_rest(bot: BotProcess) -> list[str]:
    """Looks again while the call that showed the reply comes to its end."""
    for _ in range(LOOKS):
        if not (found := await bot.holders(WORD)):
            break
        await asyncio.sleep(0.1)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("taking_back", ["/forget Quillbert", "/delete_me yes", "[Undo]"])
async def test_nothing_in_memory_holds_it_on_telegram(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person, taking_back: str
) -> None:
    async with bot_process(tmp_path, model, telegram=telegram_server) as bot:
        ann.say(f"/remember my dog is {WORD}")
        await telegram_server.until(lambda: len(ann.shown) == 1)
        if taking_back != "[Undo]":
            ann.say(f"by the way I love walks with {WORD} in the rain")
            await telegram_server.until(lambda: len(ann.shown) == 3)  # the model's reply, and the offer
        assert await bot.holders(WORD)
        if taking_back == "[Undo]":
            ann.press(ann.shown[0], "Undo")
            await telegram_server.until(lambda: ann.texts[0] == "Taken back.")
        else:
            ann.say(taking_back)
            await telegram_server.until(lambda: len(ann.shown) == 4)
        assert await holders_at_rest(bot) == []


@pytest.mark.slow
@pytest.mark.parametrize("taking_back", ["forget", "Undo"])
async def test_nothing_in_memory_holds_it_on_discord(
    tmp_path: Path, discord_server: DiscordServer, model: ModelServer, taking_back: str
) -> None:
    ann = discord_server.person("ann")
    async with bot_process(tmp_path, model, discord=discord_server) as bot:
        await discord_server.slash(ann, "remember", fact=f"my dog is {WORD}")
        await wait_for(lambda: len(discord_server.screen(ann)) == 1)
        assert await bot.holders(WORD)
        if taking_back == "Undo":
            await discord_server.press(ann, discord_server.screen(ann)[0]["id"], "Undo")
            await wait_for(lambda: discord_server.screen(ann)[0]["content"] == "Taken back.")
        else:
            await discord_server.slash(ann, "forget", fact=WORD)
            await wait_for(lambda: len(discord_server.screen(ann)) == 2)
        assert await holders_at_rest(bot) == []
