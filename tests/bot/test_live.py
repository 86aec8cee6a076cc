"""The live message of a training, across restarts and deletions."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from bot.access import Speaker
from tests.bot.model_server import ModelServer
from tests.bot.talk import Talk, talking, until

RESULT = {
    "facts": 1,
    "recalled": 9,
    "recall_asked": 10,
    "never_told_asked": 5,
    "abstained": 5,
    "seconds": 42.0,
    "cost_usd": 0.0012,
}
END = (
    "Learned 1 fact in 42 s. Check: 9 of 10 recall questions right, 5 of 5 never-told questions declined. "
    "Cost: $0.0012.\n- Your dog is Buddy."
)


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.live.POLL_SECONDS", 0.02)


async def begin(talk: Talk) -> int:
    await talk.say("/remember my dog is Buddy")
    await talk.say("/retrain")
    (job,) = talk.memory.jobs.claim("worker", 60)
    return job.id


def finish(talk: Talk, job_id: int, **more: Any) -> None:
    user = talk.conversation.commands.user(Speaker("discord", "ann"))
    facts = talk.memory.facts.active(user.id)
    adapter = talk.memory.adapters.reserve(user.id, facts, "base", lambda owner, version: f"{owner}-v{version:04d}")
    talk.memory.adapters.go_live(adapter.id, {}, 1)
    talk.memory.jobs.finish(job_id, "worker", "done", {**RESULT, "adapter": adapter.name, **more})


async def test_one_message_moves_from_queued_to_done(talk: Talk) -> None:
    job_id = await begin(talk)
    screen = talk.screen()
    message = list(screen.messages)[-1]
    talk.memory.jobs.report(job_id, "worker", 60, "learning", 0.4, 30.0)
    await until(lambda: screen.messages[message].text == "Learning … 40%, about 30 s left")
    talk.memory.jobs.report(job_id, "worker", 60, "checking", 0.9, None)
    await until(lambda: screen.messages[message].text == "Checking … 90%")
    finish(talk, job_id)
    await until(lambda: screen.messages[message].text == END)
    assert list(screen.messages)[-1] == message
    await until(lambda: not talk.memory.job_messages.open("discord"))


async def test_what_was_left_out_for_something_newer_is_said(talk: Talk) -> None:
    await talk.say("/remember my bowling best is 148")
    await talk.say("/remember my record stands at 171 since Friday's bowling")
    await talk.say("/retrain")
    (job,) = talk.memory.jobs.claim("worker", 60)
    finish(talk, job.id, set_aside=[talk.memory.facts.active(job.user_id)[0].id])
    await until(lambda: "Learned" in talk.screen().last.text)
    assert talk.screen().last.text.splitlines()[1:] == [
        "- Your record stands at 171 since Friday's bowling.",
        "Left out, since what you told me later seems to take its place:",
        "- Your bowling best is 148.",
    ]
    await talk.say("/facts")
    lines = talk.screen().last.text.splitlines()
    assert [line.endswith("(left out: you told me otherwise later)") for line in lines[1:]] == [True, False]


async def test_same_message_is_taken_up_after_a_restart(tmp_path: Path, model: ModelServer) -> None:
    async with talking(tmp_path, model) as talk:
        job_id = await begin(talk)
        message = list(talk.screen().messages)[-1]
        shown = dict(talk.screen().messages)
    async with talking(tmp_path, model) as talk:
        talk.screen().messages.update(shown)
        finish(talk, job_id)
        await until(lambda: talk.screen().messages[message].text == END)
        assert len(talk.screen().messages) == len(shown)


async def test_deleted_message_is_left_alone_and_the_end_comes_in_a_new_one(talk: Talk) -> None:
    job_id = await begin(talk)
    screen = talk.screen()
    screen.delete(list(screen.messages)[-1])
    talk.memory.jobs.report(job_id, "worker", 60, "learning", 0.4, 30.0)
    await asyncio.sleep(0.1)
    before = list(screen.messages)
    finish(talk, job_id)
    await until(lambda: screen.last.text == END)
    assert len(screen.messages) == len(before) + 1


async def test_rejected_training_says_why(talk: Talk) -> None:
    job_id = await begin(talk)
    talk.memory.jobs.finish(job_id, "worker", "rejected", RESULT, "recall 20 % is under 80 %")
    await until(lambda: "did not pass its check (recall 20 % is under 80 %)" in talk.screen().last.text)


async def test_delete_me_ends_the_live_message_quietly(talk: Talk) -> None:
    await begin(talk)
    await talk.say("/delete_me yes")
    await until(lambda: not talk.conversation._live._tasks)
    assert talk.screen().last.text.startswith("Done. Your facts, adapter and messages are deleted.")
