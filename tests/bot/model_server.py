"""A stand-in for the model server on loopback: the OpenAI protocol with streaming, as `serving.client` speaks it.

    async with ModelServer() as server:              # says "<model> heard: <last message>" at once
        server.answer = lambda model, messages: "…"  # or anything else
        server.seconds_per_piece = 0.2               # a slow model
        server.status = 503                          # a model that is away

It keeps what it was asked in `asked`. Not covered: tokens, adapters' weights, anything that a model knows.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Answer = Callable[[str, list[dict[str, str]]], str]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: the model's name and the messages as sent."""

    model: str
    messages: list[dict[str, str]]
    json_schema: dict[str, Any] | None = None

    @property
    def system(self) -> str:
        return self.messages[0]["content"]

    @property
    def text(self) -> str:
        return self.messages[-1]["content"]


def heard(model: str, messages: list[dict[str, str]]) -> str:
    return f"{model} heard: {messages[-1]['content']}"


class ModelServer:
    def __init__(self) -> None:
        self.answer: Answer = heard
        self.seconds_before = 0.0
        self.seconds_per_piece = 0.0
        self.slow_texts: dict[str, float] = {}  # last message → seconds before its reply
        self.status = 200
        self.break_off_after: int | None = None  # pieces, then the connection ends
        self.asked: list[Asked] = []
        self.unloaded: list[str] = []
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/unload_lora_adapter", self._unload)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=4096)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(status=self.status)

    async def _unload(self, request: web.Request) -> web.Response:
        self.unloaded.append((await request.json())["lora_name"])
        return web.Response()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body: dict[str, Any] = await request.json()
        if self.status != web.HTTPOk.status_code:
            return web.json_response({"error": {"message": "not now"}}, status=self.status)
        asked = Asked(
            body["model"], body["messages"], body.get("response_format", {}).get("json_schema", {}).get("schema")
        )
        self.asked.append(asked)
        await asyncio.sleep(self.slow_texts.get(asked.text, self.seconds_before))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        pieces = re.findall(r"\S+\s*", self.answer(asked.model, asked.messages))
        for number, piece in enumerate(pieces):
            if number == self.break_off_after:
                return response
            await asyncio.sleep(self.seconds_per_piece)
            event = {"choices": [{"index": 0, "delta": {"content": piece}}]}
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response
