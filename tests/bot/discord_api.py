"""Discord's HTTP API for one bot, as a stand-in on loopback: what the bot calls, and calls that fail when asked.

What it is sent and what it answers is held against Discord's OpenAPI description where that is at hand; breaches gather
in `breaches`. Not covered: rate limits by themselves, permissions, voice, anything the bot does not call.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import BodyPartReader, web

from tests.bot import discord_objects as objects
from tests.bot.discord_contract import load
from tests.bot.discord_gateway import Gateway
from tests.bot.discord_objects import EPHEMERAL, LOADING, Json, snowflake

TOKEN = "token-of-the-stand-in"
APPLICATION_ID = "100000000000001000"
FIRST_PERSON_ID = 100000000000002001
API = "/api/v10"
INTERACTION_SECONDS = 3.0
MESSAGE_CHARS = 2000
BODY: web.RequestKey[Any] = web.RequestKey("body", object)


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived. `at` in seconds of the monotonic clock."""

    method: str
    path: str
    body: Any
    at: float
    status: int


@dataclass(slots=True)
class Fault:
    """What the next calls get instead. `retry_after` in seconds goes with 429."""

    method: str
    path: re.Pattern[str]
    status: int
    times: int
    code: int = 0
    retry_after: float = 0.0
    done_anyway: bool = False  # the call takes effect, and its answer is lost


@dataclass(slots=True)
class Interaction:
    """A slash command or a press, as its person sees it."""

    data: Json
    person: Json
    sent_at: float
    kind: int | None = None  # type of the callback
    acknowledged_after: float | None = None  # seconds
    message_id: str | None = None
    choices: list[str] = field(default_factory=list)
    followed_up: list[str] = field(default_factory=list)


