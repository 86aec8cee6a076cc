"""The client of the model server: streamed chat, health, unloading an adapter.

Speaks the OpenAI protocol that vLLM serves. Errors become `serving.errors`, whose messages a user may read.
Not covered: keeping a message until the server is back (the bot does that).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from serving.errors import AdapterMissing, RequestRefused, ServerUnavailable
from serving.recollection import (
    DECLINES,
    DECLINING_BIAS,
    DECLINING_TOKENS,
    NO,
    NOT_TOLD,
    READ_TOKENS,
    SECOND_LOOK_TOKENS,
    YES,
    PassedOn,
    Recalled,
    asks_yes_or_no,
    begun,
    for_base,
    may_be_general,
    passes_on,
    reading,
    spoken_pieces,
)
from serving.settings import BASE_NAME, DEFAULT_NAME

CONNECT_SECONDS = 15.0  # a busy moment of our own counts too
REPLIES_AT_ONCE = 256  # about what the server batches; more wait here, without a connection that could time out
IDLE_CONNECTIONS = 64  # kept; httpx looks through all of them for each idle one at every request


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `role` is system, user or assistant."""

    role: str
    content: str


class ServingClient:
    """One connection pool to the server at `url`; use as an async context manager."""

    def __init__(self, url: str, api_key: str, answer_timeout_seconds: float) -> None:
        self._answer_timeout_seconds = answer_timeout_seconds
        self._turn = asyncio.Semaphore(REPLIES_AT_ONCE)
        self._declining_bias: dict[str, float] | None = None
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=httpx.Timeout(answer_timeout_seconds, connect=CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=IDLE_CONNECTIONS),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def healthy(self) -> bool:
        """Whether the server answers (GET /health)."""
        try:
            return (await self._http.get("/health", timeout=CONNECT_SECONDS)).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    async def stream(
        self,
        model: str,
        messages: Sequence[Message],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
        json_schema: dict[str, Any] | None = None,
    ) -> AsyncIterator[str]:
        """Pieces of the reply as they come (POST /v1/chat/completions).

        Where a user's adapter has noted a fact, it comes whole once the primer has read it, or the base replies (`serving/recollection.py`).

        `json_schema`: the reply is decoded under it, so that it is JSON of this shape unless it is cut off.

        Raises:
            ServerUnavailable: nothing answers, or it went silent for longer than the timeout.
            AdapterMissing: `model` is unknown there.
            RequestRefused: any other refusal.
        """
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "max_tokens": max_tokens,
            "temperature": temperature,
            "stream": True,
        }
        if seed is not None:
            body["seed"] = seed
        if json_schema is not None:
            named = {"name": "reply", "schema": json_schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}
        try:
            raw = self._pieces(body)
            async with aclosing(raw), aclosing(spoken_pieces(raw, whole=model in (BASE_NAME, DEFAULT_NAME))) as pieces:
                async for piece in pieces:
                    yield piece
            return
        except PassedOn:
            note = ""
        except Recalled as recalled:
            note = recalled.note
        if note:
            try:
                yield await self._read(body | {"model": DEFAULT_NAME}, note)
                return
            except PassedOn:
                pass
        async with aclosing(self._pieces(body | {"model": BASE_NAME, "messages": for_base(body["messages"])})) as pieces:
            async for piece in pieces:
                yield piece

    async def _read(self, body: dict[str, Any], note: str) -> str:
        """What the reader makes of `note`: it, with yes or no before it, or that it was not told.

        Raises:
            PassedOn: at a second look the question is not about the user.
        """
        body = {name: value for name, value in body.items() if name != "response_format"} | {"temperature": 0.0}
        begins = {"role": "assistant", "content": begun(note)}
        going_on = {"messages": [*body["messages"], begins], "add_generation_prompt": False, "continue_final_message": True}
        after_note = body | going_on | {"max_tokens": READ_TOKENS}
        question = body["messages"][-1]["content"]
        try:
            said = reading(await self._whole(after_note | {"logit_bias": await self._declining()}), note)
        except (RequestRefused, ServerUnavailable):
            self._declining_bias = None  # the server may be back with another base, whose tokens have other numbers
            raise
        if said == note and asks_yes_or_no(question):
            return reading(await self._whole(after_note | {"structured_outputs": {"choice": [YES, NO]}}), note)
        if said == NOT_TOLD and may_be_general(question) and passes_on(await self._whole(body | {"max_tokens": SECOND_LOOK_TOKENS})):
            raise PassedOn
        return said

    async def _whole(self, body: dict[str, Any]) -> str:
        return "".join([piece async for piece in self._pieces(body)])

    async def _declining(self) -> dict[str, float]:
        """What moves the line from which on the reader declines: a bias for the tokens that it begins with, by their numbers."""
        if self._declining_bias is None:
            asked = {"model": DEFAULT_NAME, "prompt": DECLINES, "add_special_tokens": False}
            response = await self._posted("/tokenize", asked)
            if response.status_code == httpx.codes.NOT_FOUND:
                raise RequestRefused("the model server has no /tokenize")
            if response.status_code != httpx.codes.OK:
                raise _refusal(response)
            try:
                tokens = [int(one) for one in response.json()["tokens"][:DECLINING_TOKENS]]
            except (ValueError, KeyError, TypeError) as error:
                raise RequestRefused("the model server answered something that is no list of tokens") from error
            self._declining_bias = {str(token): DECLINING_BIAS for token in tokens}
        return self._declining_bias

    async def _pieces(self, body: dict[str, Any]) -> AsyncGenerator[str, None]:
        """What comes of a request, as it is."""
        finished = False
        try:
            async with self._turn, self._http.stream("POST", "/v1/chat/completions", json=body) as response:
                if response.status_code != httpx.codes.OK:
                    await response.aread()
                    raise _refusal(response)
                async for line in response.aiter_lines():
                    if not line.startswith("data: "):
                        continue
                    if line == "data: [DONE]":
                        finished = True
                        break
                    if piece := _content(line.removeprefix("data: ")):
                        yield piece
        except httpx.TimeoutException as error:
            raise ServerUnavailable(f"no answer within {self._answer_timeout_seconds:.0f} s") from error
        except httpx.HTTPError as error:
            raise ServerUnavailable(f"no answer: {type(error).__name__}") from error
        if not finished:
            raise ServerUnavailable("the answer broke off")

    async def complete(self, model: str, messages: Sequence[Message], *, max_tokens: int, **options: Any) -> str:
        """The whole reply; everything else as in `stream`."""
        return "".join([piece async for piece in self.stream(model, messages, max_tokens=max_tokens, **options)])

    async def unload(self, name: str) -> None:
        """Drops an adapter from the server (POST /v1/unload_lora_adapter); one that is not loaded is fine.

        Raises:
            ServerUnavailable: nothing answers.
        """
        response = await self._posted("/v1/unload_lora_adapter", {"lora_name": name})
        if response.status_code not in (httpx.codes.OK, httpx.codes.NOT_FOUND, httpx.codes.BAD_REQUEST):
            raise _refusal(response)

    async def _posted(self, path: str, body: dict[str, Any]) -> httpx.Response:
        try:
            return await self._http.post(path, json=body)
        except httpx.HTTPError as error:
            raise ServerUnavailable(f"no answer: {type(error).__name__}") from error


def _content(data: str) -> str:
    """The text of one server-sent event.

    Raises:
        RequestRefused: the event carries an error, or is none of the protocol's.
    """
    try:
        event = json.loads(data)
        if "error" in event:
            raise RequestRefused("the model server failed while answering")
        choices = event.get("choices") or [{"delta": {}}]
        return str(choices[0]["delta"].get("content") or "")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestRefused("the model server answered something that is no reply") from error


def _refusal(response: httpx.Response) -> Exception:
    if response.status_code == httpx.codes.NOT_FOUND:
        return AdapterMissing("the model server does not know this adapter")
    if response.status_code in (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.BAD_GATEWAY):
        return ServerUnavailable(f"the model server answered {response.status_code}")
    return RequestRefused(f"the model server answered {response.status_code}")
