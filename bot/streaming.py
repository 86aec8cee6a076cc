"""A reply written onto a surface while the model still speaks: typing sign, draft or edits, parts within the limit."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bot.errors import BotError
from bot.replies import Reply
from bot.splitting import split
from bot.surface import Surface, Undelivered
from serving.errors import ServingError


@asynccontextmanager
async def typing(surface: Surface) -> AsyncIterator[None]:
    """Keeps the typing sign up for the time of the block."""

    async def keep_up() -> None:
        while True:
            with contextlib.suppress(Undelivered):
                await surface.typing()
            await asyncio.sleep(surface.pace.typing_seconds)

    task = asyncio.create_task(keep_up())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Written:
    """One reply on a surface: messages that stand, and the last one, which still grows."""

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._standing = 0  # parts that are finished messages
        self._growing: str | None = None  # the message that shows the part after them
        self._shown = ""

    async def update(self, text: str) -> None:
        """Shows the reply so far."""
        parts = split(text, self._surface.pace.max_chars, markdown=True)
        for part in parts[self._standing : -1]:
            await self._settle(part)
        if parts and parts[-1] != self._shown:
            self._shown = parts[-1]
            if self._growing is None and await self._surface.draft(parts[-1]):
                return
            await self._put(parts[-1])

    async def finish(self, text: str) -> None:
        """Shows the whole reply."""
        for part in split(text, self._surface.pace.max_chars, markdown=True)[self._standing :]:
            await self._settle(part)

    async def replace_growing(self, reply: Reply) -> None:
        """Puts another reply in the place of the unfinished part."""
        if self._growing is None or not await self._surface.edit(self._growing, reply):
            await self._surface.send(reply)

    async def _settle(self, part: str) -> None:
        if self._growing is None or part != self._shown:
            await self._put(part)
        self._standing += 1
        self._growing, self._shown = None, ""

    async def _put(self, part: str) -> None:
        reply = Reply(part, markdown=True)
        if self._growing is not None and await self._surface.edit(self._growing, reply):
            return
        self._growing = await self._surface.send(reply)  # the first time, or again where the message was deleted


async def write(surface: Surface, pieces: AsyncIterator[str], sorry: Callable[[Exception], str]) -> None:
    """Writes the pieces of a model's reply as they come; if the model fails, what `sorry` says stands in its place.

    Raises:
        Undelivered: the platform does not take the reply.
    """
    written = Written(surface)
    said = ""
    async with typing(surface):
        shown_at = time.monotonic()
        try:
            async for piece in pieces:
                if not said:
                    shown_at = time.monotonic()  # a short reply is sent whole
                said += piece
                if time.monotonic() - shown_at >= surface.pace.seconds_between_edits:
                    await written.update(said)
                    shown_at = time.monotonic()
            await written.finish(said)
        except (BotError, ServingError) as error:
            await written.replace_growing(Reply(sorry(error)))
