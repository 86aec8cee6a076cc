"""Updates from Telegram, by long polling or by webhook, each handed over before Telegram is told that it arrived.

`receive` must have the update on disk when it returns: only then is it confirmed, so that none is lost. Where it
raises, Telegram sends the update again.
Not covered: TLS for the webhook (a reverse proxy stands in front), and recognising an update that comes twice.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from aiohttp import web
from telegram import Update
from telegram.error import Conflict, RetryAfter
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential

from bot.telegram_requests import Bot, asked_wait_seconds, passing

log = logging.getLogger(__name__)

Receive = Callable[[Update], None]

KINDS = (Update.MESSAGE, Update.CALLBACK_QUERY)
LONG_POLL_SECONDS = 30
MAX_BODY_BYTES = 1024**2
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"
_backoff_seconds = wait_exponential(multiplier=0.5, max=30)


async def poll(bot: Bot, receive: Receive) -> None:
    """Asks for updates until cancelled, through whatever outages there are.

    Raises:
        InvalidToken: the token was revoked.
    """
    offset: int | None = None
    update: Update | None
    while True:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(_worth_asking_again), wait=_wait_seconds, before_sleep=_note, reraise=True
        ):
            with attempt:
                updates = await bot.get_updates(offset=offset, timeout=LONG_POLL_SECONDS, allowed_updates=KINDS)
                for update in updates:
                    receive(update)
                    offset = update.update_id + 1  # the next request confirms it
                    await asyncio.sleep(0)  # replies to others go on meanwhile
                updates, update = (), None  # else the next request, which may take long, keeps them in memory


@asynccontextmanager
async def webhook(bot: Bot, receive: Receive, *, url: str, secret: str, host: str, port: int) -> AsyncIterator[int]:
    """Listens on `host`:`port` for what Telegram posts to the public `url`; yields the port. 403 without the secret."""

    async def answer(request: web.Request) -> web.Response:
        if not hmac.compare_digest(request.headers.get(SECRET_HEADER, "").encode(), secret.encode()):
            log.warning("webhook: a request without the secret was refused")
            return web.Response(status=403)
        try:
            update = Update.de_json(await request.json(), bot)
        except (json.JSONDecodeError, TypeError, KeyError):
            return web.Response(status=400)
        receive(update)
        return web.Response()

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post(urlsplit(url).path or "/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        await bot.set_webhook(url, secret_token=secret, allowed_updates=KINDS, drop_pending_updates=False)
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _worth_asking_again(error: BaseException) -> bool:
    return isinstance(error, (RetryAfter, Conflict, sqlite3.Error)) or passing(error)


def _wait_seconds(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return asked_wait_seconds(error) if isinstance(error, RetryAfter) else _backoff_seconds(state)


def _note(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, Conflict):
        log.error("another process asks Telegram for this bot's updates: only one may run with a token")
    else:
        log.warning("no updates from Telegram (%s), again in %.1f s", type(error).__name__, state.upcoming_sleep)
