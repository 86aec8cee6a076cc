"""Telegram when things go wrong: every update is handled once, every reply arrives, and the others notice nothing."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path

import pytest
from tenacity import wait_fixed

from bot import telegram_requests, telegram_updates
from bot.errors import CannotStart
from tests.bot.model_server import ModelServer
from tests.bot.on_telegram import OnTelegram, free_port, on_telegram
from tests.bot.telegram_person import Person
from tests.bot.telegram_server import TelegramServer


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the bot's own; those that Telegram asks for stay."""
    for module in (telegram_requests, telegram_updates):
        monkeypatch.setattr(module, "_backoff_seconds", wait_fixed(0.02))


@pytest.mark.parametrize("fault", [{"status": 401, "description": "Unauthorized"}, {"status": 404}])
async def test_refused_token_stops_the_start_and_names_the_setting(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, fault: dict[str, object]
) -> None:
    telegram_server.fail("getMe", times=10, **fault)
    with pytest.raises(CannotStart, match="BOT_TELEGRAM_TOKEN") as raised:
        async with on_telegram(tmp_path, telegram_server, model):
            pass
    assert telegram_server.token not in str(raised.value)
    assert len(telegram_server.calls_of("getMe")) == 1


async def test_token_revoked_later_ends_the_bot_and_names_the_setting(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person
) -> None:
    with pytest.raises(CannotStart, match="BOT_TELEGRAM_TOKEN"):
        async with on_telegram(tmp_path, telegram_server, model) as bot:
            telegram_server.fail("getUpdates", status=401, description="Unauthorized")
            ann.say("hello")
            await asyncio.wait({bot.running}, timeout=5)


async def test_start_waits_for_the_network(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telegram_requests, "ATTEMPTS", 2)
    telegram_server.fail("getMe", drop=True, times=2)
    async with on_telegram(tmp_path, telegram_server, model) as bot:
        assert "Hippo" in (await bot.reply_to(ann, "/start"))["text"]


@pytest.mark.parametrize(
    "fault", [{"retry_after": 1}, {"status": 500}, {"status": 502, "description": "Bad Gateway"}, {"drop": True}]
)
@pytest.mark.parametrize("method", ["sendMessage", "editMessageText", "sendDocument", "getUpdates", "sendChatAction"])
async def test_everything_is_answered_through_passing_trouble(
    telegram_bot: OnTelegram, ann: Person, method: str, fault: dict[str, object]
) -> None:
    telegram_bot.server.fail(method, **fault)
    told = await telegram_bot.reply_to(ann, "/remember my dog is Buddy")
    assert told["text"].startswith("Got it: Your dog is Buddy.")
    assert (await telegram_bot.press(ann, told, "Undo"))["text"] == "Taken back."
    assert (await telegram_bot.reply_to(ann, "hello?"))["text"] == "base heard: hello?"
    assert "document" in await telegram_bot.reply_to(ann, "/export")
    assert len(ann.shown) == 3


async def test_flood_control_for_one_person_delays_nobody_else(telegram_bot: OnTelegram, ann: Person) -> None:
    server = telegram_bot.server
    server.fail("sendMessage", retry_after=2, chat_id=11)
    ben = server.person(12, "Ben")
    ann.say("/help")
    ben.say("/help")
    await server.until(lambda: ben.shown, 1.0)
    assert ann.shown == []
    await server.until(lambda: ann.shown)


async def test_reply_whose_answer_was_lost_is_not_lost(telegram_bot: OnTelegram, ann: Person) -> None:
    telegram_bot.server.fail("sendMessage", drop=True, done_first=True)
    await telegram_bot.reply_to(ann, "/help")
    assert len(set(ann.texts)) == 1


async def test_outage_that_outlasts_the_retries_costs_one_reply_not_the_bot(
    telegram_bot: OnTelegram, ann: Person
) -> None:
    telegram_bot.server.fail("sendMessage", status=500, times=telegram_requests.ATTEMPTS)
    await telegram_bot.handled(ann.say("/help"))
    assert ann.shown == []
    assert (await telegram_bot.reply_to(ann, "/start"))["text"]


