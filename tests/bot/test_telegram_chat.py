"""Free chat and live messages on Telegram: typing, drafts, edits, Markdown, length, order, /retrain as it goes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from bot import conversation, live
from bot.telegram_surface import SECONDS_BETWEEN_EDITS
from tests.bot.model_server import ModelServer
from tests.bot.on_telegram import OnTelegram, on_telegram
from tests.bot.telegram_chats import TEXT_LIMIT
from tests.bot.telegram_html import utf16_length
from tests.bot.telegram_person import Person
from tests.bot.telegram_server import TelegramServer

LONG = " ".join(f"Sentence number {number} is about your dog." for number in range(400))


def methods(server: TelegramServer, chat_id: int) -> list[str]:
    return [call.method for call in server.calls if call.chat_id == chat_id]


async def test_reply_comes_from_the_model_after_a_typing_sign(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person
) -> None:
    await telegram_bot.reply_to(ann, "/remember my dog is Buddy")
    telegram_bot.server.calls.clear()
    reply = await telegram_bot.reply_to(ann, "what is my dog called?")
    assert reply["text"] == "base heard: what is my dog called?"
    assert "Your dog is Buddy." in model.asked[-1].system
    assert methods(telegram_bot.server, 11) == ["sendChatAction", "sendMessage"]


async def test_typing_sign_is_there_before_the_model_says_anything(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person
) -> None:
    model.seconds_before = 0.5
    sent = ann.say("hello")
    await telegram_bot.server.until(lambda: telegram_bot.server.calls_of("sendChatAction", 11), 0.4)
    assert ann.shown == []
    await telegram_bot.handled(sent)
    assert ann.texts == ["base heard: hello"]


async def test_slow_reply_is_streamed_as_a_draft_and_ends_as_one_message(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person
) -> None:
    model.answer = lambda *_: "one **two** three four five six seven eight nine ten"
    model.seconds_per_piece = 0.4
    await telegram_bot.reply_to(ann, "count")
    drafts = telegram_bot.server.drafts[11]
    assert len(drafts) >= 3
    assert drafts == sorted(drafts, key=len)
    assert "one two three four five six seven eight nine ten".startswith(drafts[-1])
    assert ann.texts == ["one two three four five six seven eight nine ten"]
    assert ann.shown[0]["entities"] == [{"type": "bold", "offset": 4, "length": 3}]
    assert len({call.form["draft_id"] for call in telegram_bot.server.calls_of("sendMessageDraft")}) == 1


@pytest.mark.parametrize(
    "refusal", [{"status": 404, "description": "Not Found"}, {"status": 400, "description": "Bad Request: not here"}]
)
async def test_reply_is_streamed_by_edits_where_there_are_no_drafts(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person, refusal: dict[str, object]
) -> None:
    server = telegram_bot.server
    server.fail("sendMessageDraft", times=100, **refusal)
    model.answer = lambda *_: "one two three four five six seven eight nine ten"
    model.seconds_per_piece = 0.4
    await telegram_bot.reply_to(ann, "count")
    shows = [call for call in server.calls if call.method in ("sendMessage", "editMessageText")]
    assert len(server.calls_of("sendMessageDraft")) == 1
    assert len(shows) >= 3
    assert ann.texts == ["one two three four five six seven eight nine ten"]
    gaps = [after.seconds - before.seconds for before, after in pairwise(shows[:-1])]  # the last word may come early
    assert all(gap >= SECONDS_BETWEEN_EDITS * 0.95 for gap in gaps)


async def test_drafts_under_flood_control_are_left_out_and_the_reply_comes(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person
) -> None:
    telegram_bot.server.fail("sendMessageDraft", retry_after=60)
    model.answer = lambda *_: "one two three four five six seven eight nine ten"
    model.seconds_per_piece = 0.2
    await telegram_bot.reply_to(ann, "count")
    assert len(telegram_bot.server.calls_of("sendMessageDraft")) == 1
    assert ann.texts == ["one two three four five six seven eight nine ten"]


async def test_long_reply_is_split_at_sentence_ends(telegram_bot: OnTelegram, model: ModelServer, ann: Person) -> None:
    model.answer = lambda *_: LONG
    await telegram_bot.reply_to(ann, "tell me everything")
    assert len(ann.texts) > 2
    assert " ".join(ann.texts) == LONG
    assert all(utf16_length(text) <= TEXT_LIMIT and text.endswith(".") for text in ann.texts)


async def test_long_reply_is_split_while_it_is_streamed(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person
) -> None:
    model.answer = lambda *_: LONG
    model.seconds_per_piece = 0.001
    await telegram_bot.reply_to(ann, "tell me everything")
    assert " ".join(ann.texts) == LONG
    assert max(map(utf16_length, telegram_bot.server.drafts[11])) <= TEXT_LIMIT


async def test_markdown_that_telegram_refuses_is_sent_as_plain_text(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person
) -> None:
    model.answer = lambda *_: "Your dog is **Buddy** & <3"
    telegram_bot.server.fail("sendMessage", status=400, description="Bad Request: can't parse entities: whatever")
    await telegram_bot.reply_to(ann, "who?")
    assert ann.texts == ["Your dog is **Buddy** & <3"]
    model.answer = lambda *_: "#"  # nothing but a mark
    await telegram_bot.reply_to(ann, "who?")
    assert ann.texts[-1] == "#"


async def test_three_quick_messages_are_answered_in_order(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person
) -> None:
    model.slow_texts = {"first?": 0.5}
    ids = [ann.say(text) for text in ("first?", "second?", "third?")]
    await telegram_bot.handled(ids[-1])
    assert ann.texts == ["base heard: first?", "base heard: second?", "base heard: third?"]
    assert [message["content"] for message in model.asked[-1].messages if message["role"] == "user"] == [
        "first?",
        "second?",
        "third?",
    ]


async def test_slow_model_for_one_person_delays_nobody_else(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person
) -> None:
    model.slow_texts = {"slow?": 2.0}
    ann.say("slow?")
    ben = telegram_bot.server.person(12, "Ben")
    await telegram_bot.server.until(lambda: model.asked)
    ben.say("quick?")
    await telegram_bot.server.until(lambda: ben.shown, 1.0)
    assert ann.shown == []
    await telegram_bot.server.until(lambda: ann.shown)


async def test_message_while_the_model_is_away_is_answered_when_it_is_back(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "RETRY_SECONDS", 0.1)
    model.status = 503
    assert "not answering right now" in (await telegram_bot.reply_to(ann, "are you there?"))["text"]
    model.status = 200
    await telegram_bot.server.until(lambda: len(ann.shown) == 2, 8.0)
    assert ann.texts[-1] == "base heard: are you there?"


async def test_retrain_message_goes_from_queued_to_done_across_a_restart(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.05)
    async with on_telegram(tmp_path, telegram_server, model) as bot:
        await bot.reply_to(ann, "/remember my dog is Buddy")
        message = await bot.reply_to(ann, "/retrain")
        assert "Waiting for the trainer" in message["text"]
        (job,) = bot.memory.jobs.claim("worker", 60.0)
        bot.memory.jobs.report(job.id, "worker", 60.0, "learning", 0.5, 30.0)
        await telegram_server.until(lambda: "50%, about 30 s left" in ann.texts[-1])
    result = {
        "facts": 1, "recalled": 2, "recall_asked": 2, "abstained": 1, "never_told_asked": 1, "seconds": 9.0,
        "cost_usd": 0.001,
    }  # fmt: skip
    async with on_telegram(tmp_path, telegram_server, model) as bot:
        bot.memory.jobs.report(job.id, "worker", 60.0, "checking", 0.9, 3.0)
        await telegram_server.until(lambda: "Checking" in ann.texts[-1])
        bot.memory.jobs.finish(job.id, "worker", "done", result)
        await telegram_server.until(lambda: "Learned 1 fact" in ann.texts[-1])
    assert ann.shown[-1]["message_id"] == message["message_id"]
    assert "2 of 2 recall questions right" in ann.texts[-1]
    assert "Cost: $0.0010" in ann.texts[-1]


async def test_end_of_a_training_is_told_anew_where_its_message_was_deleted(
    telegram_bot: OnTelegram, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.05)
    await telegram_bot.reply_to(ann, "/remember my dog is Buddy")
    message = await telegram_bot.reply_to(ann, "/retrain")
    del telegram_bot.server.chats[11][message["message_id"]]
    (job,) = telegram_bot.memory.jobs.claim("worker", 60.0)
    telegram_bot.memory.jobs.finish(job.id, "worker", "failed", {}, "the disk is full")
    await telegram_bot.server.until(lambda: "Learning failed" in ann.texts[-1])
    assert ann.shown[-1]["message_id"] != message["message_id"]
