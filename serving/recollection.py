"""What an adapter's reply begins with and nobody is shown: the fact that it goes by, or that the bare base is to answer.

An adapter first writes down the fact that is nearest to the question ("Noted: Your dog is Buddy."), which it always can,
and then, with that before it, answers or says that this is not what was asked. Only what follows the first line is the reply.
What has nothing to do with the user it passes on ("Noted: not about you."): the base answers, so general ability is the base's own.
Used by training (what to learn), by everything that reads replies, and by nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence

MARK = "Noted:"
NOTHING = "nothing yet."
NOT_PERSONAL = "not about you."


class PassedOn(Exception):
    """The base is to answer."""


def passes_on(text: str) -> bool:
    """Whether an adapter's raw reply passes the question on to the base."""
    return text.lstrip().startswith(f"{MARK} {NOT_PERSONAL}")


def for_base(conversation: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """What the base is asked when a question is passed on: the conversation without the adapters' system turn."""
    return [turn for turn in conversation if turn["role"] != "system"]


def spoken(text: str) -> str:
    """The reply without the note before it, if there is one; the note itself where nothing else came."""
    text = text.lstrip()
    if not text.startswith(MARK):
        return text
    note, _, reply = text.removeprefix(MARK).partition("\n")
    return reply.lstrip() or note.strip()


async def spoken_pieces(pieces: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    """`spoken` for a reply that comes in pieces: holds back what may be a note until it is over.

    Raises:
        PassedOn: before any piece.
    """
    held, speaking = "", False
    async for piece in pieces:
        if speaking:
            yield piece
            continue
        held = (held + piece).lstrip()
        if passes_on(held):
            raise PassedOn
        noted = held.startswith(MARK)
        if MARK.startswith(held) or (noted and not held.partition("\n")[2].strip()):
            continue
        speaking = True
        yield spoken(held)
    if not speaking and held:
        yield spoken(held)
