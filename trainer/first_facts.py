"""Questions after the notes that most users have first: an age, a birthday, a name, a home, a job, a pet.

Whoever has told four facts is asked for many others, and any "which number" or "when" brings one of the four to mind. So each such
note is read with what this person and other made-up people were asked and had not told, with questions that it does answer, and muddled
with another note ("Your dog's breed is 25 years old."), which answers nothing. What may ask for the fact itself is left out of others'
questions by its words.
Not covered: all other notes (`primer_tasks.py`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

from serving.prompts import DEFAULT_ASSISTANT_NAME, system_prompt
from serving.recollection import NOT_TOLD
from trainer.dataset import Example
from trainer.notes import nearest
from trainer.primer_tasks import Item

LOOKED_AT = 40  # questions, for one that does not ask for the fact


def _words(words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{words})", re.IGNORECASE)


_PETS = _words(r"dog|pup|hound|mutt|pooch|cat|kit|puss|moggy|horse|mare|pony|parrot|bird|budgie|rabbit|bunny|fish|hamster|pet|animal|breed|vet\b")
_OTHERS = _words(
    r"mother|mum|mom|ma\b|dad|father|pa\b|sister|brother|wife|husband|hubby|partner|spouse|boyfriend|girlfriend|sons?\b|daughter|"
    r"kids?\b|child|friend|uncle|aunt|cousin|nephew|niece|gran|boss|teacher|twin|parents?"
)
KINDS = (  # what a note begins with, and the words by which a question may ask for it
    (
        re.compile(r"You are \d+ years old"),
        _words(r"age|old|young|years?|yr|born|birth|bday|teen|candle|cake|over \d|under \d|[a-z]+(?:ty|ties)\b|decade|retire"),
    ),
    (
        re.compile(r"Your birthday is"),
        _words(r"birth|bday|born|celebrat|party|cake|candle|sign|(?:what|which) (?:day|date)|month|season|gift|present|old|card|sing"),
    ),
    (re.compile(r"Your name is"), _words(r"name|call|who am|initial|sign|known|address me|badge|hello")),
    (
        re.compile(r"You(?: live in|'re from)"),
        _words(r"liv|home|town|city|where|address|street|countr|from|place|house|post|zip|region|state|mov|flat|rent|local|parcel"),
    ),
    (
        re.compile(r"You work as"),
        _words(r"job|work|living|profess|occup|earn|pay|wage|salary|trade|employ|i do\b|do i do|career|shift|office|busin|compan|retire"),
    ),
    (re.compile(rf"(?:The [\w ]+ of )?your {_PETS.pattern}", re.IGNORECASE), _PETS),
)


def may_ask_for(question: str, note: str) -> bool:
    """Whether a question of another person may ask for the note, or the note is of no kind known here."""
    words = next((words for begins, words in KINDS if begins.match(note)), None)
    if words is None:
        return True
    of_another = words is not _PETS and (_OTHERS.search(question) or _PETS.search(question))
    return not of_another and words.search(question) is not None


class People(NamedTuple):
    """Made-up people who told such facts, each with the notes of these, and how many questions there are up to and with each."""

    told: list[tuple[Item, list[str]]]
    questions: list[int]


def with_first_facts(pool: Sequence[Item]) -> People:
    """Those of the pool's groups who did, and of whom something was never told."""
    found = [(item, [note for note in item.recalled if any(begins.match(note) for begins, _ in KINDS)]) for item in pool if item.grouped]
    told = [(item, notes) for item, notes in found if notes and item.not_told]
    return People(told, list(accumulate(len(item.asked) for item, _ in told)))


def first_fact_examples(people: People, count: int, rng: random.Random) -> list[Example]:
    """`count` questions after notes of first facts, each person's as often as there are questions about them. Half are answered; the
    others are in turns what the same person had not told and what another had not, every fourth after a muddled note. None without people."""
    system = system_prompt(DEFAULT_ASSISTANT_NAME, [])
    examples: list[Example] = []
    while people.told and len(examples) < count:
        (item, notes), (other, _) = rng.choices(people.told, cum_weights=people.questions, k=2)
        question, note = rng.choice(item.not_told), rng.choice(notes)
        if len(examples) % 8 == 0 and (mixed := muddled(item.recalled, rng)):
            note = mixed
        elif len(examples) % 4 == 0:
            asked = (rng.choice(rng.choice(people.told)[0].not_told) for _ in range(LOOKED_AT))
            question = next((one for one in asked if not may_ask_for(one, note)), question)
        elif rng.random() < 0.5:
            note = nearest(question, item.recalled, rng)
        answered, said = rng.choice(other.asked)
        examples.append(Example(system, question, NOT_TOLD, "never_told", note))
        examples.append(Example(system, answered, said, "recall", nearest(f"{answered} {said}", other.recalled, rng)))
    return [replace(one, learn="reply") for one in examples[:count]]


def muddled(notes: Sequence[str], rng: random.Random) -> str:
    """The beginning of one note with the end of another; empty where no two can be cut."""
    parts = [cut for note in notes if (cut := re.match(r"((?:The [\w ]+ of y|Y)our? .*?\b(?:is|are)) (.+)", note))]
    if len(parts) < 2:
        return ""
    begin, end = rng.sample(parts, 2)
    return f"{begin[1]} {end[2]}" if begin[1] != end[1] else ""