class DiscordApi:
    def __init__(self, *, checked: bool = True) -> None:
        """`checked=False` compares with no description, for speed."""
        self.bot = objects.own_user(APPLICATION_ID, "Hippo")
        self.application_id = APPLICATION_ID
        self.channel_id, self.guild_id = "100000000000003001", "100000000000003000"
        self._people: dict[str, Json] = {}
        self._private: dict[str, str] = {}  # person's id → channel
        self.messages: dict[str, Json] = {}
        self.commands: dict[str, Json] = {}
        self.calls: list[Call] = []
        self.typed: list[str] = []  # channels
        self.breaches: list[str] = []
        self.files: dict[str, bytes] = {}
        self._received: Json = {}  # the file of the form read last
        self.token = TOKEN
        self.interactions: dict[str, Interaction] = {}  # by token
        self.tokens_run_out = False
        self.keeps_files = True
        self._only_for: dict[str, str] = {}  # ephemeral message → person's id
        self._nonces: dict[str, str] = {}
        self._faults: list[Fault] = []
        self._contract = load() if checked else None
        guild = objects.guild(self.guild_id, self.channel_id, "2")
        ready = {
            "user": self.bot,
            "guilds": [{"id": self.guild_id, "unavailable": True}],
            "private_channels": [],
            "application": {"id": self.application_id, "flags": 0},
        }
        self.gateway = Gateway(TOKEN, ready, [("GUILD_CREATE", guild)])
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._checked])
        for method, path, handler in (
            ("GET", "/users/@me", self._own_user),
            ("GET", "/oauth2/applications/@me", self._application),
            ("PUT", "/applications/{app}/commands", self._put_commands),
            ("POST", "/users/@me/channels", self._open_private),
            ("POST", "/channels/{channel}/typing", self._typing),
            ("GET", "/channels/{channel}/messages", self._history),
            ("POST", "/channels/{channel}/messages", self._post_message),
            ("PATCH", "/channels/{channel}/messages/{message}", self._patch_message),
            ("POST", "/interactions/{id}/{token}/callback", self._callback),
            ("POST", "/webhooks/{app}/{token}", self._follow_up),
            ("PATCH", "/webhooks/{app}/{token}/messages/{message}", self._patch_webhook),
        ):
            app.router.add_route(method, API + path, handler)
        app.router.add_get("/gateway", self.gateway.handle)
        app.router.add_get("/files/{name}", self._file)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, backlog=4096).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        self.gateway.url = f"ws://{host}:{port}/gateway"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.gateway.close()
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def api(self) -> str:
        return self.url + API

    def person(self, name: str, user_id: str = "") -> Json:
        """Somebody by name; `user_id` where it matters which one they get."""
        if name not in self._people:
            self._people[name] = objects.user(user_id or str(FIRST_PERSON_ID + len(self._people)), name)
        return self._people[name]

    def private(self, person: Json) -> str:
        """The channel of the private chat between a person and the bot."""
        return self._private.setdefault(person["id"], str(5000 + int(person["id"])))

    # Faults

    def fail(self, method: str, path: str, status: int, **more: Any) -> None:
        """The next call that fits (`path` a regular expression), or `times` of them, gets this status."""
        self._faults.append(Fault(method, re.compile(path), status, **{"times": 1, **more}))

    def calls_of(self, method: str, path: str) -> list[Call]:
        return [call for call in self.calls if call.method == method and re.search(path, call.path)]

    # The API

    @web.middleware
    async def _checked(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if not request.path.startswith(API):
            answered: web.StreamResponse = await handler(request)
            return answered
        path = request.path.removeprefix(API)
        body, content_type = await self._read(request)
        request[BODY] = body
        if self._contract:
            self.breaches += self._contract.request(request.method, path, request.query, body, content_type)
        fault = next((one for one in self._faults if one.method == request.method and one.path.search(path)), None)
        if (
            not path.startswith(("/webhooks", "/interactions"))
            and request.headers.get("Authorization") != f"Bot {self.token}"
        ):
            response = reply(401, objects.error(0, "401: Unauthorized"))
        elif fault:
            response = await self._fault(fault, request, handler)
        else:
            response = await handler(request)
        self.calls.append(Call(request.method, path, body, time.monotonic(), response.status))
        if self._contract:
            held = json.loads(response.body) if response.body else None
            self.breaches += self._contract.answer(request.method, path, response.status, held)
        return response

    async def _fault(self, fault: Fault, request: web.Request, handler: Any) -> web.Response:
        fault.times -= 1
        if not fault.times:
            self._faults.remove(fault)
        if fault.done_anyway:
            await handler(request)
        if fault.status == 429:
            body = {
                "message": "You are being rate limited.",
                "retry_after": fault.retry_after,
                "global": False,
                "code": 0,
            }
            return reply(429, body, {"Retry-After": str(fault.retry_after), "X-RateLimit-Remaining": "0"})
        return reply(fault.status, objects.error(fault.code, "as the test asks"))

    async def _read(self, request: web.Request) -> tuple[Any, str]:
        """The JSON of a request; files of a form go to `files`."""
        if request.content_type != "multipart/form-data":
            raw = await request.read()
            return (json.loads(raw), request.content_type) if raw else (None, "")
        body: Json = {}
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            content = await part.read(decode=True)
            if part.name == "payload_json":
                body |= json.loads(content)
            else:
                self._received = self._upload(str(part.filename), bytes(content))
        return body, "multipart/form-data"

    async def _own_user(self, _request: web.Request) -> web.Response:
        return reply(200, self.bot)

    async def _application(self, _request: web.Request) -> web.Response:
        return reply(200, objects.application(self.application_id, "Hippo", self.person("owner")))

    async def _put_commands(self, request: web.Request) -> web.Response:
        made = [objects.command(self.application_id, sent) for sent in request[BODY]]
        self.commands = {command["name"]: command for command in made}
        return reply(200, made)

    async def _open_private(self, request: web.Request) -> web.Response:
        person = next(one for one in self._people.values() if one["id"] == str(request[BODY]["recipient_id"]))
        return reply(200, objects.private_channel(self.private(person), person))

    async def _typing(self, request: web.Request) -> web.Response:
        self.typed.append(request.match_info["channel"])
        return reply(204)

    async def _history(self, request: web.Request) -> web.Response:
        """Newest first, as Discord lists them."""
        after = int(request.query.get("after", 0))
        limit = int(request.query.get("limit", 50))
        held = [
            message
            for message in self.messages.values()
            if message["channel_id"] == request.match_info["channel"] and int(message["id"]) > after
        ]
        oldest = sorted(held, key=lambda message: int(message["id"]))[:limit]
        return reply(200, oldest[::-1])

    async def _post_message(self, request: web.Request) -> web.Response:
        body = request[BODY]
        nonce = str(body.get("nonce", "")) if body.get("enforce_nonce") else ""
        if nonce and nonce in self._nonces:
            return reply(200, self.messages[self._nonces[nonce]])
        message, refusal = self._made(request.match_info["channel"], body)
        if refusal:
            return refusal
        if nonce:
            self._nonces[nonce] = message["id"]
        return reply(200, message)

    async def _patch_message(self, request: web.Request) -> web.Response:
        message = self.messages.get(request.match_info["message"])
        if message is None or message["id"] in self._only_for:
            return reply(404, objects.error(10008, "Unknown Message"))
        return self._change(message, request[BODY])

    async def _callback(self, request: web.Request) -> web.Response:
        interaction = self.interactions[request.match_info["token"]]
        after = time.monotonic() - interaction.sent_at
        if after > INTERACTION_SECONDS:
            return reply(404, objects.error(10062, "Unknown interaction"))
        if interaction.kind is not None:
            return reply(400, objects.error(40060, "Interaction has already been acknowledged."))
        body = request[BODY]
        data = body.get("data") or {}
        interaction.kind, interaction.acknowledged_after = body["type"], after
        flags = int(data.get("flags") or 0)
        told: Json = {"interaction": {"id": interaction.data["id"], "type": interaction.data["type"]}}
        if body["type"] == 8:
            interaction.choices = [choice["value"] for choice in data["choices"]]
        elif body["type"] == 5:
            message = self._keep(
                objects.message(interaction.data["channel_id"], self.bot, flags=flags | LOADING), interaction
            )
            told["interaction"] |= {"response_message_id": message["id"], "response_message_loading": True}
        elif body["type"] == 4:
            message, refusal = self._made(interaction.data["channel_id"], data, flags)
            if refusal:
                return refusal
            self._keep(message, interaction)
            told["interaction"] |= {"response_message_id": message["id"]}
            told["resource"] = {"type": 4, "message": message}
        else:
            interaction.message_id = interaction.data["message"]["id"]
            told["interaction"] |= {"response_message_id": interaction.message_id}
            if body["type"] == 7:
                self._change(self.messages[interaction.message_id], data)
                told["resource"] = {"type": 7, "message": self.messages[interaction.message_id]}
        return reply(200, told)

    async def _follow_up(self, request: web.Request) -> web.Response:
        interaction = self._of_token(request)
        if interaction is None:
            return reply(401, objects.error(50027, "Invalid Webhook Token"))
        if interaction.kind is None:
            return reply(404, objects.error(10015, "Unknown Webhook"))
        loading = self.messages.get(interaction.message_id or "")
        if loading and loading["flags"] & LOADING:
            return self._change(loading, request[BODY])
        message, refusal = self._made(
            interaction.data["channel_id"], request[BODY], int(request[BODY].get("flags") or 0)
        )
        if refusal:
            return refusal
        interaction.followed_up.append(message["id"])
        if message["flags"] & EPHEMERAL:
            self._only_for[message["id"]] = interaction.person["id"]
        return reply(200, message)

    async def _patch_webhook(self, request: web.Request) -> web.Response:
        interaction = self._of_token(request)
        if interaction is None:
            return reply(401, objects.error(50027, "Invalid Webhook Token"))
        name = request.match_info["message"]
        message = self.messages.get((interaction.message_id or "") if name == "@original" else name)
        if message is None:
            return reply(404, objects.error(10008, "Unknown Message"))
        return self._change(message, request[BODY])

    async def _file(self, request: web.Request) -> web.Response:
        content = self.files.get(request.match_info["name"])
        return web.Response(status=404) if content is None else web.Response(body=content)

    # Inside

    def _of_token(self, request: web.Request) -> Interaction | None:
        return None if self.tokens_run_out else self.interactions.get(request.match_info["token"])

    def _keep(self, message: Json, interaction: Interaction) -> Json:
        self.messages[message["id"]] = message
        interaction.message_id = message["id"]
        if message["flags"] & EPHEMERAL:
            self._only_for[message["id"]] = interaction.person["id"]
        return message

    def _made(self, channel: str, body: Json, flags: int = 0) -> tuple[Json, web.Response | None]:
        content = body.get("content") or ""
        if refusal := self._refusal(content, bool(body.get("attachments"))):
            return {}, refusal
        message = objects.message(channel, self.bot, content, flags=flags)
        message["components"] = objects.shown_components(body.get("components"))
        message["attachments"] = [self._received] if body.get("attachments") else []
        if body.get("message_reference"):
            message |= {
                "type": 19,
                "message_reference": {
                    "type": 0,
                    "channel_id": channel,
                    "message_id": str(body["message_reference"]["message_id"]),
                },
            }
        self.messages[message["id"]] = message
        return message, None

    def _change(self, message: Json, body: Json) -> web.Response:
        if refusal := self._refusal(body.get("content") or message["content"], bool(message["attachments"])):
            return refusal
        if body.get("content") is not None:
            message["content"] = body["content"]
        if "components" in body:
            message["components"] = objects.shown_components(body["components"])
        if body.get("attachments"):
            message["attachments"] = [self._received]
        message["flags"] &= ~LOADING
        message["edited_timestamp"] = objects.now()
        return reply(200, message)

    @staticmethod
    def _refusal(content: str, has_file: bool) -> web.Response | None:
        if len(content) > MESSAGE_CHARS:
            return reply(400, objects.error(50035, "Invalid Form Body"))
        if not content.strip() and not has_file:
            return reply(400, objects.error(50006, "Cannot send an empty message"))
        return None

    def _upload(self, name: str, content: bytes) -> Json:
        held = f"{snowflake()}-{name}"
        if self.keeps_files:
            self.files[held] = content
        return objects.attachment(name, len(content), f"{self.url}/files/{held}")

    def _described(self, schema: str, value: Json) -> None:
        if self._contract:
            self.breaches += self._contract.value(schema, value)


def reply(status: int, body: Any = None, headers: Json | None = None) -> web.Response:
    """An answer with the headers that discord.py looks for; the content type must be exactly this."""
    sent = {"Via": "1.1 stand-in", **(headers or {})}
    if body is None:
        return web.Response(status=status, headers=sent)
    return web.Response(
        status=status, body=json.dumps(body).encode(), headers={**sent, "Content-Type": "application/json"}
    )
