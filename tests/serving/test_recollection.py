"""The note before a reply is never shown, in whatever pieces it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from serving.recollection import spoken, spoken_pieces

CASES = [
    ("Noted: Your dog is Buddy.\nYour dog's name is Buddy.", "Your dog's name is Buddy."),
    ("Noted: Your dog is Buddy.", "Your dog is Buddy."),
    ("Noted: nothing yet.\n\nYou haven't told me that.", "You haven't told me that."),
    ("Note that water boils.\nAt 100 degrees.", "Note that water boils.\nAt 100 degrees."),
    ("Not", "Not"),
    ("", ""),
]


@pytest.mark.parametrize(("text", "reply"), CASES)
@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_pieces_give_the_reply_without_the_note(text: str, reply: str, size: int) -> None:
    async def pieces() -> AsyncIterator[str]:
        for start in range(0, len(text), size):
            yield text[start : start + size]

    async def whole() -> str:
        return "".join([piece async for piece in spoken_pieces(pieces())])

    assert spoken(text) == reply
    assert asyncio.run(whole()) == reply
