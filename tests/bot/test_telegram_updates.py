"""Updates through the real client library: none lost, whatever happens between Telegram and the store."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx
import pytest
from telegram import Update
from telegram.error import InvalidToken
from telegram.ext import ExtBot
from tenacity import wait_fixed

from bot import telegram_updates
from bot.telegram_requests import Bot, Patience
from bot.telegram_updates import KINDS, poll, webhook
from tests.bot.telegram_server import TelegramServer

SECRET = "a-secret_of_the-tests"


class Received(list[int]):
    """Ids of updates handed over; `trouble` is raised by the next ones instead."""

    def __init__(self) -> None:
        super().__init__()
        self.trouble: list[Exception] = []

    def __call__(self, update: Update) -> None:
        if self.trouble:
            raise self.trouble.pop()
        self.append(update.update_id)


@pytest.fixture
async def bot(telegram_server: TelegramServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bot]:
    monkeypatch.setattr(telegram_updates, "_backoff_seconds", wait_fixed(0.01))
    async with ExtBot(telegram_server.token, base_url=f"{telegram_server.url}/bot", rate_limiter=Patience()) as running:
        yield running


@contextmanager
def polling(bot: Bot, received: Received) -> Iterator[asyncio.Task[None]]:
    task = asyncio.create_task(poll(bot, received))
    yield task
    task.cancel()


async def test_updates_come_in_order_those_from_before_the_start_too(telegram_server: TelegramServer, bot: Bot) -> None:
    ann, received = telegram_server.person(11, "Ann"), Received()
    sent = [ann.say(f"{n}") for n in range(150)]  # more than one answer of Telegram's holds
    with polling(bot, received):
        await telegram_server.until(lambda: len(received) == 150)
        sent.append(ann.say("one more"))
        await telegram_server.until(lambda: len(received) == 151 and not telegram_server.unconfirmed)
    assert received == sent


async def test_update_is_confirmed_only_when_it_is_stored(telegram_server: TelegramServer, bot: Bot) -> None:
    ann, received = telegram_server.person(11, "Ann"), Received()
    first, second = ann.say("one"), ann.say("two")
    received.trouble = [sqlite3.OperationalError("disk is full"), sqlite3.OperationalError("disk is full")]
    with polling(bot, received):
        await telegram_server.until(lambda: len(received) == 2 and not telegram_server.unconfirmed)
    offsets = [call.form.get("offset") for call in telegram_server.calls_of("getUpdates")]
    assert received == [first, second]
    assert offsets[:3] == [None, None, None]
    assert offsets[3] == str(second + 1)


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 502}, {"drop": True}, {"retry_after": 1}])
async def test_polling_goes_on_after_an_outage(
    telegram_server: TelegramServer, bot: Bot, fault: dict[str, object]
) -> None:
    ann, received = telegram_server.person(11, "Ann"), Received()
    telegram_server.fail("getUpdates", **fault)
    with polling(bot, received):
        sent = ann.say("hello")
        await telegram_server.until(lambda: received)
    assert received == [sent]


async def test_answer_lost_on_the_way_comes_again(telegram_server: TelegramServer, bot: Bot) -> None:
    ann, received = telegram_server.person(11, "Ann"), Received()
    telegram_server.fail("getUpdates", drop=True, done_first=True)
    sent = ann.say("hello")
    with polling(bot, received):
        await telegram_server.until(lambda: received)
    assert received == [sent]


async def test_second_process_with_the_same_token_is_named_in_the_log(
    telegram_server: TelegramServer, bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    received = Received()
    telegram_server.fail("getUpdates", status=409, description="Conflict: terminated by other getUpdates request")
    sent = telegram_server.person(11, "Ann").say("hello")
    with polling(bot, received):
        await telegram_server.until(lambda: received)
    assert received == [sent]
    assert "only one may run with a token" in caplog.text


async def test_revoked_token_ends_polling(telegram_server: TelegramServer, bot: Bot) -> None:
    with polling(bot, Received()) as task:
        await telegram_server.until(lambda: telegram_server.calls_of("getUpdates"))
        telegram_server.token = "654321:another"
        telegram_server.fail("getUpdates", status=401, description="Unauthorized")
        telegram_server.person(11, "Ann").say("hello")
        with pytest.raises(InvalidToken):
            await asyncio.wait_for(task, 5)


async def test_webhook_takes_updates_with_the_secret_alone(telegram_server: TelegramServer, bot: Bot) -> None:
    received = Received()
    async with webhook(
        bot, received, url="https://hippo.example/hook", secret=SECRET, host="127.0.0.1", port=0
    ) as port:
        assert telegram_server.webhook is not None
        assert (telegram_server.webhook.url, telegram_server.webhook.secret) == ("https://hippo.example/hook", SECRET)
        assert telegram_server.webhook.allowed == list(KINDS)
        telegram_server.webhook.url = f"http://127.0.0.1:{port}/hook"  # as the proxy in front would pass it on
        telegram_server.person(11, "Ann").say("hello")
        update = telegram_server.unconfirmed[0]
        assert await telegram_server.push(update, secret="wrong") == 403
        assert await telegram_server.push(update, secret="") == 403
        assert received == []
        assert await telegram_server.push(update) == 200
        assert received == [update["update_id"]]


async def test_webhook_lets_telegram_send_again_what_could_not_be_stored(
    telegram_server: TelegramServer, bot: Bot
) -> None:
    received = Received()
    received.trouble = [sqlite3.OperationalError("disk is full")]
    async with webhook(
        bot, received, url="https://hippo.example/hook", secret=SECRET, host="127.0.0.1", port=0
    ) as port:
        assert telegram_server.webhook is not None
        telegram_server.webhook.url = f"http://127.0.0.1:{port}/hook"
        telegram_server.person(11, "Ann").say("hello")
        assert await telegram_server.push(telegram_server.unconfirmed[0]) == 500
        assert await telegram_server.push(telegram_server.unconfirmed[0]) == 200
        assert len(received) == 1


async def test_webhook_refuses_what_is_no_update(bot: Bot) -> None:
    received = Received()
    async with (
        webhook(bot, received, url="https://hippo.example/hook", secret=SECRET, host="127.0.0.1", port=0) as port,
        httpx.AsyncClient() as http,
    ):
        header = {"X-Telegram-Bot-Api-Secret-Token": SECRET}
        bad = await http.post(f"http://127.0.0.1:{port}/hook", content=b"{", headers=header)
        empty = await http.post(f"http://127.0.0.1:{port}/hook", json={}, headers=header)
        elsewhere = await http.post(f"http://127.0.0.1:{port}/", json={}, headers=header)
    assert (bad.status_code, empty.status_code, elsewhere.status_code) == (400, 400, 404)
    assert received == []
