"""A stand-in for Telegram's Bot API on loopback: real HTTP, real forms, Telegram's answers and refusals.

    async with TelegramServer() as server:
        ann = server.person(11, "Ann")
        ann.say("/start")                    # waits for the bot as an update
        await server.until(lambda: ann.shown)

It keeps chats as people see them, does faults on demand (`fail`), and notes every breach of Telegram's own
description of the API in `breaches` (`telegram_contract.py`), both in what it is sent and in what it answers.
Not covered: media other than documents, payments, channels, and flood control unless asked for by `fail`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self

import httpx
from aiohttp import web

from tests.bot.telegram_chats import Chats, Form, Refused
from tests.bot.telegram_contract import Upload, load
from tests.bot.telegram_person import Person

TOKEN = "123456:stand-in-token-of-the-tests"
TEXTS = frozenset({"text", "caption", "file_id", "callback_query_id", "url", "secret_token", "parse_mode", "action"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the bot. `seconds` is the monotonic time at which it came."""

    method: str
    form: Mapping[str, str | Upload]
    seconds: float

    @property
    def chat_id(self) -> int:
        return int(str(self.form.get("chat_id", 0)))

    @property
    def text(self) -> str:
        return str(self.form.get("text", ""))


@dataclass
class Fault:
    """What goes wrong with the next `times` calls. `drop`: the connection ends without an answer."""

    method: str
    status: int = 500
    description: str = "Internal Server Error"
    retry_after: int | None = None
    drop: bool = False
    done_first: bool = False  # the method is carried out, and only its answer is lost
    chat_id: int | None = None
    times: int = 1


@dataclass
class Webhook:
    url: str
    secret: str
    allowed: list[str] = field(default_factory=list)


