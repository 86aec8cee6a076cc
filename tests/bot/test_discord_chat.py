"""Private chat, mentions and access on Discord, through discord.py against the stand-in."""

from __future__ import annotations

import itertools

import pytest

from bot import replies
from bot.discord_surface import MESSAGE_CHARS
from tests.bot.discord_gateway import MESSAGE_CONTENT
from tests.bot.discord_server import DiscordServer, wait_for
from tests.bot.model_server import ModelServer

pytestmark = pytest.mark.usefixtures("discord_bot")


async def test_private_message_shows_the_typing_sign_at_once_and_then_the_reply(
    discord_server: DiscordServer, model: ModelServer
) -> None:
    ann = discord_server.person("ann")
    model.seconds_before = 0.3
    await discord_server.write(ann, "hello")
    await wait_for(lambda: discord_server.typed == [discord_server.private(ann)], seconds=0.25)
    await wait_for(lambda: discord_server.screen(ann))
    assert discord_server.screen(ann)[0]["content"] == "base heard: hello"


async def test_reply_is_streamed_by_edits_no_faster_than_discord_allows(
    discord_server: DiscordServer, model: ModelServer
) -> None:
    ann = discord_server.person("ann")
    model.answer = lambda _model, _messages: "one two three four five six seven eight nine ten eleven twelve"
    model.seconds_per_piece = 0.3
    await discord_server.write(ann, "count")
    await wait_for(lambda: discord_server.screen(ann))
    first = discord_server.screen(ann)[0]["content"]
    assert first.startswith("one two")
    assert not first.endswith("twelve")
    await wait_for(lambda: discord_server.screen(ann)[0]["content"].endswith("twelve"))
    edits = [call.at for call in discord_server.calls_of("PATCH", "/messages/")]
    assert len(edits) >= 2
    assert all(later - earlier >= 0.9 for earlier, later in itertools.pairwise(edits[:-1]))
    assert len(discord_server.screen(ann)) == 1


async def test_three_messages_typed_quickly_are_answered_in_order(
    discord_server: DiscordServer, model: ModelServer
) -> None:
    ann = discord_server.person("ann")
    model.slow_texts = {"one": 0.3, "two": 0.1}
    for text in ("one", "two", "three"):
        await discord_server.write(ann, text)
    await wait_for(lambda: len(discord_server.screen(ann)) == 3)
    assert [message["content"] for message in discord_server.screen(ann)] == [
        *("base heard: one", "base heard: two", "base heard: three"),
    ]


async def test_slow_model_for_one_person_delays_nobody_else(discord_server: DiscordServer, model: ModelServer) -> None:
    ann, bob = discord_server.person("ann"), discord_server.person("bob")
    model.slow_texts = {"slow": 3.0}
    await discord_server.write(ann, "slow")
    await discord_server.write(bob, "quick")
    await wait_for(lambda: discord_server.screen(bob), seconds=1.0)
    assert discord_server.screen(ann) == []


async def test_long_reply_is_split_at_sentence_ends(discord_server: DiscordServer, model: ModelServer) -> None:
    ann = discord_server.person("ann")
    model.answer = lambda _model, _messages: "This is a sentence of the reply. " * 100
    await discord_server.write(ann, "tell me")
    await wait_for(lambda: len(discord_server.screen(ann)) == 2)
    contents = [message["content"] for message in discord_server.screen(ann)]
    assert all(len(content) <= MESSAGE_CHARS and content.endswith("reply.") for content in contents)


async def test_models_markdown_is_passed_on_and_an_open_code_block_is_closed(
    discord_server: DiscordServer, model: ModelServer
) -> None:
    ann = discord_server.person("ann")
    model.answer = lambda _model, _messages: "**Sure**\n```python\nx = 1"
    await discord_server.write(ann, "code please")
    await wait_for(lambda: discord_server.screen(ann))
    assert discord_server.screen(ann)[0]["content"] == "**Sure**\n```python\nx = 1\n```"


async def test_reply_mentions_nobody(discord_server: DiscordServer, model: ModelServer) -> None:
    ann = discord_server.person("ann")
    model.answer = lambda _model, _messages: "@everyone look"
    await discord_server.write(ann, "hello")
    await wait_for(lambda: discord_server.screen(ann))
    (call,) = discord_server.calls_of("POST", "/messages$")
    assert call.body["allowed_mentions"]["parse"] == []


async def test_message_without_text_gets_a_sentence(discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    await discord_server.write(ann, "", files=[("cat.png", b"png")])
    await wait_for(lambda: discord_server.screen(ann))
    assert discord_server.screen(ann)[0]["content"] == replies.EMPTY_MESSAGE


async def test_command_typed_as_text_works_too(discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    await discord_server.write(ann, "/remember my dog is Buddy")
    await wait_for(lambda: discord_server.screen(ann))
    assert discord_server.screen(ann)[0]["content"].startswith("Got it: Your dog is Buddy.")


async def test_text_file_after_the_command_is_read(discord_server: DiscordServer) -> None:
    ann = discord_server.person("ann")
    await discord_server.write(ann, "/remember", files=[("facts.txt", b"my dog is Buddy")])
    await wait_for(lambda: discord_server.screen(ann))
    assert discord_server.screen(ann)[0]["content"].startswith("I understood 1 new fact")


async def test_mention_in_a_server_is_answered_by_the_plain_model_as_a_reply(
    discord_server: DiscordServer, model: ModelServer
) -> None:
    ann = discord_server.person("ann")
    await discord_server.slash(ann, "remember", fact="my dog is Buddy")
    asked = await discord_server.say_in_server(ann, "@Hippo what's my dog's name?")
    await wait_for(lambda: discord_server.server_screen(ann))
    (message,) = discord_server.server_screen(ann)
    assert message["content"] == "base heard: what's my dog's name?"
    assert message["message_reference"]["message_id"] == asked
    assert "Buddy" not in str(model.asked[-1].messages)


async def test_nothing_is_said_in_a_server_where_the_bot_is_not_addressed(
    discord_server: DiscordServer, model: ModelServer
) -> None:
    ann = discord_server.person("ann")
    await discord_server.say_in_server(ann, "hello everybody")
    await discord_server.say_in_server(ann, "@Hippo hello")
    await wait_for(lambda: discord_server.server_screen(ann))
    assert len(discord_server.server_screen(ann)) == 1
    assert [asked.text for asked in model.asked] == ["hello"]


async def test_deleted_question_in_a_server_is_answered_all_the_same(
    discord_server: DiscordServer, model: ModelServer
) -> None:
    ann = discord_server.person("ann")
    model.seconds_before = 0.2
    discord_server.delete(await discord_server.say_in_server(ann, "@Hippo hello"))
    await wait_for(lambda: discord_server.server_screen(ann))
    (call,) = discord_server.calls_of("POST", "/messages$")
    assert call.body["message_reference"]["fail_if_not_exists"] is False


async def test_no_privileged_intent_is_asked_for(discord_server: DiscordServer) -> None:
    members, presences = 1 << 1, 1 << 8
    assert discord_server.gateway.intents & (MESSAGE_CONTENT | members | presences) == 0
