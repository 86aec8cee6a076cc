"""The conversations in docs/telegram.md and in the README are what a person on Telegram sees: each is played, line by line.

The model's words and the figures of the training are taken from the page; all else must come from the bot.
"""

from __future__ import annotations

import re

import pytest

from bot.access import Speaker
from tests.bot.model_server import ModelServer
from tests.bot.on_telegram import Message, OnTelegram
from tests.bot.telegram_person import Person
from tests.bot.transcripts import is_training, train, transcript, words_of_the_model


def shown(message: Message) -> str:
    """A message as the page writes it."""
    rows = message.get("reply_markup", {"inline_keyboard": []})["inline_keyboard"]
    buttons = [f"[{button['text']}]" for row in rows for button in row]
    return f"{message['text']}\n{' '.join(buttons)}" if buttons else str(message["text"])


def act(ann: Person, text: str) -> int:
    """What ann does: a press, or a message."""
    pressed = re.fullmatch(r"\[(.+)\]", text)
    if not pressed:
        return ann.say(text)
    return ann.press(next(one for one in reversed(ann.shown) if text in shown(one)), pressed[1])


async def appears(bot: OnTelegram, ann: Person, wanted: str) -> None:
    try:
        await bot.server.until(lambda: wanted in [shown(one) for one in ann.shown])
    except AssertionError:
        raise AssertionError(f"{wanted!r} is not among {[shown(one) for one in ann.shown]}") from None


@pytest.mark.parametrize(("page", "number"), [("docs/telegram.md", 0), ("README.md", 1)])
async def test_conversation_on_the_page_is_what_people_see(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person, page: str, number: int
) -> None:
    lines = transcript(page, number)
    said_by_model = words_of_the_model(lines)
    model.answer = lambda _model, messages: said_by_model[messages[-1]["content"]]
    for line in lines:
        if line.speaker == "ann":
            await telegram_bot.handled(act(ann, line.text))
            continue
        wanted = line.text.removeprefix("(changed) ")
        if is_training(wanted):
            train(telegram_bot.memory, telegram_bot.conversation, Speaker("telegram", str(ann.id)), wanted)
        await appears(telegram_bot, ann, wanted)
    answers = sum(line.speaker != "ann" and not line.text.startswith("(changed)") for line in lines)
    assert len(ann.shown) == answers  # nothing more was said than stands on the page
