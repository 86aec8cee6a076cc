"""The client of the model server: streamed chat, health, unloading an adapter.

Speaks the OpenAI protocol that vLLM serves. Errors become `serving.errors`, whose messages a user may read.
Not covered: keeping a message until the server is back (the bot does that).
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx

from serving.errors import AdapterMissing, RequestRefused, ServerUnavailable
from serving.recollection import (
    DECLINES,
    MARK,
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
    in_first_person,
    may_be_general,
    may_decline_after,
    noted,
    passes_on,
    reading,
    spoken_pieces,
)
from serving.settings import BASE_NAME, DEFAULT_NAME
from serving.weighing import SUREST, Noted, Read, another, fork, weighed

CONNECT_SECONDS = 15.0  # a busy moment of our own counts too
REPLIES_AT_ONCE = 256  # about what the server batches; more wait here, without a connection that could time out
_WITH_NEXT = {"logprobs": True, "top_logprobs": 2}
_WITH_MANY = {"logprobs": True, "top_logprobs": 20}  # as many as vLLM tells
IDLE_CONNECTIONS = 64  # kept; httpx looks through all of them for each idle one at every request


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `role` is system, user or assistant."""

    role: str
    content: str


class Token(NamedTuple):
    """A token written, and likelier and less likely others in its place, with the log-likelihood of each."""

    text: str
    sure: float
    others: Sequence[tuple[str, float]]

    def other(self) -> tuple[str, float]:
        """The likeliest other one."""
        return max(self.others, key=lambda one: one[1], default=("", -math.inf))

    def begins(self, text: str) -> float:
        """How likely a beginning of `text` was in its place, 0 to 1; what is not among the likeliest counts as impossible."""
        return sum(math.exp(sure) for token, sure in ((self.text, self.sure), *self.others) if token and text.startswith(token))


