"""Telegram groups: the bot answers only when addressed, and never with or about anyone's facts."""

from __future__ import annotations

import pytest

from tests.bot.model_server import ModelServer
from tests.bot.on_telegram import OnTelegram
from tests.bot.telegram_person import Person
from tests.bot.telegram_server import TelegramServer

GROUP = TelegramServer.group()
GROUP_ID: int = GROUP["id"]


@pytest.mark.parametrize(
    "text",
    [
        "hello everybody",
        "/facts",
        "/help",
        "/facts@another_bot",
        "ask @another_bot about it",
        "mail me@hippo_test_bot.com",
        "hippo_test_bot is nice",
    ],
)
async def test_what_is_not_addressed_to_the_bot_is_left_alone(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person, text: str
) -> None:
    await telegram_bot.handled(ann.say(text, chat=GROUP))
    assert [call for call in telegram_bot.server.calls if call.chat_id == GROUP_ID] == []
    assert model.asked == []


@pytest.mark.parametrize("text", ["@hippo_test_bot what is my dog called?", "what is my dog called? @Hippo_Test_Bot"])
async def test_mention_is_answered_without_the_speakers_facts(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person, text: str
) -> None:
    await telegram_bot.reply_to(ann, "/remember my dog is Buddy")
    await telegram_bot.handled(ann.say(text, chat=GROUP))
    (reply,) = telegram_bot.server.shown(GROUP_ID)
    assert reply["text"] == "base heard: what is my dog called?"
    assert "Buddy" not in str(model.asked[-1])


async def test_group_conversation_is_not_remembered(telegram_bot: OnTelegram, model: ModelServer, ann: Person) -> None:
    await telegram_bot.handled(ann.say("@hippo_test_bot my secret is 42, by the way I'm 25 now", chat=GROUP))
    await telegram_bot.reply_to(ann, "what did I say?")
    assert "secret" not in str(model.asked[-1])
    assert telegram_bot.told(ann) == []
    assert len(telegram_bot.server.shown(GROUP_ID)) == 1  # and no offer to remember


async def test_reply_to_the_bots_message_is_answered_and_one_to_others_is_not(
    telegram_bot: OnTelegram, ann: Person
) -> None:
    server = telegram_bot.server
    await telegram_bot.handled(ann.say("@hippo_test_bot hello", chat=GROUP))
    (hello,) = server.shown(GROUP_ID)
    await telegram_bot.handled(ann.say("and you?", chat=GROUP, reply_to=hello))
    assert server.shown(GROUP_ID)[-1]["text"] == "base heard: and you?"
    ben = server.person(12, "Ben")
    await telegram_bot.handled(ann.say("right", chat=GROUP, reply_to=ben.message(GROUP) | {"text": "nice day"}))
    assert len(server.shown(GROUP_ID)) == 2


async def test_answer_refers_to_the_question_and_stays_in_its_topic(telegram_bot: OnTelegram, ann: Person) -> None:
    question = ann.message(GROUP) | {
        "text": "@hippo_test_bot hello",
        "entities": [{"type": "mention", "offset": 0, "length": 15}],
        "message_thread_id": 7,
        "is_topic_message": True,
    }
    await telegram_bot.handled(telegram_bot.server.add_update({"message": question}))
    (call,) = telegram_bot.server.calls_of("sendMessage", GROUP_ID)
    assert call.form["message_thread_id"] == "7"
    assert f'"message_id": {question["message_id"]}' in str(call.form["reply_parameters"])


@pytest.mark.parametrize("command", ["facts", "remember", "status", "export", "forget", "retrain", "delete_me", "cost"])
async def test_commands_about_facts_point_to_the_private_chat(
    telegram_bot: OnTelegram, ann: Person, command: str
) -> None:
    await telegram_bot.reply_to(ann, "/remember my dog is Buddy")
    await telegram_bot.handled(ann.say(f"/{command}@hippo_test_bot my cat is Mia", chat=GROUP))
    (reply,) = telegram_bot.server.shown(GROUP_ID)
    assert f"Please write /{command} to me in a private chat" in reply["text"]
    assert "Buddy" not in reply["text"]
    assert telegram_bot.told(ann) == ["my dog is Buddy"]


@pytest.mark.parametrize("command", ["start", "help", "privacy"])
async def test_commands_without_facts_are_answered_in_the_group(
    telegram_bot: OnTelegram, ann: Person, command: str
) -> None:
    await telegram_bot.handled(ann.say(f"/{command}@hippo_test_bot", chat=GROUP))
    (reply,) = telegram_bot.server.shown(GROUP_ID)
    assert "private chat" not in reply["text"] or command != "help"


async def test_reply_in_a_group_is_streamed_by_edits_not_drafts(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.telegram_surface.SECONDS_BETWEEN_GROUP_EDITS", 0.3)
    model.answer = lambda *_: "one two three four five six"
    model.seconds_per_piece = 0.2
    await telegram_bot.handled(ann.say("@hippo_test_bot count", chat=GROUP))
    server = telegram_bot.server
    assert server.drafts == {}
    assert len(server.calls_of("editMessageText", GROUP_ID)) >= 2
    assert [message["text"] for message in server.shown(GROUP_ID)] == ["one two three four five six"]


@pytest.mark.parametrize("sender", [{"is_bot": True}, None])
async def test_other_bots_and_channels_are_not_answered(
    telegram_bot: OnTelegram, ann: Person, sender: dict[str, object] | None
) -> None:
    message = ann.message(GROUP) | {
        "text": "@hippo_test_bot hi",
        "entities": [{"type": "mention", "offset": 0, "length": 15}],
    }
    message["from"] = ann.user | (sender or {})
    if sender is None:
        del message["from"]
    await telegram_bot.handled(telegram_bot.server.add_update({"message": message}))
    assert telegram_bot.server.shown(GROUP_ID) == []
