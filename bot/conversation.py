"""What happens to an update, the same on every platform: who may speak, in which order, and who answers it.

    async with Conversation(memory, settings, commands, chat, client) as conversation:
        conversation.attach(platform)                  # once the platform can send
        conversation.receive(incoming, surface)        # for each update; returns at once

A person's updates are handled one after another, different people's side by side. An update is stored before it is
handled, so none is lost and none is handled twice, across restarts too. Not covered: talking to a platform.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Self

from bot import replies
from bot.access import MINUTE_SECONDS, Verdict, Window, verdict
from bot.chat import Chat
from bot.commands import Commands
from bot.errors import BotError
from bot.facts import said_in_passing
from bot.gathering import check_size
from bot.lanes import Lanes
from bot.language import forget_texts
from bot.live import LiveJobs
from bot.memory import Memory
from bot.memory.records import Place, User
from bot.replies import Reply
from bot.settings import BotSettings
from bot.splitting import split
from bot.streaming import write
from bot.surface import Audience, Incoming, Platform, Surface, Undelivered
from serving.client import ServingClient
from serving.errors import RequestRefused, ServerUnavailable, ServingError

log = logging.getLogger(__name__)

STOP_SECONDS = 30.0  # for replies in hand
RETRY_SECONDS = 5.0  # between looks whether the model is back
HOUSEKEEPING_SECONDS = 600.0
NOTE_SECONDS = 0.05
OPEN_TO_ALL = frozenset({"start", "help", "privacy"})  # commands answered in groups: they show nobody's data


def sorry(error: Exception) -> str:
    """What a person reads of an error in a private chat."""
    if isinstance(error, ServerUnavailable):
        return replies.SERVER_DOWN
    return replies.MODEL_FAILED if isinstance(error, RequestRefused) else str(error)


def sorry_in_group(error: Exception) -> str:
    return replies.SERVER_DOWN_IN_GROUP if isinstance(error, ServerUnavailable) else sorry(error)


class Conversation:
    def __init__(
        self, memory: Memory, settings: BotSettings, commands: Commands, chat: Chat, client: ServingClient
    ) -> None:
        self._memory = memory
        self._settings = settings
        self._client = client
        self._chat = chat
        self.commands = commands
        self._window = Window(settings.messages_per_minute, MINUTE_SECONDS)
        self._lanes = Lanes()
        self._live = LiveJobs(memory)
        self._platforms: dict[str, Platform] = {}
        self._handled: list[str] = []  # keys of updates, not yet noted in the store
        self._loops: list[asyncio.Task[None]] = []
        self._closing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(said_in_passing, "I never eat breakfast")  # loads what reads sentences: seconds, now not later
        forget_texts()  # from here on words are kept in a way that can be forgotten
        self._loops = [
            asyncio.create_task(_every(RETRY_SECONDS, self._answer_kept_messages), name="kept messages"),
            asyncio.create_task(_every(HOUSEKEEPING_SECONDS, self._keep_house), name="housekeeping"),
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Finishes replies in hand; what was not begun waits in the store. Each platform calls it before it goes."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await self._closing

    async def _close(self) -> None:
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self._lanes.close(STOP_SECONDS)
        self._note_handled()
        await self._live.close()

    async def idle(self) -> None:
        """Returns once every update taken in has been handled."""
        await self._lanes.idle()

    def attach(self, platform: Platform) -> None:
        """Takes up what waited for this platform: updates not handled, trainings still shown."""
        self._platforms[platform.name] = platform
        self._live.resume(platform)
        for payload in self._memory.inbox.waiting(platform.name):
            incoming = Incoming.from_json(payload)
            self._enqueue(incoming, platform.surface(incoming.place))

    def places(self, platform: str) -> list[Place]:
        """The private chats on a platform, as they were last read; for platforms that must ask for missed messages."""
        return self._memory.places(platform)

    def receive(self, incoming: Incoming, surface: Surface) -> bool:
        """Takes an update in; it is on disk when this returns. False: it is not answered (seen before, or ignored)."""
        admitted = verdict(self._settings, incoming.speaker)
        if admitted is Verdict.IGNORED or (admitted is Verdict.STRANGER and incoming.audience is Audience.GROUP):
            return False
        direct = incoming.audience is Audience.DIRECT
        with self._memory.transaction():
            payload = incoming.to_json() if incoming.place else None
            if not self._memory.inbox.take_in(incoming.speaker.platform, incoming.key, payload):
                return False
            if direct and admitted is Verdict.ADMITTED:
                speaker = incoming.speaker
                self.commands.user(speaker)
                self._memory.seen_at(speaker.platform, speaker.platform_user_id, incoming.place, incoming.cursor)
        age_seconds = max(0.0, time.time() - incoming.written) if incoming.written else 0.0
        if wait_seconds := self._window.hit(incoming.speaker.key, age_seconds):
            self._done(incoming.key)
            if not self._window.first_refusal(incoming.speaker.key):
                return False
            refusal = replies.TOO_FAST.format(limit=self._settings.messages_per_minute, seconds=max(1.0, wait_seconds - age_seconds))
            self._lanes.submit(f"refusal:{incoming.speaker.key}", partial(self._say, surface, refusal))
            return True
        self._enqueue(incoming, surface)
        return True

    def _enqueue(self, incoming: Incoming, surface: Surface) -> None:
        lane = self._lane(incoming)
        self._lanes.submit(lane, partial(self._handle, incoming, surface, lane))

    def _lane(self, incoming: Incoming) -> str:
        """A user's, over all their platforms; a speaker's where no user is involved."""
        stranger = verdict(self._settings, incoming.speaker) is not Verdict.ADMITTED
        if stranger or incoming.audience is Audience.GROUP:
            return incoming.speaker.key
        return self.commands.user(incoming.speaker).id

    async def _handle(self, incoming: Incoming, surface: Surface, lane: str) -> None:
        """The boundary: whatever happens, the speaker gets a sentence and the lane goes on."""
        if lane != self._lane(incoming):  # /link or /delete_me before it: the speaker is another user now
            self._enqueue(incoming, surface)
            return
        in_group = incoming.audience is Audience.GROUP
        try:
            await self._respond(incoming, surface)
        except (BotError, ServingError) as error:
            await self._say(surface, sorry_in_group(error) if in_group else sorry(error))
        except Undelivered as error:
            log.warning("a reply could not be delivered on %s: %s", incoming.speaker.platform, error)
        except Exception:
            log.exception("an update on %s could not be handled", incoming.speaker.platform)
            await self._say(surface, replies.INTERNAL_ERROR)
        self._done(incoming.key)  # not after a cancellation: then it is handled after the restart

    def _done(self, key: str) -> None:
        """Notes that an update is handled; several share one write, which keeps nobody waiting."""
        if not self._handled:
            asyncio.get_running_loop().call_later(NOTE_SECONDS, self._note_handled)
        self._handled.append(key)

    def _note_handled(self) -> None:
        handled, self._handled = self._handled, []
        if handled:
            self._memory.inbox.done(handled)

    async def _respond(self, incoming: Incoming, surface: Surface) -> None:
        speaker = incoming.speaker
        if verdict(self._settings, speaker) is not Verdict.ADMITTED:
            await surface.send(Reply(replies.NOT_ADMITTED.format(key=speaker.key)))
            return
        command, text = _command(incoming)
        if incoming.audience is Audience.GROUP:
            await self._respond_in_group(incoming, surface, command, text)
            return
        user = self.commands.user(speaker)
        if incoming.button:
            await self._show(incoming, surface, user, await self.commands.press(speaker, incoming.button))
        elif incoming.attachment and command in ("remember", ""):
            await self._show(incoming, surface, user, await self._file(incoming, user, asked=command == "remember"))
        elif command:
            self.commands.gathering.cancel(user)
            converse = incoming.audience is Audience.DIRECT
            await self._show(
                incoming, surface, user, await self.commands.handle(speaker, command, text, converse=converse)
            )
        elif answer := self.commands.gathering.take_answer(user, text):
            await self._show(incoming, surface, user, answer)
        else:
            await self._converse(incoming, surface, user, text)

    async def _respond_in_group(self, incoming: Incoming, surface: Surface, command: str, text: str) -> None:
        if command in OPEN_TO_ALL:
            await surface.send(await self.commands.handle(incoming.speaker, command))
        elif command or incoming.button:
            await surface.send(Reply(replies.PRIVATE_ONLY.format(command=(command or "start")[:32])))
        else:
            await write(surface, self._chat.reply_in_group(text), sorry_in_group)

    async def _converse(self, incoming: Incoming, surface: Surface, user: User, text: str) -> None:
        """Chat with the personal model; facts said in passing are offered afterwards."""
        if said := self._memory.turns.reply_to(incoming.key):  # the process ended before it was surely delivered
            await self._deliver_on(surface, user.id, said)
            return
        if self._memory.turns.waiting(user.id):  # earlier ones first
            self._chat.keep(user, text, incoming.key)
            await self._chat.answer_waiting(partial(self._deliver_on, surface), user.id)
        else:
            await write(surface, self._chat.reply(user, text, incoming.key), sorry)
        if offer := self.commands.gathering.offer(user, text):
            await surface.send(offer)

    async def _file(self, incoming: Incoming, user: User, *, asked: bool) -> Reply:
        attachment = incoming.attachment
        assert attachment is not None
        awaited = self._memory.offers.expected(user.id)
        if not asked and not (awaited and awaited.kind == "awaited"):
            return Reply(replies.FILE_NOT_ASKED)
        check_size(attachment.size_bytes)
        try:
            content = await self._platforms[incoming.speaker.platform].fetch(attachment.ref)
        except Undelivered as error:
            raise BotError(replies.FILE_GONE) from error
        return await self.commands.gathering.remember_file(user, content)

    async def _show(self, incoming: Incoming, surface: Surface, user: User, reply: Reply) -> None:
        """Sends a reply, in parts where it is long; the last one has the buttons and is kept up to date with a job."""
        *first, last = split(reply.text, surface.pace.max_chars, markdown=reply.markdown) or [reply.text]
        for part in first:
            await surface.send(Reply(part, markdown=reply.markdown))
        message = await surface.send(Reply(last, reply.buttons, reply.file, reply.job_id, reply.markdown))
        if reply.job_id is not None:
            place, platform = incoming.place, incoming.speaker.platform
            self._live.follow(reply.job_id, user.id, platform, place, surface, message)

    async def _say(self, surface: Surface, text: str) -> None:
        with contextlib.suppress(Undelivered):  # a sentence about a failure; the failure itself is in the log
            await surface.send(Reply(text))

    async def _deliver(self, user_id: str, text: str) -> None:
        """To the private chat in which the user wrote last."""
        for place in self._memory.places_of(user_id):
            if platform := self._platforms.get(place.platform):
                await self._deliver_on(platform.surface(place.place), user_id, text)
                return

    async def _deliver_on(self, surface: Surface, _user_id: str, text: str) -> None:
        for part in split(text, surface.pace.max_chars, markdown=True):
            await surface.send(Reply(part, markdown=True))

    async def _answer_kept_messages(self) -> None:
        """Answers what people wrote while the model was away, once it is back."""
        here = {user_id for user_id, _ in self._memory.turns.waiting() if self._wrote_here_last(user_id)}
        if here and await self._client.healthy():
            for user_id in here:
                if not self._lanes.busy(user_id):  # its lane has the message in hand
                    self._lanes.submit(user_id, partial(self._answer_kept, user_id))

    async def _answer_kept(self, user_id: str) -> None:
        try:
            await self._chat.answer_waiting(self._deliver, user_id)
        except ServerUnavailable as error:
            log.warning("the model is away again: %s", error)
        except Undelivered as error:
            log.warning("a kept reply could not be delivered: %s", error)

    def _wrote_here_last(self, user_id: str) -> bool:
        """So that of two processes with a platform each (a terminal beside the bot) one alone answers a linked user."""
        places = self._memory.places_of(user_id)
        return bool(places) and places[0].platform in self._platforms

    async def _keep_house(self) -> None:
        """Removes what has expired, and lets go of texts read since the last time."""
        self._memory.turns.expire()
        self._memory.offers.expire()
        self._memory.inbox.expire()
        forget_texts()


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    """Does the work again and again; one failure (a busy disk) does not end it."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await work()
        except Exception:
            log.exception("background work failed; next try in %.0f s", seconds)


def _command(incoming: Incoming) -> tuple[str, str]:
    """(name, what follows); "" for a message that is no command."""
    if incoming.command:
        return incoming.command.lower(), incoming.text.strip()
    if not incoming.text.startswith("/"):
        return "", incoming.text
    name, _, text = incoming.text[1:].partition(" ")
    return name.partition("@")[0].lower() or "?", text.strip()
