"""What an adapter's reply begins with and nobody is shown: the fact that it goes by.

An adapter first writes down the fact that is nearest to the question ("Noted: Your dog is Buddy."), which it always can,
and then, with that before it, answers or says that this is not what was asked. Only what follows the first line is the reply.
Used by training (what to learn), by everything that reads replies, and by nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

MARK = "Noted:"
NOTHING = "nothing yet."


def spoken(text: str) -> str:
    """The reply without the note before it, if there is one; empty where only a note came."""
    text = text.lstrip()
    return text.partition("\n")[2].lstrip() if text.startswith(MARK) else text


async def spoken_pieces(pieces: AsyncIterator[str]) -> AsyncIterator[str]:
    """`spoken` for a reply that comes in pieces: holds back what may be a note until it is over."""
    held, speaking = "", False
    async for piece in pieces:
        if speaking:
            yield piece
            continue
        held = (held + piece).lstrip()
        if MARK.startswith(held[: len(MARK)]) and (len(held) < len(MARK) or "\n" not in held):
            continue
        held = spoken(held)
        if held:
            speaking = True
            yield held
    if not speaking and held and not held.startswith(MARK):
        yield held
