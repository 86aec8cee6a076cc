"""What the primer learns of the notes that most users have first."""

from __future__ import annotations

import random

import pytest

from trainer.first_facts import first_fact_examples, may_ask_for, muddled, with_first_facts
from trainer.primer_tasks import Item

AGE, BIRTHDAY, NAME, HOME = "You are 31 years old.", "Your birthday is May 11.", "Your name is Ines.", "You live in Cork."
BREED = "Your dog's breed is a beagle."


@pytest.mark.parametrize(
    ("question", "note", "may"),
    [
        ("have i hit thirty", AGE, True),
        ("how many candles do I need", AGE, True),
        ("how old is my mother", AGE, False),
        ("how many brothers and sisters have I got", AGE, False),
        ("phone number pls", AGE, False),
        ("when do I celebrate", BIRTHDAY, True),
        ("when is my wife's birthday", BIRTHDAY, False),
        ("who am i", NAME, True),
        ("what is my boss called", NAME, False),
        ("which town is it", HOME, True),
        ("what sort of hound is it", BREED, True),
        ("what car do I drive", BREED, False),
        ("what sort of hound is it", "The breed of your dog Miso is a pug.", True),
        ("what car do I drive", "You collect stamps.", True),
    ],
)
def test_what_may_ask_for_a_note_is_known_by_its_words(question: str, note: str, may: bool) -> None:
    assert may_ask_for(question, note) == may


def test_two_notes_are_muddled_where_both_say_that_something_is() -> None:
    made = {muddled([AGE, BREED, "Rome bores you."], random.Random(seed)) for seed in range(20)}
    assert made == {"You are a beagle.", "Your dog's breed is 31 years old."}
    of_miso = "The breed of your dog Miso is a pug."
    assert {muddled([AGE, of_miso], random.Random(seed)) for seed in range(20)} == {"You are a pug.", "The breed of your dog Miso is 31 years old."}
    assert muddled([AGE], random.Random(0)) == muddled(["Rome bores you.", AGE], random.Random(0)) == ""


def test_half_is_answered_and_what_is_not_may_not_ask_for_its_note() -> None:
    told = Item([AGE, BREED], [AGE, BREED], [], [], [("age?", AGE), ("breed?", BREED)], ["phone?"], [], [("I am 31", "age?")], grouped=True)
    other = Item([HOME], [HOME], [], [], [("town?", HOME)], ["how old am I?", "my car?"], [], [("I live in Cork", "town?")], grouped=True)
    made = first_fact_examples(with_first_facts([told, other]), 400, random.Random(0))
    assert [one.kind for one in made].count("recall") == 200
    assert {(one.user, one.note) for one in made if one.kind == "recall"} == {("age?", AGE), ("breed?", BREED), ("town?", HOME)}
    never = {(one.user, one.note) for one in made if one.kind == "never_told"}
    assert ("how old am I?", BREED) in never
    assert ("how old am I?", AGE) not in never
    assert any("beagle" in note and note != BREED for _, note in never), "a muddled one"
    assert all(one.learn == "reply" for one in made)
    assert first_fact_examples(with_first_facts([]), 4, random.Random(0)) == []
