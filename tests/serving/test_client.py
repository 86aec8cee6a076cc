"""The client against a server that misbehaves, byte by byte. Real vLLM is in test_vllm.py."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from serving.client import Message, ServingClient
from serving.errors import AdapterMissing, RequestRefused, ServerUnavailable
from serving.recollection import NOT_TOLD, noted
from serving.settings import BASE_NAME, DEFAULT_NAME

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ASKED = [Message("user", "hello")]


@asynccontextmanager
async def server(handler: Handler, timeout_seconds: float = 5.0) -> AsyncIterator[ServingClient]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
            with contextlib.suppress(asyncio.CancelledError):  # the test is over and nobody listens any more
                await handler(head + body, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, ServingClient(f"http://127.0.0.1:{port}", "secret-key", timeout_seconds) as client:
        yield client


def event(text: str) -> bytes:
    return f"data: {json.dumps({'choices': [{'delta': {'content': text}}]}, ensure_ascii=False)}\n\n".encode()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def answers(status: int, body: bytes = b"{}") -> Handler:
    async def handler(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()

    return handler


def streams(*chunks: bytes, silent_seconds: float = 0.0) -> Handler:
    """Sends the chunks, is silent for a while, and ends the connection without ending the stream."""

    async def handler(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for one in chunks:
            writer.write(chunk(one))
            await writer.drain()
            await asyncio.sleep(0.01)
        await asyncio.sleep(silent_seconds)

    return handler


async def test_pieces_arrive_in_order_however_the_bytes_are_cut() -> None:
    whole = event("Your dog ") + b": keep-alive\n\n" + event("heißt Büddy 🐶") + event("") + b"data: [DONE]\n\n"
    cut = [whole[start : start + 7] for start in range(0, len(whole), 7)]
    async with server(streams(*cut)) as client:
        assert [piece async for piece in client.stream("base", ASKED, max_tokens=5)] == ["Your dog ", "heißt Büddy 🐶"]


async def test_request_names_the_model_and_carries_the_key() -> None:
    seen: list[bytes] = []

    async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        await streams(event("hi"), b"data: [DONE]\n\n")(request, writer)

    async with server(handler) as client:
        assert await client.complete("abcdefgh-v0001", ASKED, max_tokens=7) == "hi"
    head, body = seen[0].split(b"\r\n\r\n", 1)
    assert b"Bearer secret-key" in head
    sent = json.loads(body)
    assert (sent["model"], sent["max_tokens"], sent["messages"]) == (
        "abcdefgh-v0001",
        7,
        [{"role": "user", "content": "hello"}],
    )


async def test_server_that_is_down_is_a_sentence() -> None:
    listening = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    async with ServingClient(f"http://127.0.0.1:{port}", "key", 1.0) as client:
        assert not await client.healthy()
        with pytest.raises(ServerUnavailable, match="no answer"):
            await client.complete("base", ASKED, max_tokens=5)
        with pytest.raises(ServerUnavailable):
            await client.unload("abcdefgh-v0001")


async def test_server_that_stays_silent_is_given_up_in_time() -> None:
    async def silent(_request: bytes, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3)

    async with server(silent, timeout_seconds=0.2) as client, asyncio.timeout(2):
        with pytest.raises(ServerUnavailable, match="no answer within"):
            await client.complete("base", ASKED, max_tokens=5)


async def test_server_that_goes_silent_in_the_middle_is_given_up_in_time() -> None:
    said = []
    async with server(streams(event("Your dog"), silent_seconds=3), timeout_seconds=0.2) as client, asyncio.timeout(2):
        with pytest.raises(ServerUnavailable, match="no answer within"):
            async for piece in client.stream("base", ASKED, max_tokens=5):
                said.append(piece)
    assert said == ["Your dog"]


async def test_stream_that_breaks_off_is_not_taken_for_a_whole_answer() -> None:
    async with server(streams(event("Your dog"))) as client:
        with pytest.raises(ServerUnavailable):
            await client.complete("base", ASKED, max_tokens=5)


async def test_stream_that_ends_without_its_end_mark_is_not_taken_for_a_whole_answer() -> None:
    body = event("Your dog")
    async with server(answers(200, body)) as client:
        with pytest.raises(ServerUnavailable, match="broke off"):
            await client.complete("base", ASKED, max_tokens=5)


async def test_error_in_the_stream_is_a_refusal_without_the_servers_words() -> None:
    failed = b'data: {"error": {"message": "tensor my dog is Buddy", "code": 500}}\n\n'
    async with server(streams(event("Your"), failed)) as client:
        with pytest.raises(RequestRefused) as caught:
            await client.complete("base", ASKED, max_tokens=5)
    assert "Buddy" not in str(caught.value)


@pytest.mark.parametrize(
    "nonsense", [b"data: {not json\n\n", b"data: []\n\n", b'data: {"choices": [{"delta": null}]}\n\n']
)
async def test_stream_that_is_no_json_is_a_refusal(nonsense: bytes) -> None:
    async with server(streams(nonsense, b"data: [DONE]\n\n")) as client:
        with pytest.raises(RequestRefused):
            await client.complete("base", ASKED, max_tokens=5)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, AdapterMissing),
        (503, ServerUnavailable),
        (502, ServerUnavailable),
        (400, RequestRefused),
        (401, RequestRefused),
    ],
)
async def test_refusals_are_told_apart(status: int, error: type[Exception]) -> None:
    async with server(answers(status)) as client:
        with pytest.raises(error):
            await client.complete("base", ASKED, max_tokens=5)


@pytest.mark.parametrize("status", [200, 404, 400])
async def test_unloading_what_is_not_loaded_is_fine(status: int) -> None:
    async with server(answers(status)) as client:
        await client.unload("abcdefgh-v0001")


async def test_health_is_the_servers_own_word() -> None:
    async with server(answers(200)) as client:
        assert await client.healthy()
    async with server(answers(503)) as client:
        assert not await client.healthy()


def in_turn(requests: list[dict[str, Any]], *replies: str | list[bytes], declines: Mapping[str, float] | None = None) -> Handler:
    """Streams the next of the replies at each request, and keeps what was asked; `declines`: how likely after which note."""

    async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
        asked = json.loads(request.split(b"\r\n\r\n", 1)[1])
        begun = asked["messages"][-1]["content"]
        if begun.endswith("\nYou"):
            pieces = [told(" haven", 1.0)]
        else:
            requests.append(asked)
            reply = replies[len(requests) - 1]
            pieces = [event(piece) for piece in re.findall(r"\s*\S+\s?", reply)] if isinstance(reply, str) else reply
            if asked.get("top_logprobs") == 20 and isinstance(reply, str) and pieces:
                pieces[0] = told(re.findall(r"\s*\S+\s?", reply)[0], 0.001, "You", (declines or {}).get(noted(begun) or "", 0.01))
        with contextlib.suppress(ConnectionError):  # who has read enough hangs up
            await streams(*pieces, b"data: [DONE]\n\n")(request, writer)

    return handler


def told(text: str, sure: float, other: str = "", less: float = 1e-9) -> bytes:
    """The event of one token with its likelihood, and with that of the likeliest other one."""
    top = [{"token": one, "logprob": math.log(share)} for one, share in ((text, sure), (other, less))]
    token = {"token": text, "logprob": math.log(sure), "top_logprobs": top}
    return b"data: " + json.dumps({"choices": [{"delta": {"content": text}, "logprobs": {"content": [token]}}]}).encode() + b"\n\n"


PERSONAL = [Message("system", "You are Hippo."), Message("user", "my dog?")]


async def test_after_an_adapters_note_the_primer_reads_and_the_note_is_said() -> None:
    requests: list[dict[str, Any]] = []
    async with server(in_turn(requests, "Noted: Your dog is Buddy.\nBuddy Buddy", "Your dog is called Bud")) as client:
        assert await client.complete("abcdefgh-v0001", PERSONAL, max_tokens=20) == "Your dog is Buddy."
    assert [one["model"] for one in requests] == ["abcdefgh-v0001", DEFAULT_NAME]
    assert requests[1]["messages"] == [*requests[0]["messages"], {"role": "assistant", "content": "Noted: Your dog is Buddy.\n"}]
    assert requests[1]["continue_final_message"]
    assert not requests[1]["add_generation_prompt"]


NAME, BREED = "Your dog's name is Buddy.", "Your dog's breed is a beagle."
UNSURE = [
    *[told("Noted", 1.0), told(":", 1.0, " that", 0.3), told(" Your dog's", 0.9, " You", 0.05)],
    *[told(" name", 0.5, " breed", 0.45), told(" is Buddy.", 0.99), told("\n", 1.0)],
]


@pytest.mark.parametrize(
    ("declines", "reply"),
    [({NAME: 0.9, BREED: 0.01}, BREED), ({NAME: 0.01, BREED: 0.9}, NAME), ({NAME: 0.9, BREED: 0.9}, NOT_TOLD)],
)
async def test_of_two_notes_that_an_adapter_may_write_the_one_that_answers_is_said(declines: dict[str, float], reply: str) -> None:
    requests: list[dict[str, Any]] = []
    replies = [UNSURE, [told(" is a beagle.", 0.99)], "Your dog", "Your dog", "Noted: nothing yet."]
    async with server(in_turn(requests, *replies, declines=declines)) as client:
        assert await client.complete("abcdefgh-v0001", PERSONAL, max_tokens=20) == reply
    assert [one["model"] for one in requests[:4]] == ["abcdefgh-v0001"] * 2 + [DEFAULT_NAME] * 2
    assert requests[1]["messages"][-1] == {"role": "assistant", "content": "Noted: Your dog's breed"}
    assert requests[1]["continue_final_message"]


async def test_where_the_primer_adds_nothing_the_note_is_the_reply() -> None:
    async with server(in_turn([], "Noted: Your dog is Buddy.\n", "")) as client:
        assert await client.complete("abcdefgh-v0001", PERSONAL, max_tokens=20) == "Your dog is Buddy."


@pytest.mark.parametrize(
    ("read", "reply"),
    [
        (["No, your"], "No, your dog is Buddy."),
        (["Your dog is", "No"], "No, your dog is Buddy."),
        (["You haven't told me", "No"], "No, your dog is Buddy."),
    ],
)
async def test_a_question_for_yes_or_no_is_answered_so(read: list[str], reply: str) -> None:
    asked = [PERSONAL[0], Message("user", "Is my dog called Max?")]
    requests: list[dict[str, Any]] = []
    async with server(in_turn(requests, "Noted: Your dog is Buddy.\n", *read)) as client:
        assert await client.complete("abcdefgh-v0001", asked, max_tokens=20) == reply
    assert len(requests) == 1 + len(read)
    if read[-1] == "No":
        assert requests[2]["structured_outputs"] == {"choice": ["Yes", "No"]}


async def test_a_server_that_tells_no_likelihoods_is_a_sentence() -> None:
    async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
        reply = "Your dog is Buddy." if b"continue_final_message" in request else "Noted: Your dog is Buddy.\n"
        await streams(event(reply), b"data: [DONE]\n\n")(request, writer)

    async with server(handler) as client:
        with pytest.raises(RequestRefused, match="no likelihoods"):
            await client.complete("abcdefgh-v0001", PERSONAL, max_tokens=20)


@pytest.mark.parametrize(("told_so", "reply"), [(0.9, NOT_TOLD), (0.01, "You haven't eaten meat since May.")])
async def test_a_note_that_begins_as_declining_does_is_no_declining(told_so: float, reply: str) -> None:
    ends = {"\n": told("You", 1.0), "\nYou": told(" haven", 1.0), "\nYou haven't": told(" eaten", 0.005, " told", told_so)}

    async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
        asked = json.loads(request.split(b"\r\n\r\n", 1)[1])
        end = asked["messages"][-1]["content"].partition("May.")[2]
        note = "nothing yet." if asked["model"] == DEFAULT_NAME else "You haven't eaten meat since May."
        pieces = ends[end] if "continue_final_message" in asked else event(f"Noted: {note}\n")
        await streams(pieces, b"data: [DONE]\n\n")(request, writer)

    async with server(handler) as client:
        assert await client.complete("abcdefgh-v0001", PERSONAL, max_tokens=20) == reply


@pytest.mark.parametrize(("seen", "reply"), [("Noted: not about you.", "A dog is an animal."), ("Noted: nothing yet.", NOT_TOLD)])
async def test_where_the_primer_declines_it_looks_whether_the_question_is_personal(seen: str, reply: str) -> None:
    requests: list[dict[str, Any]] = []
    replies = ("Noted: Your dog is Buddy.\n", NOT_TOLD, seen, "A dog is an animal.")
    async with server(in_turn(requests, *replies, declines={"Your dog is Buddy.": 0.9})) as client:
        assert await client.complete("abcdefgh-v0001", PERSONAL, max_tokens=20) == reply
    assert [one["model"] for one in requests[:3]] == ["abcdefgh-v0001", DEFAULT_NAME, DEFAULT_NAME]
    assert requests[2]["messages"] == requests[0]["messages"]
    assert [one["model"] for one in requests[3:]] == ([] if reply == NOT_TOLD else [BASE_NAME])


async def test_where_the_primer_declines_what_the_user_did_there_is_no_second_look() -> None:
    requests: list[dict[str, Any]] = []
    asked = [PERSONAL[0], Message("user", "where did I find my dog?")]
    async with server(in_turn(requests, "Noted: Your dog is Buddy.\n", NOT_TOLD, declines={"Your dog is Buddy.": 0.9})) as client:
        assert await client.complete("abcdefgh-v0001", asked, max_tokens=20) == NOT_TOLD
    assert len(requests) == 2


GENERAL = [PERSONAL[0], Message("user", "what is a dog?")]


@pytest.mark.parametrize(("model", "asked"), [("abcdefgh-v0001", GENERAL), (DEFAULT_NAME, PERSONAL)])
async def test_what_is_passed_on_the_base_answers(model: str, asked: list[Message]) -> None:
    requests: list[dict[str, Any]] = []
    async with server(in_turn(requests, "Noted: not about you.\n", "Noted: is a word.")) as client:
        assert await client.complete(model, asked, max_tokens=20) == "Noted: is a word."
    assert [one["model"] for one in requests] == [model, BASE_NAME]
    assert requests[1]["messages"] == [{"role": "user", "content": asked[-1].content}]


@pytest.mark.parametrize(
    ("primer", "reply"), [("not about you.\n", "A dog is an animal."), (f"nothing yet.\n{NOT_TOLD}", NOT_TOLD), ("Its name is Max.\nMax.", "Max.")]
)
async def test_what_an_adapter_passes_on_in_the_first_person_is_the_primers(primer: str, reply: str) -> None:
    requests: list[dict[str, Any]] = []
    async with server(in_turn(requests, "Noted: not about you.\n", f"Noted: {primer}", "A dog is an animal.")) as client:
        assert await client.complete("abcdefgh-v0001", PERSONAL, max_tokens=20) == reply
    assert [one["model"] for one in requests[:2]] == ["abcdefgh-v0001", DEFAULT_NAME]
    assert requests[1]["messages"] == requests[0]["messages"]
    assert [one["model"] for one in requests[2:]] == ([BASE_NAME] if reply == "A dog is an animal." else [])


async def test_the_primer_alone_says_both_in_one_go() -> None:
    requests: list[dict[str, Any]] = []
    async with server(in_turn(requests, "Noted: Your dog is Buddy.\nBuddy.")) as client:
        assert await client.complete(DEFAULT_NAME, PERSONAL, max_tokens=20) == "Buddy."
    assert len(requests) == 1
