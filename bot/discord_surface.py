"""Places to answer in on Discord: a channel, and an interaction (a slash command or a pressed button).

Waits asked for with 429 and retries after 5xx are discord.py's (five tries); on top of that an unreachable API is tried
again a few times. A nonce keeps a retried message from appearing twice.
Not covered: which updates are answered (`discord_app.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp
import discord
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exponential

from bot.replies import Button, Reply
from bot.surface import Pace, Undelivered

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Interaction = discord.Interaction[discord.Client]

MESSAGE_CHARS = 2000  # https://discord.com/developers/docs/resources/message#create-message
LABEL_CHARS = 80
# five edits in 5 s are allowed in a channel; the typing sign stays for 10 s; the limit leaves room for escapes
PACE = Pace(max_chars=1900, seconds_between_edits=1.2, typing_seconds=8.0)
BUTTON_PREFIX = "hippo:"  # of custom ids, which Discord keeps with the message: they work after a restart
DEFER_SECONDS = 1.5  # an interaction must be answered within 3 s
TOKEN_SECONDS = 14 * 60.0  # an interaction can be followed up for 15 minutes
UNKNOWN_MESSAGE, UNKNOWN_INTERACTION, ALREADY_ACKNOWLEDGED = 10008, 10062, 40060
NO_MENTIONS = discord.AllowedMentions.none()
SERVICE_UNAVAILABLE = 503  # the one status of 5xx that discord.py does not try again everywhere
UNREACHABLE = (OSError, aiohttp.ClientError, discord.DiscordServerError)


async def patiently(call: Callable[[], Awaitable[Result]]) -> Result:
    """The call's result, tried again where Discord cannot be reached.

    Raises:
        Undelivered: it still cannot, or Discord refuses for good.
        discord.NotFound, discord.HTTPException: for what the caller handles (`code` says what).
    """
    retrying = AsyncRetrying(
        retry=retry_if_exception(_worth_another_try),
        stop=stop_after_attempt(3),
        wait=wait_exponential(multiplier=0.5, max=4),
        reraise=True,
    )
    try:
        async for attempt in retrying:
            with attempt:
                return await call()
    except discord.Forbidden as error:
        raise Undelivered(f"Discord forbids it (code {error.code})") from error
    except UNREACHABLE as error:
        raise Undelivered(f"Discord cannot be reached ({type(error).__name__})") from error
    raise AssertionError("tenacity raises when its attempts are used up")


def _worth_another_try(error: BaseException) -> bool:
    if isinstance(error, discord.DiscordServerError):
        return error.status == SERVICE_UNAVAILABLE
    return isinstance(error, UNREACHABLE)


def content(reply: Reply) -> str:
    """What the model wrote is Markdown, which Discord takes as it is; the bot's own texts and facts are plain."""
    if reply.markdown:
        return reply.text
    escaped = discord.utils.escape_markdown(reply.text)
    return escaped if len(escaped) <= MESSAGE_CHARS else reply.text


def view(buttons: tuple[Button, ...]) -> discord.ui.View | None:
    """Buttons that outlive the process: a press comes as an interaction with the custom id, and no view is kept."""
    if not buttons:
        return None
    shown = discord.ui.View(timeout=None)
    for button in buttons:
        label = button.label if len(button.label) <= LABEL_CHARS else f"{button.label[: LABEL_CHARS - 1]}…"
        shown.add_item(discord.ui.Button(label=label, custom_id=f"{BUTTON_PREFIX}{button.action}"))
    shown.stop()  # else discord.py keeps every view in memory for good
    return shown


def new_message(reply: Reply) -> dict[str, Any]:
    """Arguments for a message that is new."""
    arguments: dict[str, Any] = {"content": content(reply), "allowed_mentions": NO_MENTIONS}
    if shown := view(reply.buttons):
        arguments["view"] = shown
    if reply.file:
        arguments["file"] = discord.File(io.BytesIO(reply.file.content), reply.file.name)
    return arguments


def changed_message(reply: Reply) -> dict[str, Any]:
    """Arguments for a message that is there."""
    arguments: dict[str, Any] = {
        "content": content(reply),
        "allowed_mentions": NO_MENTIONS,
        "view": view(reply.buttons),
    }
    if reply.file:
        arguments["attachments"] = [discord.File(io.BytesIO(reply.file.content), reply.file.name)]
    return arguments