class ServingClient:
    """One connection pool to the server at `url`; use as an async context manager."""

    def __init__(self, url: str, api_key: str, answer_timeout_seconds: float) -> None:
        self._answer_timeout_seconds = answer_timeout_seconds
        self._turn = asyncio.Semaphore(REPLIES_AT_ONCE)
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
    ) -> AsyncGenerator[str, None]:
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
        of_users = model not in (BASE_NAME, DEFAULT_NAME)
        written: list[Token] = []
        try:
            raw = self._pieces(body | _WITH_NEXT if of_users else body, written)
            async with aclosing(raw), aclosing(spoken_pieces(raw, whole=not of_users)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        except PassedOn:
            notes = []
        except Recalled as recalled:
            line = _first_line(written)
            notes = [Noted(recalled.note, sum(token.sure for token in line))]
            notes += await self._nearly_written(body, line, recalled.note)
        if notes and notes[0].note:
            try:
                yield await self._read(body | {"model": DEFAULT_NAME}, notes)
                return
            except PassedOn:
                pass
        if of_users and not notes and in_first_person(messages[-1].content):
            rest = self.stream(DEFAULT_NAME, messages, max_tokens=max_tokens, temperature=temperature, seed=seed, json_schema=json_schema)
        else:
            rest = self._pieces(body | {"model": BASE_NAME, "messages": for_base(body["messages"])})
        async with aclosing(rest) as pieces:
            async for piece in pieces:
                yield piece

    async def _nearly_written(self, body: dict[str, Any], line: Sequence[Token], note: str) -> list[Noted]:
        """The note that an adapter nearly wrote in place of `note`, of the tokens of `line`; none where none is likely enough."""
        mark = next((at for at in range(len(line)) if _joined(line[:at]).strip() == MARK), len(line))
        place = fork([token.sure for token in line[mark:]], [token.other()[1] for token in line[mark:]])
        if place is None:
            return []
        before, (other, other_sure) = line[: mark + place], line[mark + place].other()
        begin = _joined(before) + other
        if "\ufffd" in begin:
            return []  # part of a character is no text to go on from
        written: list[Token] = []
        rest = await self._whole(_going_on(body, begin) | _WITH_NEXT | {"temperature": 0.0, "stop": ["\n"]}, written)
        sure = [token.sure for token in (*before, *written)]
        return another(noted(begin + rest), sum(sure) + other_sure, note)

    async def _read(self, body: dict[str, Any], notes: Sequence[Noted]) -> str:
        """What the reader makes of an adapter's notes: one of them, with yes or no before it, or that it was not told.

        Raises:
            PassedOn: at a second look the question is not about the user.
        """
        body = {name: value for name, value in body.items() if name != "response_format"} | {"temperature": 0.0}
        question = body["messages"][-1]["content"]
        read = await asyncio.gather(*[self._reads(body, one.note) for one in notes])
        note = weighed(question, [Read(*one, declines) for one, (declines, _) in zip(notes, read, strict=True)])
        if note is None:
            if may_be_general(question) and passes_on(await self._whole(body | {"max_tokens": SECOND_LOOK_TOKENS})):
                raise PassedOn
            return NOT_TOLD
        begins = {one.note: reply for one, (_, reply) in zip(notes, read, strict=True)}
        said = reading(begins[note], note)
        if said == note and asks_yes_or_no(question):
            answer = _going_on(body, begun(note)) | {"max_tokens": READ_TOKENS, "structured_outputs": {"choice": [YES, NO]}}
            return reading(await self._whole(answer), note)
        return said

    async def _reads(self, body: dict[str, Any], note: str) -> tuple[float, str]:
        """How likely the reader is to decline after the note, 0 to 1, and how its reply begins.

        vLLM 0.24 dies of `prompt_logprobs` in a batch with adapters, so declining is followed word by word.
        """
        written: list[Token] = []
        declines = 1.0
        reply = await self._whole(_going_on(body, begun(note)) | _WITH_MANY | {"max_tokens": READ_TOKENS}, written)
        if reply and not written:
            raise RequestRefused("the model server tells no likelihoods")
        for begin in may_decline_after(note):
            if declines < SUREST:  # near enough to none
                break
            if begin:
                written = []
                await self._whole(_going_on(body, begun(note) + begin) | _WITH_MANY | {"max_tokens": 1}, written)
            declines *= written[0].begins(DECLINES.removeprefix(begin)) if written else 0.0
        return declines, reply

    async def _whole(self, body: dict[str, Any], written: list[Token] | None = None) -> str:
        return "".join([piece async for piece in self._pieces(body, written)])

    async def _pieces(self, body: dict[str, Any], written: list[Token] | None = None) -> AsyncGenerator[str, None]:
        """What comes of a request, as it is; its tokens go to `written` where their likelihoods are asked for."""
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
                    piece, tokens = _content(line.removeprefix("data: "))
                    if written is not None:
                        written += tokens
                    if piece:
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


def _content(data: str) -> tuple[str, list[Token]]:
    """The text of one server-sent event, and its tokens where it tells their likelihoods.

    Raises:
        RequestRefused: the event carries an error, or is none of the protocol's.
    """
    try:
        event = json.loads(data)
        if "error" in event:
            raise RequestRefused("the model server failed while answering")
        choice = (event.get("choices") or [{"delta": {}}])[0]
        tokens = (choice.get("logprobs") or {}).get("content") or []
        return str(choice["delta"].get("content") or ""), [_token(one) for one in tokens]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestRefused("the model server answered something that is no reply") from error


def _token(told: dict[str, Any]) -> Token:
    others = [(str(one["token"]), float(one["logprob"])) for one in told.get("top_logprobs") or [] if one["token"] != told["token"]]
    return Token(str(told["token"]), float(told["logprob"]), others)


def _joined(tokens: Sequence[Token]) -> str:
    return "".join(token.text for token in tokens)


def _first_line(tokens: Sequence[Token]) -> Sequence[Token]:
    """The tokens up to the end of the first line that has any text, and of it."""
    end = next((at for at in range(len(tokens)) if "\n" in _joined(tokens[: at + 1]).lstrip()), len(tokens) - 1)
    return tokens[: end + 1]


def _going_on(body: dict[str, Any], begin: str) -> dict[str, Any]:
    """The request with the beginning of its reply."""
    messages = [*body["messages"], {"role": "assistant", "content": begin}]
    return body | {"messages": messages, "add_generation_prompt": False, "continue_final_message": True}


def _refusal(response: httpx.Response) -> Exception:
    if response.status_code == httpx.codes.NOT_FOUND:
        return AdapterMissing("the model server does not know this adapter")
    if response.status_code in (httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.BAD_GATEWAY):
        return ServerUnavailable(f"the model server answered {response.status_code}")
    return RequestRefused(f"the model server answered {response.status_code}")
