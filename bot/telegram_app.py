"""Hippo on Telegram: start-up, the command menu, updates in, a clean stop. What it says is the core's.

    await run(settings, conversation, stop)      # until `stop` is set

Long polling by default; a webhook if `BOT_TELEGRAM_WEBHOOK_URL` is set. Not covered: reading an update
(`telegram_incoming.py`), writing to a chat (`telegram_surface.py`), waits and retries (`telegram_requests.py`).
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Iterable
from contextlib import AsyncExitStack

from telegram import (
    BotCommand,
    BotCommandScopeAllGroupChats,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    CallbackQuery,
    Update,
)
from telegram.error import BadRequest, Forbidden, InvalidToken, TelegramError
from telegram.ext import ExtBot
from telegram.request import HTTPXRequest
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential

from bot.commands import COMMANDS, Command
from bot.conversation import OPEN_TO_ALL, Conversation
from bot.errors import CannotStart
from bot.settings import BotSettings
from bot.surface import Undelivered
from bot.telegram_incoming import PLATFORM, incoming, place_of
from bot.telegram_requests import CONNECTIONS, ONCE, Bot, Patience, passing
from bot.telegram_surface import Common, TelegramSurface
from bot.telegram_updates import poll, webhook

log = logging.getLogger(__name__)

ANSWER_SECONDS = 20.0  # Telegram's answer to one call
PORT_TAKEN = "BOT_TELEGRAM_WEBHOOK_HOST and BOT_TELEGRAM_WEBHOOK_PORT cannot be listened on: {reason}"
WEBHOOK_REFUSED = "Telegram refused BOT_TELEGRAM_WEBHOOK_URL or BOT_TELEGRAM_WEBHOOK_SECRET: {reason}"
TOKEN_REFUSED = (
    "Telegram refused the token in BOT_TELEGRAM_TOKEN. Copy it again from @BotFather (/mybots, your bot, API Token) "
    "into .env; one that was revoked there is dead."
)


class TelegramApp:
    """The running app as the core sees it (`surface.Platform`)."""

    def __init__(self, bot: Bot, conversation: Conversation) -> None:
        self._bot = bot
        self._conversation = conversation
        self._common = Common()

    async def close(self) -> None:
        """Waits for calls under way."""
        await self._common.close()

    @property
    def name(self) -> str:
        return PLATFORM

    def surface(self, place: str) -> TelegramSurface:
        chat_id, answering, thread = place_of(place)
        return TelegramSurface(self._bot, chat_id, self._common, answering=answering, thread=thread)

    async def fetch(self, ref: str) -> bytes:
        try:
            return bytes(await (await self._bot.get_file(ref)).download_as_bytearray())
        except TelegramError as error:
            raise Undelivered(f"{type(error).__name__}: {error}") from error

    def receive(self, update: Update) -> None:
        """Takes an update in; it is on disk when this returns."""
        try:
            taken = incoming(update, self._bot.bot)
        except Exception:  # one update in a shape never seen must not stop the others
            log.exception("an update could not be read and is passed over")
            return
        if taken is None:
            return
        query = update.callback_query
        chat_id, answering, thread = place_of(taken.place)
        pressed = query.message.message_id if query and query.message else None
        surface = TelegramSurface(self._bot, chat_id, self._common, pressed=pressed, answering=answering, thread=thread)
        if self._conversation.receive(taken, surface) and query:
            task = asyncio.create_task(self._acknowledge(query))
            self._common.calls.add(task)
            task.add_done_callback(self._common.calls.discard)

    async def _acknowledge(self, query: CallbackQuery) -> None:
        """Ends the waiting sign on a pressed button, whatever the lane is busy with."""
        try:
            await self._bot.answer_callback_query(query.id, rate_limit_args=ONCE)
        except TelegramError as error:  # too old: pressed while the bot was away
            log.info("a pressed button was not acknowledged: %s", error)


async def run(settings: BotSettings, conversation: Conversation, stop: asyncio.Event) -> None:
    """Serves Telegram until `stop` is set, then finishes replies in hand.

    Raises:
        CannotStart: the token is refused; the message names the setting.
    """
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its addresses contain the token
    async with AsyncExitStack() as stack:
        requests = HTTPXRequest(CONNECTIONS, read_timeout=ANSWER_SECONDS, connect_timeout=10, pool_timeout=None)
        long_polls = HTTPXRequest(1, connect_timeout=10)
        for request in (requests, long_polls):
            stack.push_async_callback(request.shutdown)
        bot = await _connect(settings, requests, long_polls)
        stack.push_async_callback(bot.shutdown)
        await _set_menus(bot, settings.admins)
        app = TelegramApp(bot, conversation)
        stack.push_async_callback(app.close)
        conversation.attach(app)
        stack.push_async_callback(conversation.close)
        log.info("on Telegram as @%s", bot.username)
        try:
            await _serve(bot, app, settings, stop)
        except InvalidToken:
            raise CannotStart(TOKEN_REFUSED) from None


async def _connect(settings: BotSettings, requests: HTTPXRequest, long_polls: HTTPXRequest) -> Bot:
    """A bot whose token Telegram has accepted, waiting for the network if need be."""

    def note(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("Telegram cannot be reached (%s), again in %.0f s", type(error).__name__, state.upcoming_sleep)

    try:
        bot: Bot = ExtBot(
            settings.telegram_token.get_secret_value() if settings.telegram_token else "",
            base_url=f"{settings.telegram_api_url}/bot",
            base_file_url=f"{settings.telegram_api_url}/file/bot",
            request=requests,
            get_updates_request=long_polls,
            rate_limiter=Patience(),
        )
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(passing), wait=wait_exponential(max=60), before_sleep=note, reraise=True
        ):
            with attempt:
                await bot.initialize()
    except InvalidToken:
        raise CannotStart(TOKEN_REFUSED) from None  # the library's own message holds the token
    return bot


async def _serve(bot: Bot, app: TelegramApp, settings: BotSettings, stop: asyncio.Event) -> None:
    if settings.telegram_webhook_url:
        secret = settings.telegram_webhook_secret
        try:
            async with webhook(
                bot,
                app.receive,
                url=settings.telegram_webhook_url,
                secret=(secret and secret.get_secret_value()) or secrets.token_urlsafe(32),
                host=settings.telegram_webhook_host,
                port=settings.telegram_webhook_port,
            ):
                await stop.wait()
        except BadRequest as error:
            raise CannotStart(WEBHOOK_REFUSED.format(reason=error)) from error
        except OSError as error:
            raise CannotStart(PORT_TAKEN.format(reason=error.strerror)) from error
        return
    await bot.delete_webhook(drop_pending_updates=False)
    polling, stopped = asyncio.create_task(poll(bot, app.receive)), asyncio.create_task(stop.wait())
    await asyncio.wait({polling, stopped}, return_when=asyncio.FIRST_COMPLETED)
    for task in (polling, stopped):
        task.cancel()
    results = await asyncio.gather(polling, stopped, return_exceptions=True)
    if isinstance(results[0], Exception):
        raise results[0]


async def _set_menus(bot: Bot, admins: Iterable[str]) -> None:
    """What Telegram shows when somebody types "/": in private, in groups, and to admins."""
    everyone = [command for command in COMMANDS if not command.admin]
    in_groups = [command for command in COMMANDS if command.name in OPEN_TO_ALL]
    await bot.set_my_commands(_menu(everyone), scope=BotCommandScopeAllPrivateChats())
    await bot.set_my_commands(_menu(in_groups), scope=BotCommandScopeAllGroupChats())
    for admin in admins:
        platform, _, chat_id = admin.partition(":")
        if platform != PLATFORM:
            continue
        try:
            await bot.set_my_commands(_menu(COMMANDS), scope=BotCommandScopeChat(int(chat_id)))
        except (BadRequest, Forbidden, ValueError) as error:  # an admin who never wrote to the bot has no chat yet
            log.info("no menu for the admin %s: %s", admin, error)


def _menu(commands: Iterable[Command]) -> list[BotCommand]:
    return [BotCommand(command.name, command.description) for command in commands]
