"""The words of a text, compared without regard to case, punctuation, articles and endings. Pure."""

from __future__ import annotations

import re

_ARTICLES = {"a", "an", "the"}
_STEM = 5  # letters that words are compared by
_QUESTION_WORDS = (
    "i me my mine you your am is are was were be been do does did have has had what who whose which where when why how many "
    "much long of to in on at for from with by and or it its im ive youre youve that this there can could would tell told "
    "remind know about call called name named"
)
_EMPTY = frozenset(_QUESTION_WORDS.split())


def words(text: str) -> list[str]:
    """Lower-case words without punctuation, apostrophes and articles."""
    plain = re.sub(r"['’]", "", text.casefold())
    return [word for word in re.findall(r"\w+", plain) if word not in _ARTICLES]


def stems(text: str) -> frozenset[str]:
    """The beginnings of the words that a question or statement is about."""
    return frozenset(word[:_STEM] for word in words(text) if word not in _EMPTY)
