"""Discord: the bot stops and starts again, and nothing that was written, asked or pressed in between is lost."""

from __future__ import annotations

from pathlib import Path

from bot import replies
from tests.bot.discord_server import DiscordServer, wait_for
from tests.bot.model_server import ModelServer
from tests.bot.on_discord import bot_on_discord


def contents(server: DiscordServer, name: str = "ann") -> list[str]:
    return [message["content"] for message in server.screen(server.person(name))]


async def test_messages_written_while_the_bot_was_off_are_answered_in_order_after_the_start(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer
) -> None:
    ann, bob = discord_server.person("ann"), discord_server.person("bob")
    async with bot_on_discord(tmp_path, model, discord_server):
        await discord_server.write(ann, "one")
        await discord_server.write(bob, "hi")
        await wait_for(lambda: contents(discord_server) and contents(discord_server, "bob"))
    discord_server.gateway.forget_session()
    missed = [f"missed {number}" for number in range(120)]  # more than a page of history
    for text in missed:
        await discord_server.write(ann, text)
    await discord_server.write(bob, "/remember my dog is Buddy")
    async with bot_on_discord(tmp_path, model, discord_server, messages_per_minute=1000):
        await discord_server.write(ann, "after")
        await wait_for(lambda: len(contents(discord_server)) == 122, seconds=20)
        await wait_for(lambda: len(contents(discord_server, "bob")) == 2)
    heard = [text.removeprefix("base heard: ") for text in contents(discord_server)]
    assert heard[0] == "one"
    assert sorted(heard[1:]) == sorted([*missed, "after"])
    assert [text for text in heard if text.startswith("missed")] == missed
    assert contents(discord_server, "bob")[1].startswith("Got it: Your dog is Buddy.")


async def test_training_message_is_kept_up_across_a_restart(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer
) -> None:
    ann = discord_server.person("ann")
    async with bot_on_discord(tmp_path, model, discord_server):
        await discord_server.write(ann, "/remember my dog is Buddy")
        await discord_server.slash(ann, "retrain")
        await wait_for(lambda: len(contents(discord_server)) == 2)
    async with bot_on_discord(tmp_path, model, discord_server) as running:
        (job,) = running.memory.jobs.claim("worker", 60)
        running.memory.jobs.report(job.id, "worker", 60, "checking", 0.9, None)
        await wait_for(lambda: contents(discord_server)[1] == "Checking … 90%")
    assert len(contents(discord_server)) == 2


async def test_training_message_in_a_server_is_kept_up_across_a_restart(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer
) -> None:
    ann = discord_server.person("ann")
    async with bot_on_discord(tmp_path, model, discord_server):
        await discord_server.write(ann, "/remember my dog is Buddy")
        await discord_server.slash(ann, "retrain", in_server=True)
        await wait_for(lambda: discord_server.server_screen(ann))
    async with bot_on_discord(tmp_path, model, discord_server) as running:
        (job,) = running.memory.jobs.claim("worker", 60)
        running.memory.jobs.report(job.id, "worker", 60, "checking", 0.9, None)
        await wait_for(lambda: discord_server.server_screen(ann)[0]["content"] == "Checking … 90%")
        running.memory.jobs.finish(job.id, "worker", "failed", {}, "the disk is full")
        await wait_for(lambda: "the disk is full" in discord_server.server_screen(ann)[0]["content"])
    assert discord_server.server_screen(discord_server.person("bob")) == []
    assert len(contents(discord_server)) == 1


async def test_command_from_a_server_that_waited_at_the_stop_is_answered_in_the_private_chat(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer
) -> None:
    ann = discord_server.person("ann")
    model.seconds_before = 1.0
    async with bot_on_discord(tmp_path, model, discord_server) as running:
        await discord_server.write(ann, "a slow one")
        await wait_for(lambda: len(model.asked) == 1)
        await discord_server.slash(ann, "remember", in_server=True, fact="my dog is Buddy")
        await wait_for(lambda: len(running.memory.inbox.waiting("discord")) == 2)
        await running.stop()
        assert contents(discord_server) == ["base heard: a slow one"]
    async with bot_on_discord(tmp_path, model, discord_server):
        await wait_for(lambda: contents(discord_server)[1:] == ["Got it: Your dog is Buddy."])
    assert "Buddy" not in str(discord_server.server_screen(ann))


async def test_what_was_written_over_hours_while_the_bot_was_off_is_not_too_fast(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer
) -> None:
    ann = discord_server.person("ann")
    async with bot_on_discord(tmp_path, model, discord_server, messages_per_minute=3):
        await discord_server.write(ann, "one", seconds_ago=7200)
        await wait_for(lambda: contents(discord_server))
    discord_server.gateway.forget_session()
    missed = [f"missed {number}" for number in range(12)]
    for number, text in enumerate(missed):
        await discord_server.write(ann, text, seconds_ago=3600 - 60 * number)
    async with bot_on_discord(tmp_path, model, discord_server, messages_per_minute=3):
        await wait_for(lambda: len(contents(discord_server)) == 13)
    assert contents(discord_server)[1:] == [f"base heard: {text}" for text in missed]


async def test_clean_stop_finishes_the_reply_in_hand(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer
) -> None:
    ann = discord_server.person("ann")
    model.answer = lambda _model, messages: f"you said {messages[-1]['content']} and here is the end"
    model.seconds_per_piece = 0.1
    async with bot_on_discord(tmp_path, model, discord_server) as running:
        await discord_server.write(ann, "one")
        await discord_server.write(ann, "two")
        await wait_for(lambda: len(model.asked) == 1)
        await running.stop()
        assert contents(discord_server) == ["you said one and here is the end"]
    async with bot_on_discord(tmp_path, model, discord_server):
        await wait_for(lambda: len(contents(discord_server)) == 2)
    assert contents(discord_server)[1] == "you said two and here is the end"


async def test_buttons_work_after_a_restart(tmp_path: Path, model: ModelServer, discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    async with bot_on_discord(tmp_path, model, discord_server):
        await discord_server.write(ann, "/remember my dog is Buddy")
        await wait_for(lambda: contents(discord_server))
    async with bot_on_discord(tmp_path, model, discord_server):
        await discord_server.press(ann, discord_server.screen(ann)[0]["id"], "Undo")
        await wait_for(lambda: contents(discord_server) == [replies.UNDONE])