async def test_person_who_blocked_the_bot_is_no_trouble_and_can_come_back(
    telegram_bot: OnTelegram, ann: Person
) -> None:
    server = telegram_bot.server
    server.blocked.add(11)
    await telegram_bot.handled(ann.say("/remember my dog is Buddy"))
    await telegram_bot.handled(ann.say("hello?"))
    assert ann.shown == []
    assert (await telegram_bot.reply_to(server.person(12, "Ben"), "/start"))["text"]
    server.blocked.clear()
    assert "Your dog is Buddy." in (await telegram_bot.reply_to(ann, "/facts"))["text"]


async def test_button_under_a_deleted_message_is_answered_in_a_new_one(telegram_bot: OnTelegram, ann: Person) -> None:
    told = await telegram_bot.reply_to(ann, "/remember my dog is Buddy")
    del telegram_bot.server.chats[11][told["message_id"]]
    after = await telegram_bot.press(ann, told, "Undo")
    assert after["text"] == "Taken back."
    assert after["message_id"] != told["message_id"]


async def test_button_that_changes_nothing_is_no_error(telegram_bot: OnTelegram, ann: Person) -> None:
    question = await telegram_bot.reply_to(ann, "/delete_me")
    await telegram_bot.press(ann, question, "Keep")
    after = await telegram_bot.press(ann, question, "Keep")  # "message is not modified"
    assert (after["message_id"], after["text"]) == (question["message_id"], "Nothing was changed.")
    assert len(ann.shown) == 1


async def test_button_pressed_too_long_ago_to_acknowledge_still_works(telegram_bot: OnTelegram, ann: Person) -> None:
    told = await telegram_bot.reply_to(ann, "/remember my dog is Buddy")
    telegram_bot.server.fail("answerCallbackQuery", status=400, description="Bad Request: query is too old")
    assert (await telegram_bot.press(ann, told, "Undo"))["text"] == "Taken back."
    assert telegram_bot.told(ann) == []


async def test_reply_that_was_deleted_while_it_was_streamed_is_sent_anew(
    telegram_bot: OnTelegram, model: ModelServer, ann: Person
) -> None:
    server = telegram_bot.server
    server.fail("sendMessageDraft", status=404, description="Not Found", times=100)
    model.seconds_per_piece = 0.4
    model.answer = lambda *_: "one two three four five six seven"
    sent = ann.say("count")
    await server.until(lambda: ann.shown)
    server.chats[11].clear()
    await telegram_bot.handled(sent)
    assert ann.texts == ["one two three four five six seven"]


async def test_same_update_twice_is_handled_once(telegram_bot: OnTelegram, model: ModelServer, ann: Person) -> None:
    server = telegram_bot.server
    for text in ("/remember my dog is Buddy", "hello?"):
        sent = ann.say(text)
        update = json.loads(json.dumps(server.unconfirmed[-1]))
        await telegram_bot.handled(sent)
        shown = len(ann.shown)
        await telegram_bot.handled(server.add_update({"message": update["message"]}, update_id=sent))
        assert len(ann.shown) == shown
    assert len(model.asked) == 1


async def test_updates_from_before_the_start_are_handled(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person
) -> None:
    ann.say("/remember my dog is Buddy")
    last = ann.say("hello?")
    async with on_telegram(tmp_path, telegram_server, model) as bot:
        await bot.handled(last)
        assert bot.told(ann) == ["my dog is Buddy"]
    assert ann.texts[-1] == "base heard: hello?"
    (call,) = telegram_server.calls_of("deleteWebhook")
    assert call.form.get("drop_pending_updates", "false") == "false"


async def test_what_was_written_over_hours_while_the_bot_was_off_is_not_too_fast(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person
) -> None:
    for number in range(12):
        ann.say(f"missed {number}", seconds_ago=3600 - 60 * number)
    async with on_telegram(tmp_path, telegram_server, model, messages_per_minute=3):
        await telegram_server.until(lambda: len(ann.shown) == 12, 10.0)
    assert ann.texts == [f"base heard: missed {number}" for number in range(12)]


