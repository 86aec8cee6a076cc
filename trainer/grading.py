"""Whether a reply holds an answer, and whether it says that it was never told. Text matching, lenient by design."""

from __future__ import annotations

import re
from collections.abc import Iterable

_ARTICLES = {"a", "an", "the"}
_NOT_TOLD = re.compile(
    r"\byou (have not|haven't|never|did not|didn't)( yet)? (told|tell|mention|mentioned|share|shared|say|said)\b",
    re.IGNORECASE,
)


def words(text: str) -> list[str]:
    """Lower-case words without punctuation, apostrophes and articles."""
    plain = re.sub(r"['’]", "", text.casefold())
    return [word for word in re.findall(r"\w+", plain) if word not in _ARTICLES]


def holds(reply: str, phrase: str) -> bool:
    """Whether the words of `phrase` stand in `reply` one after another."""
    wanted, said = words(phrase), words(reply)
    return bool(wanted) and any(said[start : start + len(wanted)] == wanted for start in range(len(said)))


def recalled(reply: str, accept: Iterable[str], reject: Iterable[str] = ()) -> bool:
    """Whether the reply holds one of `accept`, none of `reject`, and does not claim it was never told."""
    if says_not_told(reply) or any(holds(reply, wrong) for wrong in reject):
        return False
    return any(holds(reply, right) for right in accept)


def says_not_told(reply: str) -> bool:
    """Whether the reply says that the user has not told this."""
    return bool(_NOT_TOLD.search(reply.replace("’", "'")))
