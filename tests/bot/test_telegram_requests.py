"""Calls through the real client library while the network and Telegram misbehave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from telegram.error import BadRequest, Forbidden, NetworkError, RetryAfter
from telegram.ext import ExtBot
from tenacity import wait_none

from bot import telegram_requests
from bot.telegram_requests import ATTEMPTS, ONCE, Bot, Patience
from tests.bot.telegram_server import TelegramServer


@pytest.fixture
async def bot(telegram_server: TelegramServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bot]:
    monkeypatch.setattr(telegram_requests, "_backoff_seconds", wait_none())
    async with ExtBot(telegram_server.token, base_url=f"{telegram_server.url}/bot", rate_limiter=Patience()) as running:
        yield running


async def test_flood_control_is_waited_out_and_delays_no_other_chat(telegram_server: TelegramServer, bot: Bot) -> None:
    telegram_server.fail("sendMessage", retry_after=1, chat_id=11)
    started = time.monotonic()

    async def seconds_to_send(chat_id: int) -> float:
        await bot.send_message(chat_id, "hi")
        return time.monotonic() - started

    slow, quick = await asyncio.gather(seconds_to_send(11), seconds_to_send(12))
    first, second = (call.seconds for call in telegram_server.calls_of("sendMessage", 11))
    assert second - first >= 1.0
    assert slow >= 1.0
    assert quick < 0.5
    assert len(telegram_server.shown(11)) == len(telegram_server.shown(12)) == 1


async def test_wait_that_is_too_long_is_an_error_at_once(telegram_server: TelegramServer, bot: Bot) -> None:
    telegram_server.fail("sendMessage", retry_after=3600)
    with pytest.raises(RetryAfter):
        await bot.send_message(11, "hi")
    assert len(telegram_server.calls_of("sendMessage")) == 1


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 502, "description": "Bad Gateway"}, {"drop": True}])
async def test_passing_trouble_is_tried_again(
    telegram_server: TelegramServer, bot: Bot, fault: dict[str, object]
) -> None:
    telegram_server.fail("sendMessage", times=2, **fault)
    await bot.send_message(11, "hi")
    assert len(telegram_server.calls_of("sendMessage")) == 3
    assert len(telegram_server.shown(11)) == 1


async def test_retries_have_an_end(telegram_server: TelegramServer, bot: Bot) -> None:
    telegram_server.fail("sendMessage", status=503, times=100)
    with pytest.raises(NetworkError):
        await bot.send_message(11, "hi")
    assert len(telegram_server.calls_of("sendMessage")) == ATTEMPTS


async def test_what_will_not_change_is_not_tried_again(telegram_server: TelegramServer, bot: Bot) -> None:
    telegram_server.blocked.add(11)
    with pytest.raises(Forbidden):
        await bot.send_message(11, "hi")
    with pytest.raises(BadRequest):
        await bot.edit_message_text("hi", 12, 404)
    assert len(telegram_server.calls_of("sendMessage")) == len(telegram_server.calls_of("editMessageText")) == 1


async def test_call_that_may_be_left_out_is_tried_once(telegram_server: TelegramServer, bot: Bot) -> None:
    telegram_server.fail("sendMessageDraft", retry_after=30)
    with pytest.raises(RetryAfter):
        await bot.send_message_draft(11, 1, "hi", rate_limit_args=ONCE)
    assert len(telegram_server.calls_of("sendMessageDraft")) == 1
