"""Whether a reply holds an answer, and whether it says that it was never told. Text matching, lenient by design.

`answered` and `abstained` grade cases as the measuring data's own grader does (a test holds them against it where it is
present); `recalled` and `says_not_told` are the gate's, which are stricter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from serving.words import words

_TOLD = r"(told|tell|mention|mentioned|share|shared|say|said)"
_NOT_TOLD = re.compile(rf"\byou (have not|haven't|never|did not|didn't)( yet)? {_TOLD}\b", re.IGNORECASE)
_NOT_KNOWN = re.compile(
    r"\bi (do not|don't)( yet)? (know|have)\b|\bi'?m not sure\b|\bno (information|record|memory) (of|about|on)\b"
    r"|\bnot (told|mentioned|shared)\b",
    re.IGNORECASE,
)


def holds(reply: str, phrase: str) -> bool:
    """Whether the words of `phrase` stand in `reply` one after another."""
    wanted, said = words(phrase), words(reply)
    return bool(wanted) and any(said[start : start + len(wanted)] == wanted for start in range(len(said)))


def tells(reply: str, taught: str, note: str) -> bool:
    """Whether the reply is what was taught, or the note that it goes by; yes or no stands before it where it does in what was taught."""
    said, wanted = words(reply), words(taught)
    if wanted[:1] in (["yes"], ["no"]):
        return said == wanted
    return (said[1:] if said[:1] == ["yes"] else said) in (wanted, words(note))


def answered(reply: str, answers: Sequence[str], other_value: str | None = None) -> bool:
    """Whether the reply gives one of `answers` and not the stale or competing `other_value`."""
    stale = (
        bool(other_value)
        and holds(reply, str(other_value))
        and not any(holds(one, str(other_value)) for one in answers)
    )
    return not stale and any(holds(reply, one) for one in answers)


def abstained(reply: str) -> bool:
    """Whether the reply says in any words that it does not know or was not told."""
    plain = reply.replace("’", "'")
    return bool(_NOT_TOLD.search(plain) or _NOT_KNOWN.search(plain))


def recalled(reply: str, accept: Iterable[str], reject: Iterable[str] = ()) -> bool:
    """Whether the reply holds one of `accept`, none of `reject`, and does not claim it was never told."""
    if says_not_told(reply) or any(holds(reply, wrong) for wrong in reject):
        return False
    return any(holds(reply, right) for right in accept)


def says_not_told(reply: str) -> bool:
    """Whether the reply says that the user has not told this."""
    return bool(_NOT_TOLD.search(reply.replace("’", "'")))