class TelegramServer(Chats):
    """The server; `url` goes to the client library. `checked=False` compares with no contract, for speed."""

    def __init__(self, token: str = TOKEN, username: str = "hippo_test_bot", *, checked: bool = True) -> None:
        super().__init__(username)
        self.token = token
        self.calls: list[Call] = []
        self.breaches: list[str] = []
        self.webhook: Webhook | None = None
        self.unconfirmed: list[dict[str, Any]] = []  # updates that the bot has not confirmed yet
        self.given: dict[int, float] = {}  # when each update was first given out, in monotonic seconds
        self.methods |= {
            "getUpdates": self._get_updates,
            "setWebhook": self._set_webhook,
            "deleteWebhook": self._delete_webhook,
        }
        self._contract = load() if checked else None
        self._faults: list[Fault] = []
        self._update_ids = count(700_000)
        self._changed = asyncio.Event()
        self._polls = 0

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_route("*", "/bot{token}/{method}", self._serve)
        app.router.add_get("/file/bot{token}/{path:.*}", self._serve_file)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def waiting_ids(self) -> set[int]:
        """Ids of the updates that the bot has not confirmed yet."""
        return {int(update["update_id"]) for update in self.unconfirmed}

    def person(self, user_id: int, first_name: str) -> Person:
        return Person(self, user_id, first_name)

    def calls_of(self, method: str, chat_id: int | None = None) -> list[Call]:
        return [call for call in self.calls if call.method == method and chat_id in (None, call.chat_id)]

    def fail(self, method: str, **what: Any) -> None:
        """The next call of a method goes wrong (fields of `Fault`)."""
        self._faults.append(Fault(method, **what))

    def add_update(self, content: dict[str, Any], update_id: int | None = None) -> int:
        """Queues an update for the bot; a given `update_id` sends one again. Returns the id."""
        update = {"update_id": next(self._update_ids) if update_id is None else update_id, **content}
        self._note(self._contract.value("Update", update) if self._contract else [])
        self.unconfirmed.append(update)
        self._changed.set()
        return int(update["update_id"])

    async def until(self, condition: Callable[[], object], timeout_seconds: float = 5.0) -> None:
        """Waits for a condition, looked at after every change here and at least every 50 ms."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while not condition():
                    await self._change(0.05)
        except TimeoutError:
            calls = [(call.method, call.text[:60]) for call in self.calls[-12:]]
            raise AssertionError(f"did not come about within {timeout_seconds} s; last calls: {calls}") from None

    async def push(self, update: dict[str, Any], secret: str | None = None) -> int:
        """Posts an update to the bot's webhook; returns the status it answers. `secret`: another than agreed."""
        assert self.webhook is not None
        header = {"X-Telegram-Bot-Api-Secret-Token": self.webhook.secret if secret is None else secret}
        async with httpx.AsyncClient() as http:
            return (await http.post(self.webhook.url, json=update, headers=header)).status_code

    async def _change(self, timeout_seconds: float) -> None:
        self._changed.clear()
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_seconds)
        except TimeoutError:
            return

    def _note(self, breaches: list[str]) -> None:
        self.breaches += breaches

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        if request.match_info["token"] != self.token:
            return _refusal(401, "Unauthorized")
        form = await _form(request)
        call = Call(method, form, time.monotonic())
        self.calls.append(call)
        self._changed.set()
        self._note(self._contract.call(method, form) if self._contract else [])
        fault = self._next_fault(call)
        if fault and not fault.done_first:
            return self._broken(request, fault)
        try:
            if method not in self.methods:
                raise Refused(404, "Not Found")
            result = self.methods[method]({name: _value(name, value) for name, value in form.items()})
            if isinstance(result, Awaitable):
                result = await result
        except Refused as refused:
            return _refusal(refused.status, refused.description)
        finally:
            self._changed.set()
        if fault:
            return self._broken(request, fault)
        self._note(self._contract.answer(method, result) if self._contract else [])
        return web.json_response({"ok": True, "result": result})

    async def _serve_file(self, request: web.Request) -> web.Response:
        if request.match_info["token"] != self.token or request.match_info["path"] not in self.files:
            raise web.HTTPNotFound
        return web.Response(body=self.files[request.match_info["path"]][1])

    def _next_fault(self, call: Call) -> Fault | None:
        for fault in self._faults:
            if fault.times > 0 and fault.method == call.method and fault.chat_id in (None, call.chat_id):
                fault.times -= 1
                return fault
        return None

    @staticmethod
    def _broken(request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.drop:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault.retry_after is not None:
            description = f"Too Many Requests: retry after {fault.retry_after}"
            return _refusal(429, description, {"retry_after": fault.retry_after})
        return _refusal(fault.status, fault.description)

    async def _get_updates(self, form: Form) -> list[dict[str, Any]]:
        """Long polling: an offset confirms what is below it; the rest comes again until confirmed."""
        if self.webhook:
            raise Refused(409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook first")
        self._polls += 1
        mine = self._polls
        offset, allowed = int(form.get("offset", 0)), form.get("allowed_updates") or []
        self.unconfirmed = [update for update in self.unconfirmed if update["update_id"] >= offset]
        ends = time.monotonic() + float(form.get("timeout", 0))
        while True:
            if self._polls != mine:
                raise Refused(409, "Conflict: terminated by other getUpdates request")
            found = [update for update in self.unconfirmed if not allowed or set(allowed) & set(update)]
            left = ends - time.monotonic()
            if found or left <= 0:
                found = found[: int(form.get("limit", 100))]
                for update in found:
                    self.given.setdefault(update["update_id"], time.monotonic())
                return found
            await self._change(min(left, 0.05))

    def _set_webhook(self, form: Form) -> bool:
        self.webhook = Webhook(form["url"], form.get("secret_token", ""), form.get("allowed_updates") or [])
        return True

    def _delete_webhook(self, form: Form) -> bool:
        self.webhook = None
        if form.get("drop_pending_updates"):
            self.unconfirmed.clear()
        return True


async def _form(request: web.Request) -> dict[str, str | Upload]:
    """The fields as they came: text, or a file."""
    return {
        name: Upload(value.filename, value.file.read()) if isinstance(value, web.FileField) else str(value)
        for name, value in (await request.post()).items()
    }


def _value(name: str, value: str | Upload) -> Any:
    """A form field as the method means it: text, a file, or JSON."""
    return value if isinstance(value, Upload) or name in TEXTS else json.loads(value)


def _refusal(status: int, description: str, parameters: dict[str, Any] | None = None) -> web.Response:
    more = {"parameters": parameters} if parameters else {}
    return web.json_response({"ok": False, "error_code": status, "description": description, **more}, status=status)
