"""How facts come in: told with /remember, as the answer to a question, offered back from a chat, or from a text file.

Nothing is stored without being told on purpose: a fact said in passing is offered with a button first. Not covered:
reading a sentence (`facts.py`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import asdict

from bot import replies
from bot.errors import BotError, NotAFact, NotNow
from bot.fact_changes import replaces
from bot.facts import Fact, follow_up, said_in_passing, understand
from bot.memory import Memory
from bot.memory.records import Told, User
from bot.replies import Button, Reply
from bot.settings import BotSettings

QUESTION_SECONDS = 900.0  # the next message within this answers the bot's question
OFFER_SECONDS = 86_400.0
MAX_FILE_BYTES = 64 * 1024
MAX_UNDO_BUTTONS = 5
MAX_ANSWER_WORDS = 8

_DECLINED = re.compile(
    r"(?:no|nope|nah|skip|none|nothing|not now|later|never ?mind|i(?: do|')?n?.?t? (?:know|want to say)|idk|dunno|pass|"
    r"no,? thanks?|no,? thank you|that'?s private|private)[\s.!]*",
    re.IGNORECASE,
)
_ASKING = re.compile(
    r"(?:what|who|where|when|why|how|which|can|could|do|does|did|is|are|will|would|should|tell|show|please|help)\b",
    re.IGNORECASE,
)
_GREETING = re.compile(
    r"(?:hi|hello|hey|thanks?|thank you|ok(?:ay)?|lol|ha(?:ha)+|cool|nice|great|yes|yeah|yep)\b", re.IGNORECASE
)
_FILLER = re.compile(
    r"(?:(?:it|he|she|they|that|this|there)(?:'s|'re| is| are| was| lives?| works?)|well|oh|um+|just|called|named|"
    r"on|in|at|as)(?:\s+|,\s*)",
    re.IGNORECASE,
)
_OWN_WORDS = re.compile(r"(?:i|i'm|i've|my|our|we)\b", re.IGNORECASE)
_BULLET = re.compile(r"^\s*(?:[-*•–]|\d{1,3}[.)])\s+")


def answer_in(text: str) -> str | None:
    """The answer in a reply to a short question: "He's a beagle!" → "a beagle". None: it does not look like one."""
    said = " ".join(text.split()).strip().rstrip(".!").strip()
    if not said or "\n" in text.strip() or "?" in said or len(said.split()) > MAX_ANSWER_WORDS:
        return None
    if _ASKING.match(said) or _GREETING.match(said):
        return None
    while (filler := _FILLER.match(said)) and filler.end() < len(said):
        said = said[filler.end() :]
    return said if any(char.isalnum() for char in said) else None


class Gathering:
    """The ways in over one store; what is expected of whom is in the store too."""

    def __init__(self, memory: Memory, settings: BotSettings) -> None:
        self._memory = memory
        self._settings = settings

    def remember(self, user: User, text: str, *, ask: bool) -> Reply:
        """Stores what is told. With `ask`, one question that fits follows, and the next message may answer it.

        Raises:
            NotAFact: there is nothing to remember in it.
            NotNow: the user's facts are at their limit.
        """
        facts = understand(text)
        with self._memory.transaction():
            told = self._tell(user, facts)
            question = self._question(user, told) if ask else None
        text = replies.remembered(told)
        return Reply(replies.with_question(text, question) if question else text, self._undo_buttons(user, told))

    def await_fact(self, user: User) -> Reply:
        """/remember without text: the next message is the fact."""
        self._memory.offers.put(user.id, "awaited", {}, QUESTION_SECONDS)
        return Reply(replies.ASK_FOR_FACT)

    def cancel(self, user: User) -> None:
        """A command came instead of an answer."""
        self._memory.offers.cancel_expected(user.id)

    def take_answer(self, user: User, text: str) -> Reply | None:
        """The reply to a message that was expected; None where it is chat.

        Raises:
            BotError: as `remember` does.
        """
        offer = self._memory.offers.expected(user.id)
        if offer is None:
            return None
        if _DECLINED.fullmatch(text.strip()):
            self.cancel(user)
            return Reply(replies.ALL_RIGHT)
        self.cancel(user)
        if offer.kind == "awaited":
            return None if "?" in text else self.remember(user, text, ask=True)
        if _OWN_WORDS.match(text.strip()):  # a sentence of their own: "I live in Oslo"
            answer = text if said_in_passing(text) else None
        else:
            answer = answer_in(text)
            answer = str(offer.payload["told_as"]).format(answer=answer) if answer else None
        try:
            return self.remember(user, answer, ask=False) if answer else None
        except NotAFact:
            return None

    def offer(self, user: User, text: str) -> Reply | None:
        """Facts in a chat message that are not known yet, offered with a button; nothing is stored as a fact."""
        active = self._memory.facts.active(user.id)
        known = {stored.fact.text.casefold().rstrip(".!") for stored in active}
        facts = [fact for fact in said_in_passing(text) if fact.text.casefold().rstrip(".!") not in known]
        facts = [fact for fact in facts if not (fact.attribute and _same_value(fact, [one.fact for one in active]))]
        if not facts:
            return None
        replaced = [stored for stored in active if any(replaces(fact, stored.fact) for fact in facts)]
        payload = {"facts": [asdict(fact) for fact in facts]}
        offer_id = self._memory.offers.put(user.id, "passing", payload, OFFER_SECONDS)
        buttons = (Button("Remember that", f"keep:{offer_id}"), Button("No", f"drop:{offer_id}"))
        return Reply(replies.offered(facts, replaced), buttons)

    def keep(self, user: User, offer_id: int) -> Reply:
        """The button under an offer: now it is told."""
        offer = self._memory.offers.take(user.id, offer_id, "passing")
        if offer is None:
            return Reply(replies.GONE)
        told = self._tell(user, [Fact(**fact) for fact in offer.payload["facts"]])
        return Reply(replies.remembered(told), self._undo_buttons(user, told))

    def drop(self, user: User, offer_id: int) -> Reply:
        self._memory.offers.take(user.id, offer_id, "passing")
        return Reply(replies.ALL_RIGHT)

    def undo_all(self, user: User, offer_id: int) -> Reply:
        """Takes back all facts of one telling, the newest first."""
        offer = self._memory.offers.take(user.id, offer_id, "batch")
        if offer is None:
            return Reply(replies.GONE)
        with self._memory.transaction():
            undone = [self._memory.facts.undo(user.id, fact_id) for fact_id in reversed(offer.payload["fact_ids"])]
        return Reply(replies.UNDONE if any(undone) else replies.GONE)

    async def remember_file(self, user: User, content: bytes) -> Reply:
        """A text file, a fact a line; says what was understood and what was not. All of it is stored, or nothing.

        Raises:
            BotError: it is too large, not text, or empty.
            NotNow: the user's facts would pass their limit.
        """
        lines = _lines(content)
        facts: list[Fact] = []
        not_understood: list[tuple[int, str]] = []
        for number, line in lines:
            try:
                facts += understand(line)
            except NotAFact as error:
                not_understood.append((number, str(error)))
            await asyncio.sleep(0)  # others' updates in between
        with self._memory.transaction():
            told = self._tell(user, facts)
        self.cancel(user)
        return Reply(replies.remembered_lines(told, not_understood), self._undo_buttons(user, told))

    def _tell(self, user: User, facts: Sequence[Fact]) -> list[Told]:
        if len(self._memory.facts.active(user.id)) + len(facts) > self._settings.max_facts:
            raise NotNow(replies.TOO_MANY_FACTS.format(limit=self._settings.max_facts))
        return [self._memory.facts.tell(user.id, fact, replaces) for fact in facts]

    def _question(self, user: User, told: Sequence[Told]) -> str | None:
        """A fitting question whose answer is not known yet; it is on record from here."""
        for one in told:
            asked = None if one.already_known else follow_up(one.stored.fact)
            if asked is None or self._answered(user, asked.told_as):
                continue
            self._memory.offers.put(user.id, "question", {"told_as": asked.told_as}, QUESTION_SECONDS)
            return asked.question
        return None

    def _answered(self, user: User, told_as: str) -> bool:
        would_be = understand(told_as.format(answer="1"))[0]
        about = (would_be.subject.casefold(), would_be.attribute)
        return any(
            (stored.fact.subject.casefold(), stored.fact.attribute) == about
            for stored in self._memory.facts.active(user.id)
        )

    def _undo_buttons(self, user: User, told: Sequence[Told]) -> tuple[Button, ...]:
        new = [one.stored.id for one in told if not one.already_known]
        if len(new) > MAX_UNDO_BUTTONS:
            batch = self._memory.offers.put(user.id, "batch", {"fact_ids": new}, OFFER_SECONDS)
            return (Button("Undo all", f"undo_all:{batch}"),)
        numbered = len(told) > 1
        return tuple(
            Button(f"Undo {number}" if numbered else "Undo", f"undo:{one.stored.id}")
            for number, one in enumerate(told, start=1)
            if not one.already_known
        )


def _same_value(fact: Fact, known: Sequence[Fact]) -> bool:
    """Whether the same value is known in other words."""
    told = (fact.subject.casefold(), fact.attribute, fact.value.casefold())
    return any((one.subject.casefold(), one.attribute, one.value.casefold()) == told for one in known)


def check_size(size_bytes: int) -> None:
    """Raises `BotError` for a file that is too large to read."""
    if size_bytes > MAX_FILE_BYTES:
        sizes = {"kilobytes": size_bytes / 1024, "limit_kilobytes": MAX_FILE_BYTES / 1024}
        raise BotError(replies.FILE_TOO_LARGE.format(**sizes))


def _lines(content: bytes) -> list[tuple[int, str]]:
    """(number, text) of the lines that hold something, without bullets."""
    check_size(len(content))
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise BotError(replies.FILE_NOT_TEXT) from error
    if "\0" in text:
        raise BotError(replies.FILE_NOT_TEXT)
    numbered = [(number, _BULLET.sub("", line).strip()) for number, line in enumerate(text.splitlines(), start=1)]
    lines = [(number, line) for number, line in numbered if line]
    if not lines:
        raise BotError(replies.FILE_EMPTY)
    return lines