async def test_clean_stop_finishes_replies_in_hand_and_the_rest_is_answered_after_the_start(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person
) -> None:
    model.slow_texts = {"first?": 1.0}
    async with on_telegram(tmp_path, telegram_server, model) as bot:
        ids = [ann.say(text) for text in ("first?", "second?", "/remember my dog is Buddy")]
        await telegram_server.until(lambda: model.asked and not telegram_server.waiting_ids & set(ids))
        bot.stop.set()
        await bot.running
    assert ann.texts == ["base heard: first?"]
    async with on_telegram(tmp_path, telegram_server, model) as bot:
        await telegram_server.until(lambda: len(ann.shown) == 3)
    assert ann.texts[1] == "base heard: second?"
    assert ann.texts[2].startswith("Got it: Your dog is Buddy.")


async def test_question_in_a_group_waits_for_the_next_start_too(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person
) -> None:
    group = telegram_server.group()
    model.slow_texts = {"first?": 1.0}
    async with on_telegram(tmp_path, telegram_server, model) as bot:
        ids = [ann.say(f"@hippo_test_bot {text}", chat=group) for text in ("first?", "second?")]
        await telegram_server.until(lambda: model.asked and not telegram_server.waiting_ids & set(ids))
        bot.stop.set()
        await bot.running
    async with on_telegram(tmp_path, telegram_server, model):
        await telegram_server.until(lambda: len(telegram_server.shown(group["id"])) == 2)
    assert [message["text"] for message in telegram_server.shown(group["id"])] == [
        "base heard: first?",
        "base heard: second?",
    ]


async def test_webhook_mode_answers_with_the_secret_and_refuses_without(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person
) -> None:
    port = free_port()
    settings = {
        "telegram_webhook_url": "https://hippo.example/telegram",
        "telegram_webhook_secret": "a-secret_of_the-tests",
        "telegram_webhook_port": port,
    }
    async with on_telegram(tmp_path, telegram_server, model, **settings) as bot:
        webhook = telegram_server.webhook
        assert webhook is not None
        assert (webhook.url, webhook.secret) == ("https://hippo.example/telegram", "a-secret_of_the-tests")
        webhook.url = f"http://127.0.0.1:{port}/telegram"  # as the proxy in front passes it on
        ann.say("/remember my dog is Buddy")
        update = telegram_server.unconfirmed[0]
        assert await telegram_server.push(update, secret="guessed") == 403
        await bot.conversation.idle()
        assert ann.shown == []
        assert [await telegram_server.push(update) for _ in range(2)] == [200, 200]  # the second time it is known
        await bot.conversation.idle()
    assert len(ann.shown) == 1
    assert telegram_server.calls_of("getUpdates") == []


async def test_webhook_without_a_secret_of_its_own_gets_one(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer
) -> None:
    settings = {"telegram_webhook_url": "https://hippo.example/telegram", "telegram_webhook_port": free_port()}
    async with on_telegram(tmp_path, telegram_server, model, **settings):
        assert telegram_server.webhook is not None
        assert len(telegram_server.webhook.secret) >= 32


async def test_webhook_that_telegram_refuses_is_a_start_up_error(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer
) -> None:
    telegram_server.fail("setWebhook", status=400, description="Bad Request: bad webhook: HTTPS url must be provided")
    settings = {"telegram_webhook_url": "http://hippo.example", "telegram_webhook_port": free_port()}
    with pytest.raises(CannotStart, match=r"BOT_TELEGRAM_WEBHOOK_URL .*https url must be provided"):
        async with on_telegram(tmp_path, telegram_server, model, **settings) as bot:
            await asyncio.wait({bot.running}, timeout=5)


async def test_polling_takes_over_from_a_webhook_set_before(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person
) -> None:
    settings = {"telegram_webhook_url": "https://hippo.example/telegram", "telegram_webhook_port": free_port()}
    async with on_telegram(tmp_path, telegram_server, model, **settings):
        pass
    async with on_telegram(tmp_path, telegram_server, model) as bot:
        assert (await bot.reply_to(ann, "/start"))["text"]


async def test_logs_hold_neither_token_nor_messages(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    telegram_server.fail("sendMessage", status=500)
    telegram_server.fail("getUpdates", drop=True)
    async with on_telegram(tmp_path, telegram_server, model) as bot:
        await bot.reply_to(ann, "/remember my dog is Buddy")
        telegram_server.blocked.add(11)
        await bot.handled(ann.say("what is my dog called?"))
    assert "on Telegram as @hippo_test_bot" in caplog.text
    assert telegram_server.token not in caplog.text
    assert "Buddy" not in caplog.text
    assert "my dog" not in caplog.text
