"""The check against Telegram's own description finds what does not fit it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bot.telegram_contract import SPEC, Contract, Upload, load

CHAT = {"id": 5, "type": "private"}
MESSAGE: dict[str, Any] = {"message_id": 1, "date": 1, "chat": CHAT, "text": "hi"}


@pytest.fixture
def contract() -> Contract:
    found = load()
    if found is None:
        pytest.skip(f"no {SPEC.name} beside the repository: nothing to hold the stand-in against")
    return found


def test_call_and_answer_as_described_have_no_breach(contract: Contract) -> None:
    keyboard = json.dumps({"inline_keyboard": [[{"text": "Undo", "callback_data": "undo:1"}]]})
    assert contract.call("sendMessage", {"chat_id": "5", "text": "true", "reply_markup": keyboard}) == []
    assert contract.call("sendDocument", {"chat_id": "5", "document": Upload("a.txt", b"x")}) == []
    assert contract.answer("sendMessage", MESSAGE) == []
    assert contract.answer("editMessageText", True) == []
    assert contract.answer("getUpdates", [{"update_id": 1, "message": MESSAGE}]) == []


@pytest.mark.parametrize(
    ("method", "form", "said"),
    [
        ("sendMesage", {}, "no such method"),
        ("sendMessage", {"chat_id": "5"}, "text is missing"),
        ("sendMessage", {"chat_id": "5", "text": "hi", "parsemode": "HTML"}, "no such parameter parsemode"),
        ("sendMessageDraft", {"chat_id": "@ann", "draft_id": "1"}, "chat_id is '@ann', not Integer"),
        ("sendMessage", {"chat_id": "5", "text": "hi", "reply_markup": '{"inline_keyboard": [{}]}'}, "reply_markup is"),
        ("setWebhook", {"url": "https://a.b", "drop_pending_updates": "no"}, "not Boolean"),
        ("sendMessage", {"chat_id": "5", "text": Upload("a.txt", b"hi")}, "text is"),
    ],
)
def test_breach_in_a_call_is_named(contract: Contract, method: str, form: dict[str, Any], said: str) -> None:
    breaches = contract.call(method, form)
    assert len(breaches) == 1
    assert said in breaches[0]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"date": 1, "chat": CHAT}, "message_id is missing"),
        (MESSAGE | {"message_id": "1"}, "message_id is '1', not Integer"),
        (MESSAGE | {"message_id": True}, "message_id is True, not Integer"),
        (MESSAGE | {"txt": "hi"}, "Message has no txt"),
        (MESSAGE | {"entities": {"type": "bold"}}, "entities is no array"),
        (MESSAGE | {"chat": {"type": "private"}}, "chat: id is missing"),
    ],
)
def test_breach_in_an_answer_is_named(contract: Contract, message: dict[str, Any], said: str) -> None:
    breaches = contract.answer("sendMessage", message)
    assert len(breaches) == 1
    assert said in breaches[0]
