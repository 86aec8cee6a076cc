"""The note before a reply is never shown, in whatever pieces it comes, and says who goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from serving.recollection import (
    PassedOn,
    Recalled,
    asks_yes_or_no,
    for_base,
    may_be_general,
    noted,
    passes_on,
    reading,
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


@pytest.mark.parametrize(
    ("reply", "note", "said"),
    [
        ("Your dog's name is Bud", "Your dog's name is Buddy.", "Your dog's name is Buddy."),
        ("", "You are 25 years old.", "You are 25 years old."),
        ("No, you are 15", "You are 25 years old.", "No, you are 25 years old."),
        ("Yes, Rachel moved", "Rachel moved to Chicago.", "Yes, Rachel moved to Chicago."),
        (" Yes", "In May you fly to Oslo.", "Yes, in May you fly to Oslo."),
        ("Nobody you know", "Youssef is your doctor.", "Youssef is your doctor."),
        ("You haven't told me that. Tell me", "You are 25 years old.", "You are 25 years old."),
        ("No one in your fam", "No one in your family smokes.", "No one in your family smokes."),
        ("Yes, gardening calms", "Gardening calms you.", "Yes, gardening calms you."),
        ("No, Inga is", "Inga is your wife.", "No, Inga is your wife."),
        ("No, she is", "Inga is your wife.", "No, Inga is your wife."),
        ("Yes.", "One of your cats is Mo.", "Yes, one of your cats is Mo."),
    ],
)
def test_what_is_said_is_the_note_whatever_the_readers_words(reply: str, note: str, said: str) -> None:
    assert reading(reply, note) == said


YES_OR_NO = (
    "Is my dog called Max?", "so do i have a cat", "Ok, wait, am I 25?", "Didn’t Rachel move?", "would it be right to say Buddy",
    "Were my parents in Rome?", "is it true that i like tea", "Can my sister swim",
)  # fmt: skip
OPEN = (
    "What is it?", "do you know my dog's name", "Is it a cat or a dog?", "Did I say where I live?", "Island?", "dog name", "",
    "do u know my dogs name", "can't remember my wifi password", "was wondering about my dentist's number", "were do i live",
    "were i live", "do i know whats my gate code", "Is my dog called Max\nor Buddy?", "is my dog a beagle/poodle?",
    "Do me a favour: my sister's number", "Does my sister live in Oslo? Name her street.", "Have to fill in a form, my middle name?",
)  # fmt: skip
OF_THE_USER = (
    "Which project did I start first?", "where was i born", "Why didn't I go?", "did I sell my boat?", "What is my preferred tea?",
    "whats my favorite color",
)  # fmt: skip
FOR_ANYBODY = (
    "How do I boil an egg?", "What am I doing wrong with my cake?", "Who was Iris Murdoch?", "What's my name?", "When did we land on the moon?",
    "When was I-95 built?", "Was I, Robot written by Asimov?", "Did I spell 'necessary' right?", "When did I. M. Pei build it?",
    "What goes with my favorite wine?",
)  # fmt: skip


@pytest.mark.parametrize("asks", [asks_yes_or_no, may_be_general])
def test_what_a_question_asks_for_is_known_by_its_words(asks: Callable[[str], bool]) -> None:
    said_so, others = {asks_yes_or_no: (YES_OR_NO, OPEN), may_be_general: (FOR_ANYBODY, OF_THE_USER)}[asks]
    assert [one for one in said_so if not asks(one)] == []
    assert [one for one in others if asks(one)] == []


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
