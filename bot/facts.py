"""A sentence the user wrote → facts (subject, attribute, value, and the sentence itself)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fact:
    """One lasting statement of a user's.

    `text` is the sentence as said (always kept). The other three are filled where they can be read off it:
    "my dog is Buddy" → subject "dog", attribute "name", value "Buddy"; "I am 25" → subject "" (the user), "age", "25".
    """

    text: str
    subject: str = ""
    attribute: str = ""
    value: str = ""
