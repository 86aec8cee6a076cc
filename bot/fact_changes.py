"""Whether a newer fact changes an older one: the same attribute with another value, the same count with another number, or a
statement that says of itself that something changed. Not covered: changes that only a reader of both would see.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bot.fact_patterns import MONTH
from bot.fact_words import ONE_VALUED, PEOPLE, PETS
from bot.facts import Fact, stop_words
from bot.language import parse, statement

if TYPE_CHECKING:
    from spacy.tokens import Token

SHARED = 0.5  # of the older statement's telling words, where the newer one says that something changed
_SAYS_CHANGED = re.compile(
    r"\b(?:now|nowadays|these days|instead|no longer|any ?more|change[sd]?|moved|switched|swapped|upgraded|updated?|correction|"
    r"extended|pushed|postponed|rescheduled|relocated|renamed|down to|up to|went up|climbed|dropped|by now|latest|"
    r"turned out|gave up|quit|sold)\b",
    re.IGNORECASE,
)
_ONE_MORE = re.compile(r"\b(?:also|too|as well|another|second|both|besides)\b", re.IGNORECASE)
_DAY = re.compile(
    rf"\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b|\b{MONTH} \d|\b\d{{1,2}}(?:st|nd|rd|th)? (?:of )?{MONTH}\b|\b\d+/\d+\b",
    re.IGNORECASE,
)


def replaces(new: Fact, old: Fact) -> bool:
    """Whether `new` is the current value of what `old` told: the old one then is no longer true."""
    if new.attribute and new.subject.casefold() == old.subject.casefold() and new.attribute == old.attribute:
        single = new.attribute in ONE_VALUED or new.attribute.startswith("favorite")
        return single and new.value.casefold() != old.value.casefold()
    return _same_count_changed(new.text, old.text) or _said_to_have_changed(new, old)


def _said_to_have_changed(new: Fact, old: Fact) -> bool:
    """ "standup is 9:15" and "they pushed standup to 9:45": about the same, and the newer one says that something changed."""
    if not (_unread(new) and _unread(old) and _SAYS_CHANGED.search(new.text) and _stems(new.text) & _stems(old.text)):
        return False
    if _ONE_MORE.search(new.text):
        return False  # told beside the older one
    mine, theirs = _content(new.text), _content(old.text)
    common = mine & theirs
    things = _things(new.text) & _things(old.text) - PEOPLE - PETS  # of one person much can be true
    if len(common) < SHARED * len(theirs) or not things:
        return False
    return len(common) > 1 or (_has_number(new.text) and _has_number(old.text))


def _unread(fact: Fact) -> bool:
    """Whether no pattern tells what of whom it is: such facts have their own rule above."""
    return fact.attribute in ("", "is")


def count_other_things(one: str, other: str) -> bool:
    """Whether both tell numbers of things, and none of the same: "25 postcards" and "20 stamps"."""
    mine, theirs = _counts(statement(one)), _counts(statement(other))
    return bool(mine and theirs) and not mine.keys() & theirs.keys()


def of_other_days(one: str, other: str) -> bool:
    """Whether both name days, and not the same ones: two occasions, which may be alike."""
    mine, theirs = _DAY.findall(one), _DAY.findall(other)
    return bool(mine and theirs) and mine != theirs


def _same_count_changed(new: str, old: str) -> bool:
    """ "I've read 12 books this year" and "just finished my 15th book this year": one thing counted, another number."""
    if not (_MAY_COUNT.search(new) and _MAY_COUNT.search(old) and _stems(new) & _stems(old)):
        return False  # without a parse, which takes milliseconds
    if of_other_days(new, old):
        return False
    counted_new, counted_old = _counts(statement(new)), _counts(statement(old))
    shared = {unit for unit in counted_new if unit in counted_old and not counted_new[unit] & counted_old[unit]}
    if not shared:
        return False
    mine, theirs = _content(new), _content(old)
    common = (mine & theirs) - shared
    smaller = min(len(mine - shared), len(theirs - shared))
    return bool(common) and len(common) >= 0.5 * smaller


def _counts(text: str) -> dict[str, set[str]]:
    """What is counted, by lemma → the numbers it has: "4 projects" → {"project": {"4"}}, "$400" → {"$": {"400"}}."""
    counted: dict[str, set[str]] = {}
    for token in parse(text):
        number = _as_number(token)
        if token.lower_ in ("once", "twice", "thrice"):
            counted.setdefault("time", set()).add(number)
        elif number and token.i and token.nbor(-1).text in "$€£":
            counted.setdefault("$", set()).add(number)
        elif number and token.head.pos_ in ("NOUN", "PROPN"):
            counted.setdefault(token.head.lemma_.lower(), set()).add(number)
        elif token.lower_ in ("a", "an") and token.head.lemma_ in ("minute", "hour", "day", "week", "month", "year"):
            counted.setdefault(token.head.lemma_, set()).add("1")
    return counted


_NUMBER_WORDS = {
    word: str(at)
    for words in (
        "zero one two three four five six seven eight nine ten eleven twelve",
        "zeroth first second third fourth fifth sixth seventh eighth ninth tenth",
        "never once twice thrice",
    )
    for at, word in enumerate(words.split())
}


_DIGITS = re.compile(r"\$?(\d[\d,.:]*)(?:st|nd|rd|th|k|am|pm)?")
_MAY_COUNT = re.compile(
    rf"\d|\b(?:{'|'.join(_NUMBER_WORDS)}|an? (?:\w+ ){{0,3}}(?:minute|hour|day|week|month|year))s?\b", re.IGNORECASE
)


def _stems(text: str) -> set[str]:
    """First letters of the words that are not function words: texts that share none share no lemma."""
    return {word[:3] for word in re.findall(r"[a-z]{3,}|\$", text.lower()) if word not in stop_words()[0]}


def _as_number(token: Token) -> str:
    """Digits of a number, a number word or an ordinal; "" for anything else."""
    word = token.lower_
    if word in _NUMBER_WORDS:
        return _NUMBER_WORDS[word]
    digits = _DIGITS.fullmatch(word)
    return digits[1].replace(",", "") if digits else ""


def _content(text: str) -> set[str]:
    return {
        token.lemma_.lower()
        for token in parse(statement(text))
        if token.pos_ in ("NOUN", "PROPN", "VERB", "ADJ") and not token.is_stop and not _as_number(token)
    }


def _things(text: str) -> set[str]:
    return {
        token.lemma_.lower()
        for token in parse(statement(text))
        if token.pos_ in ("NOUN", "PROPN") and not _as_number(token)
    }


def _has_number(text: str) -> bool:
    return any(_as_number(token) for token in parse(text))


def numbers(text: str) -> frozenset[str]:
    """The numbers in a text as digits, ordinals and number words among them; without a parse."""
    found = (_NUMBER_WORDS.get(word) or _DIGITS.fullmatch(word) for word in re.findall(r"[\w.,:]*\w", text.casefold()))
    return frozenset(one if isinstance(one, str) else one[1].replace(",", "") for one in found if one)
