"""What a chat platform gives the core (a surface to answer on), and what it hands in (an update).

A platform's app turns each update into an `Incoming`, calls `Conversation.receive(incoming, surface)`, and implements
`Surface` for a place to answer in and `Platform` for finding such a place again after a restart.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Protocol

from bot.access import Speaker
from bot.replies import Reply


class Audience(StrEnum):
    """Who reads what the bot answers."""

    DIRECT = "direct"  # a private chat with the speaker: everything is allowed there
    DISCREET = "discreet"  # in a group, in a reply that the speaker alone sees
    GROUP = "group"  # everybody in the group: no facts, no adapter


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that came along. `ref` is how `Platform.fetch` gets it."""

    name: str
    size_bytes: int
    ref: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """One update: a message, a command or a pressed button. Only updates meant for the bot are handed in.

    `key`: the platform's id of it, with the platform's name before it ("discord:m:123"); the same key is handled once.
    `text`: the message, without the mention of the bot; for a command, what follows it.
    `command`: its name, where the platform parses commands itself; a text that starts with "/" is one as well.
    `button`: the action of the button pressed (`replies.Button.action`).
    `place`: where to answer after a restart, as `Platform.surface` takes it; "" in a group where it cannot be answered after a restart.
    `cursor`: what the platform needs to ask for later messages of that chat; "" if it needs none.
    `written`: when, in seconds since 1970 by the platform's clock; 0 where it does not say.
    """

    speaker: Speaker
    key: str
    audience: Audience
    text: str = ""
    command: str = ""
    button: str = ""
    attachment: Attachment | None = None
    place: str = ""
    cursor: str = ""
    written: float = 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, payload: str) -> Incoming:
        held: dict[str, Any] = json.loads(payload)
        attachment = held.pop("attachment")
        return cls(
            speaker=Speaker(**held.pop("speaker")),
            audience=Audience(held.pop("audience")),
            attachment=Attachment(**attachment) if attachment else None,
            **held,
        )


@dataclass(frozen=True, slots=True)
class Pace:
    """What a platform allows. Lengths in UTF-16 code units (never less than what either platform counts)."""

    max_chars: int
    seconds_between_edits: float
    typing_seconds: float  # how long a typing sign stays


class Undelivered(Exception):
    """The platform did not take a message for good (chat gone, bot blocked, retries used up)."""


class Surface(Protocol):
    """A place to answer in. Texts arrive within `pace.max_chars`; `Reply.markdown` says how to read them.

    Waits that the platform asks for (429) and bounded retries (5xx) happen inside; what still fails is `Undelivered`.
    """

    @property
    def pace(self) -> Pace: ...

    async def typing(self) -> None:
        """Shows the typing sign; failures do not matter."""

    async def draft(self, text: str) -> bool:
        """Shows a reply under way without leaving a message. False: the platform cannot, use `send` and `edit`."""

    async def send(self, reply: Reply) -> str:
        """Shows a reply (to a pressed button: in the place of the message that had it) and returns its name."""

    async def edit(self, message: str, reply: Reply) -> bool:
        """Changes a message that `send` returned. False: it is not there any more."""


class Platform(Protocol):
    """A running platform app, as the core sees it."""

    @property
    def name(self) -> str:
        """As in `Speaker.platform`."""

    def surface(self, place: str) -> Surface:
        """The private chat of that name."""

    async def fetch(self, ref: str) -> bytes:
        """An attachment's bytes. Raises `Undelivered` where it cannot be had."""
