"""Free chat with the user's own model: prompt assembly, streaming, and messages kept while the model is away.

A message is stored as waiting before the model is asked; the reply and the end of the waiting are one transaction.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from bot import replies
from bot.errors import BotError
from bot.facts import you_form
from bot.memory import Memory
from bot.memory.records import StoredFact, Turn, User
from bot.settings import BotSettings
from serving.client import Message, ServingClient
from serving.errors import AdapterMissing, RequestRefused, ServerUnavailable
from serving.prompts import system_prompt

log = logging.getLogger(__name__)

Deliver = Callable[[str, str], Awaitable[None]]  # (user id, text)


class TooLong(BotError):
    """The message is longer than the bot reads."""


def prompt(assistant_name: str, pending: Sequence[StoredFact], history: Sequence[Turn], text: str) -> list[Message]:
    """The conversation as the model sees it: pending facts in the system turn, recent turns, the new message."""
    system = system_prompt(assistant_name, [you_form(stored.fact.text) for stored in pending])
    turns = [Message(turn.role, turn.content) for turn in history]
    return [Message("system", system), *turns, Message("user", text)]


def _check(text: str) -> None:
    """Raises `BotError` for a message that cannot be read."""
    if not text.strip():
        raise BotError(replies.EMPTY_MESSAGE)
    if len(text) > replies.MAX_MESSAGE_CHARS:
        raise TooLong(replies.TOO_LONG.format(length=len(text), limit=replies.MAX_MESSAGE_CHARS))


class Chat:
    """Replies for all users over one client; holds no user's data between calls."""

    def __init__(self, memory: Memory, settings: BotSettings, client: ServingClient, default_model: str) -> None:
        self._memory = memory
        self._settings = settings
        self._client = client
        self._default_model = default_model  # who has no adapter yet talks to this one

    async def reply(self, user: User, text: str, source_key: str | None = None) -> AsyncIterator[str]:
        """Pieces of the reply to a message. `source_key`: the platform's id of it; one seen before gets no reply.

        Raises:
            BotError: the message cannot be read.
            ServerUnavailable: the model is away; the message is kept, and `answer_waiting` will answer it.
            RequestRefused: the model failed on this message; it is not kept.
        """
        _check(text)
        turn_id = self._memory.turns.keep_message(user.id, text, self._settings.turn_ttl_seconds, source_key)
        if turn_id is None:
            return
        async for piece in self._answer(user, turn_id, text):
            yield piece

    async def reply_in_group(self, text: str) -> AsyncIterator[str]:
        """Pieces of the reply to a message in a group: the plain model, nobody's facts, nothing kept.

        Raises:
            BotError: the message cannot be read.
            ServerUnavailable, RequestRefused: the model is away, or failed.
        """
        _check(text)
        async for piece in self._stream(self._default_model, prompt(self._settings.assistant_name, [], [], text)):
            yield piece

    def keep(self, user: User, text: str, source_key: str | None = None) -> None:
        """Keeps a message to be answered after those that wait already.

        Raises:
            BotError: the message cannot be read.
        """
        _check(text)
        self._memory.turns.keep_message(user.id, text, self._settings.turn_ttl_seconds, source_key)

    async def answer_waiting(self, deliver: Deliver, user_id: str | None = None) -> int:
        """Answers messages kept while the model was away, in the order they came; returns how many.

        `user_id`: those of one user. None of them may be under way elsewhere.

        Raises:
            ServerUnavailable: the model is still away.
        """
        answered = 0
        for owner_id, turn in self._memory.turns.waiting(user_id):
            try:
                text = "".join(
                    [piece async for piece in self._answer(self._memory.user(owner_id), turn.id, turn.content)]
                )
            except RequestRefused:
                text = replies.MODEL_FAILED
            await deliver(owner_id, text)
            answered += 1
        return answered

    async def _answer(self, user: User, turn_id: int, text: str) -> AsyncIterator[str]:
        pending = self._memory.facts.pending(user.id)
        history = self._memory.turns.recent(user.id, self._settings.history_turns)
        messages = prompt(user.assistant_name, pending, history, text)
        live = self._memory.adapters.live(user.id)
        said: list[str] = []
        try:
            try:
                async for piece in self._stream(live.name if live else self._default_model, messages):
                    said.append(piece)
                    yield piece
            except AdapterMissing:
                # published for another base model, or its folder is gone: the facts still are in the store
                log.error("adapter of user %s is not on the server; answering from notes", user.id)
                everything = self._memory.facts.active(user.id)
                async for piece in self._stream(
                    self._default_model, prompt(user.assistant_name, everything, history, text)
                ):
                    said.append(piece)
                    yield piece
            if not "".join(said).strip():
                raise RequestRefused("the model said nothing")
        except RequestRefused:
            self._memory.turns.answer(user.id, turn_id, replies.MODEL_FAILED, self._settings.turn_ttl_seconds)
            raise
        except ServerUnavailable as error:
            log.warning("model server: %s", error)
            raise
        self._memory.turns.answer(user.id, turn_id, "".join(said).strip(), self._settings.turn_ttl_seconds)

    async def _stream(self, model: str, messages: Sequence[Message]) -> AsyncIterator[str]:
        async for piece in self._client.stream(model, messages, max_tokens=self._settings.max_reply_tokens):
            yield piece
