"""Cases of an evaluation: people with statements and questions, from a JSONL file in the shape DESIGN gives.

A line is a user: `id`, `statements` (in time order), and `question`/`answer`/`aliases`/`answerable`/`other_value`/
`difficulty`, or a list `questions` of those. Pure but for reading the file. Not covered: asking and grading.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.errors import NotAFact
from bot.fact_changes import replaces
from bot.facts import Fact, understand


@dataclass(frozen=True, slots=True)
class Question:
    """`answers` are the gold answer and its aliases; empty where the right reply is "not told"."""

    id: str
    text: str
    answers: tuple[str, ...]
    answerable: bool
    other_value: str | None = None
    difficulty: str = "direct"


@dataclass(slots=True)
class Person:
    """One user of the evaluation. `strangers`: questions of other users, to be declined."""

    id: str
    statements: list[str]
    questions: list[Question]
    strangers: list[Question] = field(default_factory=list)

    def facts(self) -> list[Fact]:
        """What the store would hold after these statements: newest values in the place of older ones."""
        held: list[Fact] = []
        for statement in self.statements:
            try:
                told = understand(statement)
            except NotAFact:
                continue
            for fact in told:
                if all(fact.text.casefold() != known.text.casefold() for known in held):
                    held = [known for known in held if not replaces(fact, known)] + [fact]
        return held


class BadCases(ValueError):
    """The file is not in the shape asked for; the message names the line."""


def read(file: Path, limit: int | None = None) -> list[Person]:
    """Raises:
    BadCases: a line cannot be read.
    """
    people: list[Person] = []
    for number, line in enumerate(_lines(file), start=1):
        if limit is not None and len(people) >= limit:
            break
        people.append(_person(line, f"{file.name}, line {number}"))
    if not people:
        raise BadCases(f"{file.name} holds no case")
    return people


def group(people: Sequence[Person], size: int) -> list[Person]:
    """Joins `size` lines at a time into one user with all their statements and questions."""
    joined = []
    for start in range(0, len(people), size):
        part = people[start : start + size]
        statements = list(dict.fromkeys(statement for one in part for statement in one.statements))
        joined.append(Person("+".join(one.id for one in part), statements, [q for one in part for q in one.questions]))
    return joined


def add_strangers(people: Sequence[Person], count: int, seed: int = 0) -> None:
    """Gives each user `count` answerable questions of others who share no statement with them."""
    for person in people:
        own = set(person.statements)
        others = [
            question
            for other in people
            if other is not person and not own & set(other.statements)
            for question in other.questions
            if question.answerable
        ]
        rng = random.Random(f"{seed} {person.id}")
        person.strangers = rng.sample(others, min(count, len(others)))


def read_general(file: Path) -> list[Question]:
    """General questions: `question`, `answer`, `aliases` a line.

    Raises:
        BadCases: a line cannot be read.
    """
    return [_question(line, f"{file.name}, line {at}", str(at)) for at, line in enumerate(_lines(file), start=1)]


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadCases(f"{file} cannot be read: {error.strerror}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadCases(f"{file.name}, line {number}: no JSON ({error.msg})") from error
        if not isinstance(row, dict):
            raise BadCases(f"{file.name}, line {number}: an object is needed")
        yield row


def _person(row: dict[str, Any], where: str) -> Person:
    statements = row.get("statements")
    if not isinstance(statements, list) or not all(isinstance(one, str) for one in statements):
        raise BadCases(f"{where}: `statements` must be a list of sentences")
    asked = row.get("questions", [row])
    identity = str(row.get("id", where))
    return Person(
        identity, list(statements), [_question(one, where, f"{identity}#{at}") for at, one in enumerate(asked)]
    )


def _question(row: dict[str, Any], where: str, identity: str) -> Question:
    if not isinstance(row, dict) or not isinstance(row.get("question"), str):
        raise BadCases(f"{where}: `question` is missing")
    answerable = bool(row.get("answerable", True))
    answers = tuple(str(one) for one in [row.get("answer"), *(row.get("aliases") or [])] if one not in (None, ""))
    if answerable and not answers:
        raise BadCases(f"{where}: an answerable question needs an `answer`")
    other = row.get("other_value")
    return Question(
        identity,
        row["question"],
        answers,
        answerable,
        str(other) if other else None,
        str(row.get("difficulty", "direct")),
    )
