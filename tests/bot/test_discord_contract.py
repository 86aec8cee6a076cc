"""The checks against Discord's description can fail: they find what is wrong in calls and answers."""

from __future__ import annotations

import pytest

from tests.bot import discord_objects as objects
from tests.bot.discord_contract import Contract, load

MESSAGES = "/channels/1/messages"


@pytest.fixture
def contract() -> Contract:
    found = load()
    if found is None:
        pytest.skip("Discord's OpenAPI description is not there (../shared/specs/discord-openapi.json)")
    return found


def test_good_call_has_no_breach(contract: Contract) -> None:
    assert contract.request("POST", MESSAGES, {}, {"content": "hello"}, "application/json") == []


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "content_type"),
    [
        ("POST", "/channels/1/letters", {}, {"content": "hello"}, "application/json"),
        ("PUT", MESSAGES, {}, {"content": "hello"}, "application/json"),
        ("POST", MESSAGES, {}, {"content": 5}, "application/json"),
        ("POST", MESSAGES, {}, {"content": "x" * 4001}, "application/json"),
        ("POST", MESSAGES, {}, {"content": "hello"}, "text/plain"),
        ("GET", MESSAGES, {"newer_than": "1"}, None, ""),
        (
            "POST",
            "/interactions/1/token/callback",
            {"with_response": "1"},
            {"type": 4, "data": {"content": "hello", "components": [{"type": 1, "components": [{"type": 2}]}]}},
            "application/json",
        ),
    ],
)
def test_bad_call_is_found(
    contract: Contract, method: str, path: str, query: dict[str, str], body: object, content_type: str
) -> None:
    assert contract.request(method, path, query, body, content_type)


def test_good_answer_has_no_breach(contract: Contract) -> None:
    message = objects.message("1", objects.user("2", "ann"), "hello")
    assert contract.answer("POST", MESSAGES, 200, message) == []
    assert contract.answer("POST", "/channels/1/typing", 204, None) == []
    assert contract.answer("POST", MESSAGES, 404, objects.error(10003, "Unknown Channel")) == []


def test_bad_answer_is_found(contract: Contract) -> None:
    message = objects.message("1", objects.user("2", "ann"), "hello")
    assert contract.answer("POST", MESSAGES, 200, {**message, "id": 7})
    assert contract.answer("POST", MESSAGES, 200, {key: message[key] for key in message if key != "author"})
    assert contract.answer("POST", "/channels/1/typing", 204, {"extra": 1})
    assert contract.answer("POST", MESSAGES, 200, None)
    assert contract.answer("POST", MESSAGES, 404, {"text": "no code"})