class ChannelSurface:
    """A channel by its id, or the private chat with a person ("user:<id>"), opened on first use.

    "user:<id>/<interaction>/<token>": messages of that interaction, from before a restart too, can be changed as well.
    """

    pace = PACE

    def __init__(self, client: discord.Client, place: str, reply_to: discord.Message | None = None) -> None:
        self._client = client
        self._place, _, self._interaction = place.partition("/")
        self._reply_to = reply_to.to_reference(fail_if_not_exists=False) if reply_to else None

    async def typing(self) -> None:
        with contextlib.suppress(Undelivered, discord.HTTPException):
            channel = await self._channel()
            await patiently(lambda: self._typing(channel))

    async def draft(self, text: str) -> bool:
        return False

    async def send(self, reply: Reply) -> str:
        channel = await self._channel()
        arguments: dict[str, Any] = {"nonce": secrets.token_hex(8)}
        if self._reply_to:
            arguments |= {"reference": self._reply_to, "mention_author": False}
        try:
            message = await patiently(lambda: channel.send(**new_message(reply), **arguments))
        except discord.HTTPException as error:
            raise Undelivered(f"Discord refuses the message (code {error.code})") from error
        return str(message.id)

    async def edit(self, message: str, reply: Reply) -> bool:
        if self._interaction and await self._edit_through_interaction(message, reply):
            return True
        channel = await self._channel()
        there = channel.get_partial_message(int(message))
        try:
            await patiently(lambda: there.edit(**changed_message(reply)))
        except discord.NotFound:
            return False
        except discord.HTTPException as error:
            raise Undelivered(f"Discord refuses the change (code {error.code})") from error
        return True

    async def _edit_through_interaction(self, message: str, reply: Reply) -> bool:
        """What the speaker alone sees in a server; False once the interaction's token has run out."""
        interaction, _, token = self._interaction.partition("/")
        age = discord.utils.utcnow() - discord.utils.snowflake_time(int(interaction))
        if age.total_seconds() > TOKEN_SECONDS or self._client.application_id is None:
            return False
        answers = discord.Webhook.partial(self._client.application_id, token, client=self._client)
        try:
            await patiently(lambda: answers.edit_message(int(message), **changed_message(reply)))
        except discord.HTTPException as error:
            log.info("an interaction's message could not be changed (code %d)", error.code)
            return False
        return True

    @staticmethod
    async def _typing(channel: discord.PartialMessageable | discord.DMChannel) -> None:
        await channel.typing()

    async def _channel(self) -> discord.PartialMessageable | discord.DMChannel:
        if not self._place.startswith("user:"):
            return self._client.get_partial_messageable(int(self._place))
        person = discord.Object(int(self._place.removeprefix("user:")))
        try:
            return await patiently(lambda: self._client.create_dm(person))
        except discord.HTTPException as error:
            raise Undelivered(f"no private chat can be opened (code {error.code})") from error


class InteractionSurface:
    """The answer to an interaction. If it takes longer than `DEFER_SECONDS`, Discord is told that it will come.

    `discreet`: the speaker alone sees it. `fallback`: the chat to answer in when the interaction has run out.
    """

    pace = PACE

    def __init__(self, interaction: Interaction, *, discreet: bool, fallback: ChannelSurface) -> None:
        self._interaction = interaction
        self._discreet = discreet
        self._fallback = fallback
        self._changes_message = interaction.type is discord.InteractionType.component
        self._turn = asyncio.Lock()  # deferring and answering must not cross
        self._state = "open"  # then deferred, answered, or lost
        self._began = time.monotonic()
        self._own: set[str] = set()  # messages reached through the interaction alone
        self._deferring = asyncio.create_task(self._defer_late())

    async def typing(self) -> None:
        """Discord shows "thinking" by itself once the answer is deferred."""

    async def draft(self, text: str) -> bool:
        return False

    async def send(self, reply: Reply) -> str:
        async with self._turn:
            self._deferring.cancel()
            if self._state == "open":
                name = await self._answer(reply)
            elif self._state == "deferred":
                name = await self._through(lambda: self._fill(reply), reply)
                self._state = "answered" if self._state == "deferred" else self._state
            else:
                name = await self._through(lambda: self._follow_up(reply), reply)
        return name

    async def edit(self, message: str, reply: Reply) -> bool:
        if message not in self._own:
            return await self._fallback.edit(message, reply)
        if time.monotonic() - self._began > TOKEN_SECONDS:
            return False
        try:
            await patiently(lambda: self._interaction.followup.edit_message(int(message), **changed_message(reply)))
        except discord.HTTPException as error:
            log.info("an interaction's message could not be changed (code %d)", error.code)
            return False
        return True

    def ignore(self) -> None:
        """Nothing will be answered."""
        self._deferring.cancel()

    async def _defer_late(self) -> None:
        await asyncio.sleep(DEFER_SECONDS)
        async with self._turn:
            if self._state != "open":
                return
            try:
                await patiently(lambda: self._interaction.response.defer(ephemeral=self._discreet))
                self._state = "deferred"
            except discord.HTTPException as error:
                self._refused(error)
            except Undelivered:
                self._state = "lost"

    async def _answer(self, reply: Reply) -> str:
        """The first answer, at once: a new message, or the changed message of the pressed button."""
        response = self._interaction.response
        try:
            if self._changes_message:
                await patiently(lambda: response.edit_message(**changed_message(reply)))
                self._state = "answered"
                return self._name(self._interaction.message.id if self._interaction.message else 0)
            sent = await patiently(lambda: response.send_message(**new_message(reply), ephemeral=self._discreet))
        except discord.HTTPException as error:
            self._refused(error)
            return await self._through(lambda: self._follow_up(reply), reply)
        self._state = "answered"
        return self._name(sent.message_id or 0)

    async def _fill(self, reply: Reply) -> str:
        """The deferred answer."""
        return self._name((await self._interaction.edit_original_response(**changed_message(reply))).id)

    async def _follow_up(self, reply: Reply) -> str:
        sent = await self._interaction.followup.send(**new_message(reply), ephemeral=self._discreet, wait=True)
        return self._name(sent.id)

    async def _through(self, call: Callable[[], Awaitable[str]], reply: Reply) -> str:
        """Answers through the interaction, or in the private chat if that has run out."""
        if self._state != "lost" and time.monotonic() - self._began <= TOKEN_SECONDS:
            try:
                return await patiently(call)
            except discord.HTTPException as error:
                self._refused(error)
        return await self._fallback.send(reply)

    def _refused(self, error: discord.HTTPException) -> None:
        """10062: it has expired. 40060: it was answered already, so more can follow. Else it is of no use any more."""
        self._state = "answered" if error.code == ALREADY_ACKNOWLEDGED else "lost"
        log.warning("an interaction was refused (code %d)", error.code)

    def _name(self, message_id: int) -> str:
        """In the private chat the bot can change its messages for good; elsewhere through the interaction alone."""
        if self._discreet:
            self._own.add(str(message_id))
        return str(message_id)
