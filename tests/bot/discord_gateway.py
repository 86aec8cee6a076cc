"""The gateway's side of a session: identify, heartbeats, events with numbers, resume, reconnect, invalid session.

Uncompressed JSON frames. Not covered: shards, presences, voice, rate limits of the gateway.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import WSMsgType, web

from tests.bot.discord_objects import Json, snowflake

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID_SESSION, HELLO, HEARTBEAT_ACK = 0, 1, 2, 6, 7, 9, 10, 11
AUTHENTICATION_FAILED = 4004
GUILD_MESSAGES, DIRECT_MESSAGES, MESSAGE_CONTENT = 1 << 9, 1 << 12, 1 << 15


class Gateway:
    """One bot's sessions. `ready` and `first_events` say what a new session is greeted with."""

    def __init__(self, token: str, ready: Json, first_events: list[tuple[str, Json]]) -> None:
        self._token = token
        self._ready = ready
        self._first_events = first_events
        self._socket: web.WebSocketResponse | None = None
        self._events: list[Json] = []  # of the session, by number from 1
        self.session = ""
        self.intents = 0
        self.identified = 0
        self.resumed = 0
        self.heartbeats = 0
        self.refuses_resume = False
        self.url = ""
        self.connected = asyncio.Event()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_json({"op": HELLO, "d": {"heartbeat_interval": 41250}, "s": None, "t": None})
        try:
            async for frame in socket:
                if frame.type is WSMsgType.TEXT:
                    await self._take(socket, json.loads(frame.data))
        finally:
            if self._socket is socket:
                self._socket = None
                self.connected.clear()
        return socket

    async def dispatch(self, event: str, data: Json) -> None:
        """An event for the bot; kept for the session if the connection is gone just now."""
        if not self.session:
            return
        frame = {"op": DISPATCH, "t": event, "s": len(self._events) + 1, "d": data}
        self._events.append(frame)
        if self._socket is not None and not self._socket.closed:
            await self._socket.send_json(frame)

    async def ask_to_reconnect(self) -> None:
        await self._send(RECONNECT, None)

    async def invalidate(self, *, resumable: bool = False) -> None:
        if not resumable:
            self.session = ""
        await self._send(INVALID_SESSION, resumable)

    async def drop(self, code: int = 1006) -> None:
        """The connection breaks: without a close frame (1006), or with a code."""
        socket, self._socket = self._socket, None
        self.connected.clear()
        assert socket is not None
        if code == 1006:
            assert socket._req is not None
            transport = socket._req.transport
            assert transport is not None
            transport.abort()
        else:
            await socket.close(code=code)

    def forget_session(self) -> None:
        """What a long absence does: nothing can be resumed."""
        self.session = ""

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def _send(self, op: int, data: Any) -> None:
        assert self._socket is not None
        await self._socket.send_json({"op": op, "d": data, "s": None, "t": None})

    async def _take(self, socket: web.WebSocketResponse, frame: Json) -> None:
        if frame["op"] == HEARTBEAT:
            self.heartbeats += 1
            await socket.send_json({"op": HEARTBEAT_ACK, "d": None, "s": None, "t": None})
        elif frame["op"] == IDENTIFY:
            await self._identify(socket, frame["d"])
        elif frame["op"] == RESUME:
            await self._resume(socket, frame["d"])

    async def _identify(self, socket: web.WebSocketResponse, data: Json) -> None:
        if data["token"] != self._token:
            await socket.close(code=AUTHENTICATION_FAILED)
            return
        self.identified += 1
        self.intents = data["intents"]
        self.session, self._events, self._socket = snowflake(), [], socket
        ready = {**self._ready, "v": 10, "session_id": self.session, "resume_gateway_url": self.url}
        await self.dispatch("READY", ready)
        for event, body in self._first_events:
            await self.dispatch(event, body)
        self.connected.set()

    async def _resume(self, socket: web.WebSocketResponse, data: Json) -> None:
        if self.refuses_resume or not self.session or data["session_id"] != self.session:
            self.session = ""
            await socket.send_json({"op": INVALID_SESSION, "d": False, "s": None, "t": None})
            return
        self.resumed += 1
        self._socket = socket
        for frame in self._events[data["seq"] :]:
            await socket.send_json(frame)
        await self.dispatch("RESUMED", {})
        self.connected.set()
