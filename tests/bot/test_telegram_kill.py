"""The bot's process is killed while people write to it; the next one takes up where it stood."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from bot.memory import Memory
from tests.bot.bot_process import bot_process
from tests.bot.model_server import ModelServer
from tests.bot.telegram_person import Person
from tests.bot.telegram_server import TelegramServer

FRUITS = (
    "apples",
    "pears",
    "plums",
    "figs",
    "dates",
    "limes",
    "lemons",
    "mangos",
    "melons",
    "grapes",
    "kiwis",
    "guavas",
)


@pytest.mark.slow
@pytest.mark.parametrize("replies_before", [0, 1, 5, 9])
async def test_nothing_is_lost_and_nothing_stored_twice(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person, replies_before: int
) -> None:
    model.seconds_before = 0.05
    asked = [f"what do you think of {fruit}?" for fruit in FRUITS]
    for fruit, question in zip(FRUITS, asked, strict=True):
        ann.say(f"/remember I like {fruit}")
        ann.say(question)
    async with bot_process(tmp_path, model, telegram=telegram_server) as bot:
        await telegram_server.until(lambda: len(ann.shown) >= replies_before)
        await bot.kill()
    killed_at = len(ann.shown)
    assert killed_at < 2 * len(FRUITS)
    async with bot_process(tmp_path, model, telegram=telegram_server):
        answers = [f"default heard: {question}" for question in asked]
        await telegram_server.until(lambda: set(answers) <= set(ann.texts), 20.0)
    with closing(Memory.open(tmp_path / "hippo.db")) as memory:
        user = memory.user_for("telegram", str(ann.id))
        told = [stored.fact.text for stored in memory.facts.active(user.id)]
        assert memory.inbox.waiting("telegram") == []
    assert told == [f"I like {fruit}" for fruit in FRUITS]
    assert list(dict.fromkeys(text for text in ann.texts if text in answers)) == answers  # in order
    assert len(ann.texts) <= 2 * len(FRUITS) + 3  # what was handled in its last 0.05 s may come again
