"""How the bot's calls to Telegram bear a bad network: waits that Telegram asks for, and bounded retries.

Only the call that was refused waits, so that one chat under flood control delays no other.
Not covered: receiving updates (`telegram_updates.py` has its own loop).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from telegram.error import BadRequest, NetworkError, RetryAfter
from telegram.ext import BaseRateLimiter, ExtBot
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

log = logging.getLogger(__name__)

Bot = ExtBot[int]

CONNECTIONS = 32  # at once: at 0.1 s a call, ten times the messages that Telegram allows a bot
ATTEMPTS = 5
LONGEST_WAIT_SECONDS = 300.0  # of one wait that Telegram asks for; a longer one is an error
ONCE = 1  # pass as `rate_limit_args` for a call that may as well be left out: a typing sign, a draft
_backoff_seconds = wait_random_exponential(multiplier=0.5, max=10)


def asked_wait_seconds(error: RetryAfter) -> float:
    """The library gives a number or, when asked to, a timedelta."""
    wait = error.retry_after
    return wait.total_seconds() if isinstance(wait, timedelta) else float(wait)


def passing(error: BaseException) -> bool:
    """Whether the same call may succeed later: flood control, 5xx, a lost connection, no answer in time.

    A call whose answer was lost is made again: a person may get a reply twice, never not at all.
    """
    if isinstance(error, RetryAfter):
        return asked_wait_seconds(error) <= LONGEST_WAIT_SECONDS
    return isinstance(error, NetworkError) and not isinstance(error, BadRequest)


def _wait_seconds(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return asked_wait_seconds(error) if isinstance(error, RetryAfter) else _backoff_seconds(state)


class Patience(BaseRateLimiter[int]):
    """The library's hook around every call. `rate_limit_args`: how often to try, `ATTEMPTS` if not given.

    Calls beyond `CONNECTIONS` queue here: in httpx's own queue each one would cost time for all that wait.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(CONNECTIONS)

    async def initialize(self) -> None:
        """Nothing to set up."""

    async def shutdown(self) -> None:
        """Nothing to take down."""

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, bool | dict[str, Any] | list[dict[str, Any]]]],
        args: Any,
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: int | None,
    ) -> bool | dict[str, Any] | list[dict[str, Any]]:
        def note(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            log.info("telegram %s: %s, again in %.1f s", endpoint, type(error).__name__, state.upcoming_sleep)

        async for attempt in AsyncRetrying(
            retry=retry_if_exception(passing),
            stop=stop_after_attempt(rate_limit_args or ATTEMPTS),
            wait=_wait_seconds,
            before_sleep=note,
            reraise=True,
        ):
            with attempt:
                async with self._turn:
                    return await callback(*args, **kwargs)
        raise AssertionError("unreachable: the last attempt returns or raises")
