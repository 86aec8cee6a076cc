"""Discord's network at its worst, through discord.py against the stand-in: what is lost, doubled, late or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from bot.errors import CannotStart
from tests.bot.discord_api import INTERACTION_SECONDS
from tests.bot.discord_server import DiscordServer, wait_for
from tests.bot.model_server import ModelServer
from tests.bot.on_discord import RunningBot, bot_on_discord


@pytest.fixture(autouse=True)
def quick_backoff() -> Iterator[None]:
    with patch("discord.backoff.ExponentialBackoff.delay", return_value=0.1):
        yield


def contents(server: DiscordServer, name: str = "ann") -> list[str]:
    return [message["content"] for message in server.screen(server.person(name))]


async def test_lost_connection_is_resumed_and_what_was_written_meanwhile_is_answered(
    discord_bot: RunningBot, discord_server: DiscordServer
) -> None:
    ann = discord_server.person("ann")
    await discord_server.write(ann, "one")
    await wait_for(lambda: len(contents(discord_server)) == 1)
    await discord_server.gateway.drop()
    await discord_server.write(ann, "two")
    await wait_for(lambda: len(contents(discord_server)) == 2, seconds=10)
    assert contents(discord_server) == ["base heard: one", "base heard: two"]
    assert (discord_server.gateway.identified, discord_server.gateway.resumed) == (1, 1)


async def test_discord_asking_for_a_reconnect_gets_a_resume(
    discord_bot: RunningBot, discord_server: DiscordServer
) -> None:
    await discord_server.gateway.ask_to_reconnect()
    await wait_for(lambda: discord_server.gateway.resumed == 1)
    await discord_server.write(discord_server.person("ann"), "hello")
    await wait_for(lambda: contents(discord_server) == ["base heard: hello"])


@pytest.mark.slow  # discord.py waits 5 s before it identifies again
async def test_invalid_session_is_begun_anew_and_missed_messages_are_read_from_the_chat(
    discord_bot: RunningBot, discord_server: DiscordServer
) -> None:
    ann = discord_server.person("ann")
    await discord_server.write(ann, "one")
    await wait_for(lambda: len(contents(discord_server)) == 1)
    await discord_server.gateway.invalidate()
    for text in ("two", "three"):
        await discord_server.write(ann, text)  # no session: the gateway tells nobody of it
    await wait_for(lambda: len(contents(discord_server)) == 3, seconds=10)
    assert contents(discord_server) == ["base heard: one", "base heard: two", "base heard: three"]
    assert discord_server.gateway.identified == 2


@pytest.mark.slow  # discord.py waits 5 s before it identifies again
async def test_resume_that_is_refused_becomes_a_new_session(
    discord_bot: RunningBot, discord_server: DiscordServer
) -> None:
    discord_server.gateway.refuses_resume = True
    await discord_server.gateway.drop()
    await wait_for(lambda: discord_server.gateway.identified == 2, seconds=10)
    await discord_server.write(discord_server.person("ann"), "hello")
    await wait_for(lambda: contents(discord_server) == ["base heard: hello"])


async def test_wait_that_discord_asks_for_is_respected(discord_bot: RunningBot, discord_server: DiscordServer) -> None:
    discord_server.fail("POST", r"/messages$", 429, retry_after=0.8)
    await discord_server.write(discord_server.person("ann"), "hello")
    await wait_for(lambda: contents(discord_server) == ["base heard: hello"])
    refused, sent = discord_server.calls_of("POST", r"/messages$")
    assert (refused.status, sent.status) == (429, 200)
    assert sent.at - refused.at >= 0.8


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_failing_discord_is_tried_again_and_the_reply_appears_once(
    discord_bot: RunningBot, discord_server: DiscordServer, status: int
) -> None:
    discord_server.fail("POST", r"/messages$", status, done_anyway=True)
    await discord_server.write(discord_server.person("ann"), "hello")
    await wait_for(lambda: len(discord_server.calls_of("POST", r"/messages$")) == 2)
    await asyncio.sleep(0.1)
    assert contents(discord_server) == ["base heard: hello"]


@pytest.mark.slow
async def test_tries_are_bounded_and_the_next_message_is_answered(
    discord_bot: RunningBot, discord_server: DiscordServer
) -> None:
    ann = discord_server.person("ann")
    discord_server.fail("POST", r"/messages$", 500, times=5)
    await discord_server.write(ann, "one")
    await discord_server.write(ann, "two")
    await wait_for(lambda: contents(discord_server) == ["base heard: two"], seconds=40)
    assert len(discord_server.calls_of("POST", r"/messages$")) == 6


async def test_reply_whose_message_was_deleted_is_sent_as_a_new_one(
    discord_bot: RunningBot, discord_server: DiscordServer, model: ModelServer
) -> None:
    ann = discord_server.person("ann")
    model.answer = lambda _model, _messages: "one two three four five six seven eight nine ten"
    model.seconds_per_piece = 0.3
    await discord_server.write(ann, "count")
    await wait_for(lambda: contents(discord_server))
    discord_server.delete(discord_server.screen(ann)[0]["id"])
    await wait_for(lambda: contents(discord_server) and contents(discord_server)[-1].endswith("ten"))
    assert len(contents(discord_server)) == 1


async def test_deleted_training_message_stops_quietly_and_its_end_comes_in_a_new_one(
    discord_bot: RunningBot, discord_server: DiscordServer
) -> None:
    ann = discord_server.person("ann")
    await discord_server.write(ann, "/remember my dog is Buddy")
    await discord_server.write(ann, "/retrain")
    await wait_for(lambda: len(contents(discord_server)) == 2)
    discord_server.delete(discord_server.screen(ann)[1]["id"])
    jobs = discord_bot.memory.jobs
    (job,) = jobs.claim("worker", 60)
    jobs.report(job.id, "worker", 60, "learning", 0.5, 10.0)
    await wait_for(lambda: discord_server.calls_of("PATCH", r"/messages/"))
    jobs.finish(job.id, "worker", "failed", {}, "the disk is full")
    await wait_for(lambda: len(contents(discord_server)) == 2)
    assert "the disk is full" in contents(discord_server)[1]


async def test_interaction_behind_a_slow_reply_is_deferred_in_time(
    discord_bot: RunningBot, discord_server: DiscordServer, model: ModelServer
) -> None:
    ann = discord_server.person("ann")
    model.slow_texts = {"slow": 4.0}
    await discord_server.write(ann, "slow")
    interaction = await discord_server.slash(ann, "remember", fact="my dog is Buddy")
    await wait_for(lambda: interaction.kind is not None, seconds=INTERACTION_SECONDS)
    assert interaction.kind == 5  # "thinking"
    assert interaction.acknowledged_after is not None
    assert interaction.acknowledged_after < INTERACTION_SECONDS
    await wait_for(lambda: len(contents(discord_server)) == 2 and "Buddy" in " ".join(contents(discord_server)))
    assert discord_server.calls_of("PATCH", "@original")


async def test_press_behind_a_slow_reply_is_deferred_too(
    discord_bot: RunningBot, discord_server: DiscordServer, model: ModelServer
) -> None:
    ann = discord_server.person("ann")
    await discord_server.write(ann, "/remember my dog is Buddy")
    await wait_for(lambda: contents(discord_server))
    model.slow_texts = {"why is it so slow?": 2.5}
    await discord_server.write(ann, "why is it so slow?")
    interaction = await discord_server.press(ann, discord_server.screen(ann)[0]["id"], "Undo")
    await wait_for(lambda: "Taken back." in contents(discord_server))
    assert interaction.kind == 6  # the message stays until it changes


@pytest.mark.parametrize("in_server", [False, True])
async def test_interaction_that_expired_is_answered_in_the_private_chat(
    discord_bot: RunningBot, discord_server: DiscordServer, in_server: bool
) -> None:
    ann = discord_server.person("ann")
    discord_server.fail("POST", "/callback", 404, code=10062)
    await discord_server.slash(ann, "remember", fact="my dog is Buddy", in_server=in_server)
    await wait_for(lambda: contents(discord_server))
    assert contents(discord_server)[0].startswith("Got it: Your dog is Buddy.")


async def test_interaction_acknowledged_already_is_followed_up(
    discord_bot: RunningBot, discord_server: DiscordServer
) -> None:
    ann = discord_server.person("ann")
    discord_server.fail("POST", "/callback", 500, done_anyway=True)  # discord.py tries again, and gets 40060
    interaction = await discord_server.slash(ann, "privacy")
    await wait_for(lambda: interaction.followed_up)
    statuses = [call.status for call in discord_server.calls_of("POST", "/callback")]
    assert statuses == [500, 400]


async def test_interaction_whose_token_ran_out_before_the_answer_is_answered_in_the_private_chat(
    discord_bot: RunningBot, discord_server: DiscordServer, model: ModelServer
) -> None:
    ann = discord_server.person("ann")
    model.slow_texts = {"slow": 2.2}
    await discord_server.write(ann, "slow")
    interaction = await discord_server.slash(ann, "privacy", in_server=True)
    await wait_for(lambda: interaction.kind == 5)
    discord_server.tokens_run_out = True
    await wait_for(lambda: len(contents(discord_server)) == 2)
    assert contents(discord_server)[1].startswith("What I keep about you")


async def test_same_update_twice_is_answered_once(discord_bot: RunningBot, discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    await discord_server.write(ann, "hello", again=True)
    await discord_server.write(ann, "/remember my dog is Buddy", again=True)
    await wait_for(lambda: len(contents(discord_server)) == 2)
    await asyncio.sleep(0.2)
    assert len(contents(discord_server)) == 2


async def test_refused_token_is_a_start_up_error_that_names_the_variable(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer
) -> None:
    with pytest.raises(CannotStart, match="BOT_DISCORD_TOKEN"):
        async with bot_on_discord(tmp_path, model, discord_server, discord_token="wrong"):
            pytest.fail("it started")


async def test_token_withdrawn_while_running_names_the_variable_too(
    tmp_path: Path, model: ModelServer, discord_server: DiscordServer
) -> None:
    async with bot_on_discord(tmp_path, model, discord_server) as running:
        await discord_server.gateway.drop(code=4004)
        with pytest.raises(CannotStart, match="BOT_DISCORD_TOKEN"):
            await asyncio.wait_for(running.task, timeout=5)


async def test_discord_out_of_reach_is_a_start_up_error(tmp_path: Path, model: ModelServer) -> None:
    async with DiscordServer() as gone:
        pass
    with pytest.raises(CannotStart, match="cannot be reached"):
        async with bot_on_discord(tmp_path, model, gone):
            pytest.fail("it started")


async def test_person_who_cannot_be_written_to_stops_nothing(
    discord_bot: RunningBot, discord_server: DiscordServer
) -> None:
    discord_server.fail("POST", r"/messages$", 403, code=50007)
    await discord_server.write(discord_server.person("eve"), "hello")
    await discord_server.write(discord_server.person("ann"), "hello")
    await wait_for(lambda: contents(discord_server) or contents(discord_server, "eve"))
    await discord_server.write(discord_server.person("eve"), "again")
    await wait_for(lambda: "base heard: again" in contents(discord_server, "eve"))
