"""The conversation in docs/discord.md is what a person on Discord sees: it is played, line by line.

The model's words and the figures of the training are taken from the page; all else must come from the bot.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bot.access import Speaker
from serving.adapters import adapter_name
from tests.bot.discord_objects import Json
from tests.bot.discord_server import DiscordServer, wait_for
from tests.bot.model_server import ModelServer
from tests.bot.on_discord import RunningBot

PAGE = Path(__file__).parents[2] / "docs" / "discord.md"
PROGRESS = re.compile(r"(?P<stage>Learning|Checking) … (?P<percent>\d+)%(?:, about (?P<left>\d+) s left)?")
END = re.compile(
    r"Learned (?P<facts>\d+) facts in (?P<seconds>\d+) s\. Check: (?P<recalled>\d+) of (?P<recall_asked>\d+) recall "
    r"questions right, (?P<abstained>\d+) of (?P<never_told_asked>\d+) never-told questions declined\. "
    r"Cost: \$(?P<cost_usd>[\d.]+)\."
)


@dataclass(frozen=True, slots=True)
class Line:
    speaker: str
    text: str


def transcript() -> list[Line]:
    match = re.search(r"```text\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert match
    lines: list[Line] = []
    for raw in match[1].splitlines():
        if raw[:1].strip():
            speaker, _, text = raw.partition(" ")
            lines.append(Line(speaker, text.strip()))
        else:
            lines[-1] = Line(lines[-1].speaker, f"{lines[-1].text}\n{raw.strip()}")
    return lines


def shown(message: Json) -> str:
    """A message as the page writes it."""
    text = re.sub(r"\\(.)", r"\1", message["content"])
    buttons = [f"[{button['label']}]" for row in message["components"] for button in row["components"]]
    return f"{text}\n{' '.join(buttons)}" if buttons else str(text)


def train(bot: RunningBot, ann: Json, text: str) -> None:
    """Takes the job of the training to where the page says it is."""
    jobs = bot.memory.jobs
    user = bot.conversation.commands.user(Speaker("discord", ann["id"]))
    job = jobs.open_for(user.id)
    assert job is not None
    if job.state == "queued":
        jobs.claim("worker", 60)
    if progress := PROGRESS.match(text):
        left = float(progress["left"]) if progress["left"] else None
        jobs.report(job.id, "worker", 60, progress["stage"].lower(), int(progress["percent"]) / 100, left)
        return
    end = END.match(text)
    assert end, f"neither progress nor an end: {text}"
    adapter = bot.memory.adapters.reserve(user.id, bot.memory.facts.active(user.id), "base", adapter_name)
    bot.memory.adapters.go_live(adapter.id, {}, 1)
    result = {name: float(value) if "." in value else int(value) for name, value in end.groupdict().items()}
    jobs.finish(job.id, "worker", "done", {**result, "seconds": float(end["seconds"]), "adapter": adapter.name})


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


async def test_conversation_on_the_page_is_what_people_see(
    discord_bot: RunningBot, discord_server: DiscordServer, model: ModelServer
) -> None:
    lines = transcript()
    said_by_model = {lines[at - 1].text: line.text for at, line in enumerate(lines) if line.speaker == "model"}
    model.answer = lambda _model, messages: said_by_model[messages[-1]["content"]]
    ann = discord_server.person("ann")
    for line in lines:
        if line.speaker == "ann":
            await act(discord_server, ann, line.text)
            continue
        wanted = line.text.removeprefix("(changed) ")
        if PROGRESS.match(wanted) or END.match(wanted):
            train(discord_bot, ann, wanted)
        await wait_for(lambda wanted=wanted: wanted in [shown(one) for one in discord_server.screen(ann)])
    answers = sum(line.speaker != "ann" and not line.text.startswith("(changed)") for line in lines)
    assert len(discord_server.screen(ann)) == answers  # nothing more was said than stands on the page
