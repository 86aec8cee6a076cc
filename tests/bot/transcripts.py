"""Conversations printed in the docs, as data, and the training that they show played in the store."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bot.access import Speaker
from bot.conversation import Conversation
from bot.memory import Memory
from serving.adapters import adapter_name

ROOT = Path(__file__).parents[2]
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


def transcript(page: str, number: int = 0) -> list[Line]:
    """The conversation of that number on a page, speaker by speaker."""
    conversations = re.findall(r"```text\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    lines: list[Line] = []
    for raw in conversations[number].splitlines():
        if raw[:1].strip():
            speaker, _, text = raw.partition(" ")
            lines.append(Line(speaker, text.strip()))
        else:
            lines[-1] = Line(lines[-1].speaker, f"{lines[-1].text}\n{raw.strip()}")
    return lines


def words_of_the_model(lines: list[Line]) -> dict[str, str]:
    """What the model answers to which message."""
    return {lines[at - 1].text: line.text for at, line in enumerate(lines) if line.speaker == "model"}


def is_training(text: str) -> bool:
    return bool(PROGRESS.match(text) or END.match(text))


def train(memory: Memory, conversation: Conversation, speaker: Speaker, text: str) -> None:
    """Takes the speaker's job to where the page says it is."""
    jobs = memory.jobs
    user = conversation.commands.user(speaker)
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
    adapter = memory.adapters.reserve(user.id, memory.facts.active(user.id), "base", adapter_name)
    memory.adapters.go_live(adapter.id, {}, 1)
    result = {name: float(value) if "." in value else int(value) for name, value in end.groupdict().items()}
    jobs.finish(job.id, "worker", "done", {**result, "seconds": float(end["seconds"]), "adapter": adapter.name})
