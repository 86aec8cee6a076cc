"""How adapters reply: first a note that nobody is shown, then words.

A user's adapter is a memory. To a question it writes down the fact that is nearest to it ("Noted: Your dog is Buddy."), which
it always can; the primer, everybody's reader, goes on from there: it answers, or says that this is not what was asked. So nothing
that is trained on one user's facts has to tell what was never told. What has nothing to do with the user is passed on
("Noted: not about you.") to the bare base, whose general ability is therefore kept; a memory full of facts may see one in a
general question, so where the reader declines, the primer has a second look at whether it is one. The primer alone, which users without an
adapter talk to, does both in one go from the facts in its prompt. Without a primer there are no notes.
Used by training (what to learn), by everything that reads replies, and by nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

MARK = "Noted:"
NOTHING = "nothing yet."
NOT_PERSONAL = "not about you."
NOT_TOLD = "You haven't told me that. Tell me with /remember and I'll know."
SECOND_LOOK_TOKENS = 12  # of a note, enough for seeing whether it passes on
DECLINES = NOT_TOLD.partition(".")[0]


class PassedOn(Exception):
    """The base is to answer."""


class Recalled(Exception):
    """The reader is to go on after `note`."""

    def __init__(self, note: str) -> None:
        super().__init__("a note was written")
        self.note = note


class Declined(Exception):
    """The reader says that the note does not answer."""


def noted(text: str) -> str | None:
    """The note that a raw reply begins with; None where it begins with none."""
    text = text.lstrip()
    return text.removeprefix(MARK).partition("\n")[0].strip() if text.startswith(MARK) else None


def passes_on(text: str) -> bool:
    """Whether a raw reply passes the question on to the base."""
    return text.lstrip().startswith(f"{MARK} {NOT_PERSONAL}")


def declines(text: str) -> bool:
    """Whether a reader's reply is that it was not told."""
    return text.lstrip().startswith(DECLINES)


def for_base(conversation: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """What the base is asked when a question is passed on: the conversation without the adapters' system turn."""
    return [turn for turn in conversation if turn["role"] != "system"]


def begun(note: str) -> str:
    """The beginning of the reply that the reader goes on with."""
    return f"{MARK} {note}\n"


def spoken(text: str) -> str:
    """The reply without the note before it, if there is one; the note itself where nothing else came."""
    note = noted(text)
    return text.lstrip() if note is None else text.partition("\n")[2].lstrip() or note


async def spoken_pieces(pieces: AsyncIterator[str], whole: bool) -> AsyncGenerator[str, None]:
    """A reply that comes in pieces, of which what may be a note is held back until it is over.

    `whole`: what follows the note is the reply; else it is the reader's.

    Raises:
        PassedOn, Recalled: before any piece.
    """
    held, speaking = "", False
    async for piece in pieces:
        if speaking:
            yield piece
            continue
        held = (held + piece).lstrip()
        if passes_on(held):
            raise PassedOn
        note = noted(held)
        if MARK.startswith(held) or (note is not None and "\n" not in held):
            continue
        if note is not None and not whole:
            raise Recalled(note)
        if note is not None and not held.partition("\n")[2].strip():
            continue
        speaking = True
        yield spoken(held)
    if held and not speaking:
        if (note := noted(held)) is not None and not whole:
            raise Recalled(note)
        yield spoken(held)


async def read_pieces(pieces: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    """A reader's reply in pieces.

    Raises:
        Declined: before any piece.
    """
    held, speaking = "", False
    async for piece in pieces:
        if speaking:
            yield piece
            continue
        held += piece
        if declines(held):
            raise Declined
        if held.strip() and not DECLINES.startswith(held.lstrip()):
            speaking = True
            yield held
    if held.strip() and not speaking:
        yield held
