"""Slash commands and buttons on Discord, through discord.py against the stand-in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot import replies
from bot.commands import COMMANDS
from tests.bot.discord_api import Interaction
from tests.bot.discord_objects import EPHEMERAL, Json
from tests.bot.discord_server import DiscordServer, wait_for
from tests.bot.on_discord import RunningBot

pytestmark = pytest.mark.usefixtures("discord_bot")


async def answer(server: DiscordServer, person: Json, name: str, **options: Any) -> Json:
    """The message that answers a slash command."""
    interaction = await server.slash(person, name, **options)
    return await answered(server, interaction)


async def answered(server: DiscordServer, interaction: Interaction) -> Json:
    await wait_for(lambda: interaction.message_id is not None and server.messages[interaction.message_id]["content"])
    return server.messages[interaction.message_id or ""]


def labels(message: Json) -> list[str]:
    return [button["label"] for row in message["components"] for button in row["components"]]


async def test_every_command_is_registered_with_description_contexts_and_installs(
    discord_server: DiscordServer,
) -> None:
    assert list(discord_server.commands) == [command.name for command in COMMANDS]
    for command in discord_server.commands.values():
        assert command["description"]
        assert command["contexts"] == [0, 1, 2]  # servers, the bot's private chat, other private chats
        assert command["integration_types"] == [0, 1]  # to a server, to a person


async def test_options_are_typed_and_described(discord_server: DiscordServer) -> None:
    options = {
        name: [(one["name"], one["type"], one.get("required", False)) for one in command["options"]]
        for name, command in discord_server.commands.items()
        if command["options"]
    }
    text, whole_number, attachment = 3, 4, 11
    assert options == {
        "remember": [("fact", text, False), ("file", attachment, False)],
        "facts": [("page", whole_number, False)],
        "forget": [("fact", text, True)],
        "link": [("code", text, False)],
    }
    assert discord_server.commands["forget"]["options"][0]["autocomplete"]
    assert all(one["description"] for command in discord_server.commands.values() for one in command["options"])


async def test_remember_asks_and_its_answer_is_the_next_private_message(discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    message = await answer(discord_server, ann, "remember", fact="my dog is Buddy")
    assert message["content"] == "Got it: Your dog is Buddy.\nWhat breed is Buddy?"
    assert labels(message) == ["Undo"]
    await discord_server.write(ann, "a beagle")
    await wait_for(lambda: len(discord_server.screen(ann)) == 2)
    assert discord_server.screen(ann)[1]["content"] == "Got it: Your dog's breed is a beagle."


async def test_undo_changes_the_message_that_had_the_button(discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    message = await answer(discord_server, ann, "remember", fact="my dog is Buddy")
    interaction = await discord_server.press(ann, message["id"], "Undo")
    await wait_for(lambda: message["content"] == replies.UNDONE)
    assert interaction.kind == 7  # update of the message
    assert message["components"] == []
    assert (await answer(discord_server, ann, "facts"))["content"] == replies.NO_FACTS


async def test_fact_said_in_passing_is_remembered_when_the_button_is_pressed(discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    await discord_server.write(ann, "by the way I'm 25 now, what should I cook?")
    await wait_for(lambda: len(discord_server.screen(ann)) == 2)
    reply, offer = discord_server.screen(ann)
    assert reply["content"].startswith("base heard:")
    assert labels(offer) == ["Remember that", "No"]
    await discord_server.press(ann, offer["id"], "Remember that")
    await wait_for(lambda: offer["content"] == "Got it: You're 25 now.")
    assert labels(offer) == ["Undo"]


async def test_facts_are_paged_with_buttons(discord_bot: RunningBot, discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    lines = "\n".join(f"I like {letter * 3}ing" for letter in "abcdefghijklmnopqrstuvwxy")
    await answer(discord_server, ann, "remember", file=("facts.txt", lines.encode()))
    message = await answer(discord_server, ann, "facts")
    assert "(1 to 20)" in message["content"]
    assert labels(message) == ["Later"]
    await discord_server.press(ann, message["id"], "Later")
    await wait_for(lambda: "(21 to 25)" in message["content"])
    assert labels(message) == ["Earlier"]
    assert "(21 to 25)" in (await answer(discord_server, ann, "facts", page=2))["content"]


async def test_forget_completes_what_is_typed_with_own_facts_only(discord_server: DiscordServer) -> None:
    ann, eve = discord_server.person("ann"), discord_server.person("eve")
    long = "I work on " + "very " * 30 + "long trains"
    for fact in ("my dog is Buddy", "I live in Oslo", long):
        await answer(discord_server, ann, "remember", fact=fact)
    assert await discord_server.complete(ann, "forget", "fact", "DOG") == ["my dog is Buddy"]
    assert await discord_server.complete(ann, "forget", "fact", "", in_server=True) != []
    assert await discord_server.complete(eve, "forget", "fact", "dog") == []
    (cut,) = await discord_server.complete(ann, "forget", "fact", "very")
    assert len(cut) <= 100
    assert (await answer(discord_server, ann, "forget", fact=cut))["content"].startswith("Forgotten: You work on")
    message = await answer(discord_server, ann, "forget", fact="my dog is Buddy")
    assert message["content"] == "Forgotten: Your dog is Buddy."


async def test_forget_lets_choose_where_words_fit_several_facts(discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    for fact in ("my sister lives in Oslo", "my brother lives in Oslo"):
        await answer(discord_server, ann, "remember", fact=fact)
    message = await answer(discord_server, ann, "forget", fact="Oslo")
    await discord_server.press(ann, message["id"], "my brother lives in Oslo")
    await wait_for(lambda: message["content"] == "Forgotten: Your brother lives in Oslo.")


async def test_delete_me_asks_first(discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    await answer(discord_server, ann, "remember", fact="my dog is Buddy")
    message = await answer(discord_server, ann, "delete_me")
    assert labels(message) == ["Delete everything", "Keep"]
    await discord_server.press(ann, message["id"], "Delete everything")
    await wait_for(lambda: message["content"] == replies.DELETED)


async def test_export_sends_a_file_of_everything(discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    await answer(discord_server, ann, "remember", fact="my dog is Buddy")
    message = await answer(discord_server, ann, "export")
    (attachment,) = message["attachments"]
    assert attachment["filename"] == "hippo-export.json"
    held = json.loads(discord_server.files[attachment["url"].rpartition("/")[2]])
    assert held["facts"][0]["text"] == "my dog is Buddy"


async def test_text_file_of_facts_is_understood_and_summed_up(discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    message = await answer(discord_server, ann, "remember", file=("facts.txt", b"my dog is Buddy\nwhat?\n"))
    assert message["content"].startswith("I understood 1 new fact in your file:")
    assert "line 2" in message["content"]


async def test_file_that_cannot_be_fetched_gets_a_sentence(discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    discord_server.keeps_files = False
    message = await answer(discord_server, ann, "remember", file=("facts.txt", b"my dog is Buddy"))
    assert message["content"] == replies.FILE_GONE


async def test_answers_in_servers_are_for_the_speaker_alone(discord_server: DiscordServer) -> None:
    ann, eve = discord_server.person("ann"), discord_server.person("eve")
    await answer(discord_server, ann, "remember", fact="my dog is Buddy")
    for name, options in (("facts", {}), ("start", {}), ("export", {}), ("remember", {"fact": "I live in Oslo"})):
        message = await answer(discord_server, ann, name, in_server=True, **options)
        assert message["flags"] & EPHEMERAL
    assert discord_server.server_screen(eve) == []
    shown = discord_server.server_screen(ann)[-1]
    assert shown["content"] == "Got it: You live in Oslo."  # no question there: its answer would come in the open
    await discord_server.press(ann, shown["id"], "Undo")
    await wait_for(lambda: shown["content"] == replies.UNDONE)


async def test_no_views_are_kept_in_memory(discord_bot: RunningBot, discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    message = await answer(discord_server, ann, "remember", fact="my dog is Buddy")
    await discord_server.press(ann, message["id"], "Undo")
    await wait_for(lambda: message["content"] == replies.UNDONE)
    client = discord_bot.conversation._platforms["discord"]
    assert client._connection._view_store._views == {}  # type: ignore[attr-defined]


async def test_retrain_is_one_message_to_the_end(
    discord_bot: RunningBot, discord_server: DiscordServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = discord_server.person("ann")
    await answer(discord_server, ann, "remember", fact="my dog is Buddy")
    message = await answer(discord_server, ann, "retrain")
    assert message["content"] == "Waiting for the trainer."
    jobs = discord_bot.memory.jobs
    (job,) = jobs.claim("worker", 60)
    jobs.report(job.id, "worker", 60, "learning", 0.4, 30.0)
    await wait_for(lambda: message["content"] == "Learning … 40%, about 30 s left")
    result = {
        **{"facts": 1, "recalled": 9, "recall_asked": 10, "never_told_asked": 5, "abstained": 5},
        **{"seconds": 42.0, "cost_usd": 0.0012},
    }
    jobs.finish(job.id, "worker", "done", result)
    await wait_for(lambda: message["content"].startswith("Learned 1 fact in 42 s. Check: 9 of 10 recall questions"))
    assert len(discord_server.screen(ann)) == 2


async def test_retrain_in_a_server_ends_in_the_private_chat_when_the_interaction_has_run_out(
    discord_bot: RunningBot, discord_server: DiscordServer
) -> None:
    ann = discord_server.person("ann")
    await answer(discord_server, ann, "remember", fact="my dog is Buddy")
    await answer(discord_server, ann, "retrain", in_server=True)
    discord_server.tokens_run_out = True
    jobs = discord_bot.memory.jobs
    (job,) = jobs.claim("worker", 60)
    jobs.finish(job.id, "worker", "failed", {}, "the disk is full")
    await wait_for(lambda: "the disk is full" in discord_server.screen(ann)[-1]["content"], seconds=10)


async def test_facts_with_markdown_in_them_are_shown_as_they_are(discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    message = await answer(discord_server, ann, "remember", fact="my password hint is *star* and _under_")
    assert r"\*star\* and \_under\_" in message["content"]
