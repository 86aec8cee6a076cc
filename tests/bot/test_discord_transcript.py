"""The conversations in docs/discord.md and in the README are what a person on Discord sees: each is played, line by line.

The model's words and the figures of the training are taken from the page; all else must come from the bot.
"""

from __future__ import annotations

import re

import pytest

from bot.access import Speaker
from tests.bot.discord_objects import Json
from tests.bot.discord_server import DiscordServer, wait_for
from tests.bot.model_server import ModelServer
from tests.bot.on_discord import RunningBot
from tests.bot.transcripts import is_training, train, transcript, words_of_the_model


def shown(message: Json) -> str:
    """A message as the page writes it."""
    text = re.sub(r"\\(.)", r"\1", message["content"])
    buttons = [f"[{button['label']}]" for row in message["components"] for button in row["components"]]
    return f"{text}\n{' '.join(buttons)}" if buttons else str(text)


async def act(server: DiscordServer, ann: Json, text: str) -> None:
    """What ann does: a slash command, a press, or a message."""
    if pressed := re.fullmatch(r"\[(.+)\]", text):
        label = pressed[1]
        message = next(one for one in reversed(server.screen(ann)) if f"[{label}]" in shown(one))
        await server.press(ann, message["id"], label)
    elif command := re.fullmatch(r"/(\w+)(?: (\w+): (.+))?", text):
        options = {command[2]: command[3]} if command[2] else {}
        await server.slash(ann, command[1], **options)
    else:
        await server.write(ann, text)


@pytest.mark.parametrize(("page", "number"), [("docs/discord.md", 0), ("README.md", 0)])
async def test_conversation_on_the_page_is_what_people_see(
    discord_bot: RunningBot, discord_server: DiscordServer, model: ModelServer, page: str, number: int
) -> None:
    lines = transcript(page, number)
    said_by_model = words_of_the_model(lines)
    model.answer = lambda _model, messages: said_by_model[messages[-1]["content"]]
    ann = discord_server.person("ann")
    for line in lines:
        if line.speaker == "ann":
            await act(discord_server, ann, line.text)
            continue
        wanted = line.text.removeprefix("(changed) ")
        if is_training(wanted):
            train(discord_bot.memory, discord_bot.conversation, Speaker("discord", ann["id"]), wanted)
        await wait_for(lambda wanted=wanted: wanted in [shown(one) for one in discord_server.screen(ann)])
    answers = sum(line.speaker != "ann" and not line.text.startswith("(changed)") for line in lines)
    assert len(discord_server.screen(ann)) == answers  # nothing more was said than stands on the page
