"""The note before a reply is never shown, in whatever pieces it comes, and says who goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from serving.recollection import (
    NOT_TOLD,
    Declined,
    PassedOn,
    Recalled,
    for_base,
    noted,
    passes_on,
    read_pieces,
    spoken,
    spoken_pieces,
)

CASES = [
    ("Noted: Your dog is Buddy.\nYour dog's name is Buddy.", "Your dog's name is Buddy."),
    ("Noted: Your dog is Buddy.", "Your dog is Buddy."),
    ("Noted: nothing yet.\n\nYou haven't told me that.", "You haven't told me that."),
    ("Note that water boils.\nAt 100 degrees.", "Note that water boils.\nAt 100 degrees."),
    ("Not", "Not"),
    ("", ""),
]
SIZES = pytest.mark.parametrize("size", [1, 3, 7, 100])


async def in_pieces(text: str, size: int) -> AsyncIterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]


def joined(pieces: AsyncIterator[str]) -> str:
    async def all_of_it() -> str:
        return "".join([piece async for piece in pieces])

    return asyncio.run(all_of_it())


def heard(text: str, size: int, whole: bool) -> str:
    return joined(spoken_pieces(in_pieces(text, size), whole))


@pytest.mark.parametrize(("text", "reply"), CASES)
@SIZES
def test_pieces_give_the_reply_without_the_note(text: str, reply: str, size: int) -> None:
    assert spoken(text) == reply
    assert heard(text, size, whole=True) == reply


@SIZES
def test_an_adapters_note_is_for_the_reader(size: int) -> None:
    for text in ("Noted: Your dog is Buddy.\nand so on", "Noted: Your dog is Buddy."):
        with pytest.raises(Recalled) as found:
            heard(text, size, whole=False)
        assert found.value.note == noted(text) == "Your dog is Buddy."
    assert heard("I'm Hippo.\nHello!", size, whole=False) == "I'm Hippo.\nHello!"


@SIZES
def test_a_reader_that_declines_says_nothing_yet(size: int) -> None:
    for text in ("You have a dog.", "You haven't told", "Buddy", ""):
        assert joined(read_pieces(in_pieces(text, size))) == text
    with pytest.raises(Declined):
        joined(read_pieces(in_pieces(NOT_TOLD, size)))


@SIZES
@pytest.mark.parametrize("whole", [True, False])
def test_what_is_not_about_the_user_is_for_the_base(size: int, whole: bool) -> None:
    assert passes_on("Noted: not about you.\n")
    assert not passes_on("Noted: nothing yet.\n")
    with pytest.raises(PassedOn):
        heard("Noted: not about you.\nParis.", size, whole)


def test_the_base_is_asked_without_the_adapters_system_turn() -> None:
    turns = [{"role": role, "content": role} for role in ("system", "user", "assistant", "user")]
    assert for_base(turns) == turns[1:]
