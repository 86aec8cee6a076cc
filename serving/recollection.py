"""How adapters reply: first a note that nobody is shown, then words.

A user's adapter is a memory. To a question it writes down the fact that is nearest to it ("Noted: Your dog is Buddy."), which it
always can; the primer, everybody's reader, goes on from there, and from the note that was nearly written: by its first words it
answers, says yes or no, or declines (`weighing.py`: after which note it answers, if any). The words that people are shown are the
note's (`reading`), so that it can copy no name or number wrongly, and nothing that is trained on one user's facts has to tell what
was never told. What has nothing to do with the user is passed on ("Noted: not about you.") to the bare base, whose general ability
is therefore kept; a memory full of facts may see one in a general question, so where the reader declines, the primer has a second
look at whether it is one, unless it asks what the user did, was or likes best; and it replies where an adapter passes on what is
asked in the first person. The primer alone, which users without an adapter talk to, does
both in one go from the facts in its prompt. Without a primer there are no notes.
Used by training (what to learn), by everything that reads replies, and by nothing else.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

MARK = "Noted:"
NOTHING = "nothing yet."
NOT_PERSONAL = "not about you."
NOT_TOLD = "You haven't told me that. Tell me with /remember and I'll know."
SECOND_LOOK_TOKENS = 12  # of a note, enough for seeing whether it passes on
DECLINES = NOT_TOLD.partition(".")[0]
_CUTS = ("You", "You haven't")
READ_TOKENS = 10  # of a reader's reply, enough for seeing which it is
YES, NO = "Yes", "No"
_YES_OR_NO = re.compile(
    r"(?:(?:so|and|but|hey|hi|ok|okay|well|wait|um|uh|oh|please)\b,? ?)*"
    r"(?:am|are|is|was|were(?! i\b)|do|does|did|have|has|had|can|could|will|would|should)(?:n?['’]?t)? "
    r"(?:(?:i|we|my|our|the|it|its|he|she|they|his|her|their|this|that|these|those|there|all|both|any|an?)\b|(?-i:[A-Z])\w)"
    r"(?!.*(?:[/\n]|\?.*\w|\b(?:or|how|wh(?:at|en|ere|ich|o|om|ose|y)(?:['’]?s)?)\b))",
    re.IGNORECASE | re.DOTALL,
)
_OF_THE_USER = re.compile(
    r"\b(?:what|which|who)(?:['’]?s| is| are| was)? my (?:own )?(?:favou?rite|preferred|usual)\b|"
    r"\b(?:did|was|were)(?:n['’]?t)? i\b(?![-.,]\w|[-.,] (?-i:[A-Z]))(?!.*\b(?:right|wrong|correct(?:ly)?)\b)",
    re.IGNORECASE | re.DOTALL,
)
_FIRST_PERSON = re.compile(r"\b(?:i|i['’]?m|i['’]?ve|i['’]?d|i['’]?ll|my|mine|me|myself)\b(?![-.,]\w)", re.IGNORECASE)
_SMALL_AFTER_A_COMMA = re.compile(
    r"(?:you|yours?|the|an?|its?|he|she|they|we|his|her|their|our|this|that|there|in|on|at|every|all|both|one|two|three)(?:'\w+)?\b",
    re.IGNORECASE,
)


class PassedOn(Exception):
    """The base is to answer."""


class Recalled(Exception):
    """The reader is to read `note`."""

    def __init__(self, note: str) -> None:
        super().__init__("a note was written")
        self.note = note


def noted(text: str) -> str | None:
    """The note that a raw reply begins with; None where it begins with none."""
    text = text.lstrip()
    return text.removeprefix(MARK).partition("\n")[0].strip() if text.startswith(MARK) else None


def passes_on(text: str) -> bool:
    """Whether a raw reply passes the question on to the base."""
    return text.lstrip().startswith(f"{MARK} {NOT_PERSONAL}")


def for_base(conversation: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """What the base is asked when a question is passed on: the conversation without the adapters' system turn."""
    return [turn for turn in conversation if turn["role"] != "system"]


def begun(note: str) -> str:
    """The beginning of a reply, after which the reader's decision stands."""
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


def may_decline_after(note: str) -> list[str]:
    """The beginnings of declining after which a reader may still answer: none, "You", and what the note itself begins with."""
    return ["", *_CUTS[: 2 if note.startswith(_CUTS[1]) else 1]]


def reading(reply: str, note: str) -> str:
    """What people are told where the reader begins its reply so after the note to say: it, with yes or no before it."""
    for word in (YES, NO):
        if said := re.match(rf"\s*{word}(?:, *(\w)|\W*$)", reply):
            same = (said[1] or "").casefold() == note[:1].casefold()
            return saying(word, note, small=said[1].islower() if same else None)
    return note


def saying(word: str, note: str, small: bool | None = None) -> str:
    """ "Yes" and "Your dog is Buddy." → "Yes, your dog is Buddy.". `small`: whether the note then begins with a small letter, as far
    as the reader wrote that; names keep theirs."""
    if small is None:
        small = _SMALL_AFTER_A_COMMA.match(note) is not None
    return f"{word}, {note[:1].lower() + note[1:] if small else note}"


def asks_yes_or_no(question: str) -> bool:
    """Whether a question can only be answered with yes or no: one that begins so, asks nothing else and leaves no choice."""
    return _YES_OR_NO.match(question.strip()) is not None


def in_first_person(question: str) -> bool:
    """Whether a question has a word for who asks it: that it is not about the user an adapter alone does not decide."""
    return _FIRST_PERSON.search(question) is not None


def may_be_general(question: str) -> bool:
    """Whether a question may be one for the base; what a user did, was or likes best it cannot know."""
    return _OF_THE_USER.search(question) is None
