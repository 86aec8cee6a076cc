"""Of the notes that an adapter may write the one is said after which declining is least likely, if any."""

from __future__ import annotations

from math import log

import pytest

from serving.recollection import NOT_PERSONAL, NOTHING
from serving.weighing import OTHER_FROM, Noted, Read, another, fork, weighed


@pytest.mark.parametrize(
    ("own", "others", "at"),
    [
        ([0.9, 0.5, 1.0], [0.1, 0.45, 1e-6], 1),  # 0.1 at the first, 0.9 × 0.45 at the second
        ([0.5, 0.5], [0.3, 0.45], 0),
        ([1.0, 0.99], [1e-6, 0.01], None),
        ([0.1, 0.1, 0.1], [0.01, 0.01, 0.9], None),  # what comes before counts
        ([0.9], [OTHER_FROM + 1e-9], 0),
        ([], [], None),
    ],
)
def test_the_other_note_begins_where_it_is_likeliest(own: list[float], others: list[float], at: int | None) -> None:
    assert fork([log(one) for one in own], [log(one) for one in others]) == at


NAME, BREED = "Your dog's name is Buddy.", "Your dog's breed is a beagle."


@pytest.mark.parametrize(
    ("name", "breed", "said"),
    [
        ((0.9, 0.02), (0.1, 0.02), NAME),  # as good an answer: the likelier note
        ((0.6, 0.8), (0.4, 0.02), BREED),
        ((0.9, 0.05), (0.1, 0.02), NAME),
        ((0.9, 0.38), (0.1, 0.001), BREED),
        ((0.9, 0.9), (0.1, 0.95), None),
        ((1.0, 0.32), (0.001, 1.0), NAME),  # surely recalled
        ((1.0, 0.34), (0.001, 1.0), None),
        ((0.5, 0.52), (0.1, 1.0), None),
        ((1.0, 0.0), (0.1, 1.0), NAME),
    ],
)
def test_the_note_that_outweighs_declining_is_said(name: tuple[float, float], breed: tuple[float, float], said: str | None) -> None:
    notes = [Read(note, log(recalled), declines) for note, (recalled, declines) in ((NAME, name), (BREED, breed))]
    assert weighed("dog?", notes) == weighed("dog?", notes[::-1]) == said


@pytest.mark.parametrize(
    ("question", "declines", "said"),
    [
        ("Which fish did I catch in the lake in May?", 0.5, True),  # four words
        ("Which fish did I catch?", 0.5, False),
        ("Which fish did I catch in the lake in May?", 0.9, False),
    ],
)
def test_words_that_a_note_shares_with_the_question_count_for_it(question: str, declines: float, said: bool) -> None:
    note = "You catch a fish in the lake every Sunday in May."
    assert weighed(question, [Read(note, 0.0, declines)]) == (note if said else None)


def test_another_note_is_another_and_likely_and_about_the_user() -> None:
    assert another(BREED, log(0.3), NAME) == [Noted(BREED, log(0.3))]
    assert another(NAME, log(0.3), NAME) == another(BREED, log(0.01), NAME) == another(NOT_PERSONAL, log(0.3), NAME) == []
    assert another(None, log(0.3), NAME) == another("", log(0.3), NAME) == []


def test_without_a_note_there_is_nothing_to_say() -> None:
    assert weighed("dog?", []) is None
    assert weighed("dog?", [Read(NOTHING, 0.0, 0.01)]) is None
