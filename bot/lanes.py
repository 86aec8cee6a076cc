"""One lane a user: work is done in the order it came, and nobody waits for another's lane."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

Work = Callable[[], Awaitable[None]]


class Lanes:
    """Work must handle its own errors. `close` finishes what is in hand and leaves the rest undone."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Work]] = {}  # a key is here as long as its lane runs
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def submit(self, key: str, work: Work) -> None:
        if self._closing:
            return
        if key in self._waiting:
            self._waiting[key].append(work)
            return
        self._waiting[key] = deque([work])
        task = asyncio.create_task(self._run(key), name=f"lane {key}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def busy(self, key: str) -> bool:
        return key in self._waiting

    async def idle(self) -> None:
        """Returns once no lane has work."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self, grace_seconds: float) -> None:
        """Begins nothing new, waits for work in hand, and cancels what takes longer than `grace_seconds`."""
        self._closing = True
        if not self._tasks:
            return
        _, late = await asyncio.wait(set(self._tasks), timeout=grace_seconds)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _run(self, key: str) -> None:
        queue = self._waiting[key]
        try:
            while queue and not self._closing:
                await queue.popleft()()
        finally:
            del self._waiting[key]
