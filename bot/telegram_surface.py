"""A Telegram chat to answer in: sends, edits, drafts, buttons and files, with Telegram's refusals understood.

Waits and retries are in `telegram_requests.py`; what still fails is `Undelivered`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from telegram import InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, Message, ReplyParameters
from telegram.constants import ChatAction, ParseMode
from telegram.error import BadRequest, RetryAfter, TelegramError

from bot.replies import Button, Reply
from bot.surface import Pace, Undelivered
from bot.telegram_requests import ONCE, Bot, asked_wait_seconds, passing
from bot.telegram_text import to_html

log = logging.getLogger(__name__)

MAX_CHARS = 4096
MAX_CAPTION_CHARS = 1024
TYPING_SECONDS = 4.5  # Telegram shows it for 5
SECONDS_BETWEEN_DRAFTS = 0.5
SECONDS_BETWEEN_EDITS = 1.5  # Telegram: about one message a second in a chat
SECONDS_BETWEEN_GROUP_EDITS = 4.0  # Telegram: 20 messages a minute in a group
WIDE_LABEL_CHARS = 16  # buttons with longer labels get a row each
NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


@dataclass
class Common:
    """What all chats share. `drafts`: whether this Bot API takes them, found out by the first one."""

    drafts: bool = True
    draft_ids: count[int] = field(default_factory=lambda: count(time.time_ns() // 1_000_000 % 2**30 or 1))
    calls: set[asyncio.Task[None]] = field(default_factory=set)  # under way, and nobody waits for them

    async def close(self) -> None:
        await asyncio.gather(*self.calls, return_exceptions=True)


class TelegramSurface:
    """One update's place to answer in. `pressed`: the message whose button was pressed; the first reply replaces it.

    `answering`: the message in a group that the replies refer to; `thread`: the group's topic it stands in.
    """

    def __init__(
        self,
        bot: Bot,
        chat_id: int,
        common: Common,
        *,
        pressed: int | None = None,
        answering: int | None = None,
        thread: int | None = None,
    ) -> None:
        self._bot = bot
        self._chat_id = chat_id
        self._private = chat_id > 0
        self._common = common
        self._draft_id = next(common.draft_ids)
        self._no_drafts_until = 0.0
        self._pressed = pressed
        self._thread = thread
        self._refers = ReplyParameters(answering, allow_sending_without_reply=True) if answering is not None else None

    @property
    def pace(self) -> Pace:
        if not self._private:
            return Pace(MAX_CHARS, SECONDS_BETWEEN_GROUP_EDITS, TYPING_SECONDS)
        return Pace(MAX_CHARS, SECONDS_BETWEEN_DRAFTS if self._common.drafts else SECONDS_BETWEEN_EDITS, TYPING_SECONDS)

    async def typing(self) -> None:
        """Ends with the call or when cancelled; the call itself goes on, since breaking it off costs its connection."""
        call = asyncio.create_task(self._send_typing())
        self._common.calls.add(call)
        call.add_done_callback(self._common.calls.discard)
        await asyncio.shield(call)

    async def _send_typing(self) -> None:
        try:
            await self._bot.send_chat_action(
                self._chat_id, ChatAction.TYPING, message_thread_id=self._thread, rate_limit_args=ONCE
            )
        except TelegramError as error:
            log.info("no typing sign: %s", type(error).__name__)

    async def draft(self, text: str) -> bool:
        if not (self._private and self._common.drafts):
            return False
        if time.monotonic() < self._no_drafts_until:
            return True
        try:
            await self._bot.send_message_draft(
                self._chat_id, self._draft_id, to_html(text), parse_mode=ParseMode.HTML, rate_limit_args=ONCE
            )
        except RetryAfter as error:
            self._no_drafts_until = time.monotonic() + asked_wait_seconds(error)
        except TelegramError as error:
            if not passing(error):
                log.warning("no drafts here (%s): replies are streamed by edits", error)
                self._common.drafts = False
                return False
        return True

    async def send(self, reply: Reply) -> str:
        pressed, self._pressed = self._pressed, None
        if reply.file is None and pressed is not None and await self.edit(str(pressed), reply):
            return str(pressed)
        try:
            message = await (self._send_file(reply) if reply.file else self._send_text(reply))
        except TelegramError as error:
            raise Undelivered(f"{type(error).__name__}: {error}") from error
        self._draft_id = next(self._common.draft_ids)
        self._refers = None  # the parts of one answer refer to the question once
        return str(message.message_id)

    async def edit(self, message: str, reply: Reply) -> bool:
        try:
            try:
                await self._edit(int(message), reply, html=reply.markdown)
            except BadRequest as error:
                if not (reply.markdown and _unreadable(error)):
                    raise
                await self._edit(int(message), reply, html=False)
        except BadRequest as error:
            if "not modified" in str(error).lower():
                return True
            log.info("a message cannot be edited: %s", error)
            return False
        except TelegramError as error:
            raise Undelivered(f"{type(error).__name__}: {error}") from error
        return True

    async def _edit(self, message_id: int, reply: Reply, *, html: bool) -> None:
        await self._bot.edit_message_text(
            to_html(reply.text) if html else reply.text,
            self._chat_id,
            message_id,
            parse_mode=ParseMode.HTML if html else None,
            reply_markup=keyboard(reply.buttons),
            link_preview_options=NO_PREVIEW,
        )

    async def _send_text(self, reply: Reply) -> Message:
        if reply.markdown:
            try:
                return await self._send(to_html(reply.text), reply.buttons, ParseMode.HTML)
            except BadRequest as error:
                if not _unreadable(error):
                    raise
                log.warning("Telegram did not take a reply's HTML: sent as plain text")
        return await self._send(reply.text, reply.buttons, None)

    async def _send(self, text: str, buttons: Sequence[Button], parse_mode: str | None) -> Message:
        return await self._bot.send_message(
            self._chat_id,
            text,
            parse_mode=parse_mode,
            reply_markup=keyboard(buttons),
            message_thread_id=self._thread,
            reply_parameters=self._refers,
            link_preview_options=NO_PREVIEW,
        )

    async def _send_file(self, reply: Reply) -> Message:
        assert reply.file is not None
        return await self._bot.send_document(
            self._chat_id,
            reply.file.content,
            filename=reply.file.name,
            caption=reply.text[:MAX_CAPTION_CHARS],
            reply_markup=keyboard(reply.buttons),
            message_thread_id=self._thread,
            reply_parameters=self._refers,
        )


def keyboard(buttons: Sequence[Button]) -> InlineKeyboardMarkup | None:
    """Short buttons side by side, long ones below each other."""
    if not buttons:
        return None
    keys = [InlineKeyboardButton(button.label, callback_data=button.action) for button in buttons]
    side_by_side = len(buttons) <= 3 and all(len(button.label) <= WIDE_LABEL_CHARS for button in buttons)
    return InlineKeyboardMarkup([keys] if side_by_side else [[key] for key in keys])


def _unreadable(error: BadRequest) -> bool:
    """Whether Telegram could not read the text's tags, or found nothing but tags."""
    said = str(error).lower()
    return "can't parse entities" in said or "text is empty" in said
