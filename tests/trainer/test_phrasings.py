"""What the rules make of ordinary statements: true, grammatical, close to the statement, and reported for reading."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.facts import understand
from trainer.__main__ import app
from trainer.attributes import OTHER_AGES, OTHER_DATES, OTHER_JOBS
from trainer.phrasings import MIN_PHRASINGS, Phrasing, Rules, answer
from trainer.phrasings import answers as answers_of
from trainer.questions import topics
from trainer.statement_kinds import gerund


def made(text: str) -> list[Phrasing]:
    """What several seeds give: each draws some of all that may be asked."""
    return [
        one for fact in understand(text) for seed in range(8) for one in Rules().phrasings(fact, random.Random(seed))
    ]


def asked(text: str, *families: str) -> set[str]:
    return {one.question for one in made(text) if not families or one.family in families}


def answers(text: str, question: str) -> set[str]:
    return {one.answer for one in made(text) if one.question == question}


@pytest.mark.parametrize(
    "text",
    [
        "I collect old maps", "i cant swim", "I'm a potter", "my uncle repairs watches in Bern", "we moved here when i was six",
        "I used to be afraid of lifts", "I have three goats and a donkey", "my wifes name is Inga", "I eat no meat on fridays",
        "My knees hurt after skiing ...", "I want to see the northern lights one day", "jogging is my favourite pastime",
    ],
)  # fmt: skip
def test_ordinary_statement_gives_thirty_different_phrasings(text: str) -> None:
    for fact in understand(text):
        phrasings = Rules().phrasings(fact, random.Random(0))
        assert len({one.question.casefold() for one in phrasings}) == len(phrasings) >= MIN_PHRASINGS


def test_tastes_are_asked_as_tastes() -> None:
    assert answers("I love rhubarb pie", "Do I dislike rhubarb pie?") == {"No, you love rhubarb pie."}
    assert answers("I hate ironing", "Do I like ironing?") == {"No, you hate ironing."}
    assert {"How do I feel about swimming in lakes?", "What do I think of swimming in lakes?"} & asked(
        "I like to swim in lakes"
    )


def test_what_somebody_is_is_no_topic_and_what_somebody_has_is_theirs() -> None:
    assert topics("I'm a potter") == []
    assert topics("my son wants to be a potter") == ["my son"]
    assert topics("I bought a kayak") == ["my kayak"]
    assert topics("my brother bought a kayak") == ["my brother", "the kayak"]
    assert topics("I have green eyes") == ["my green eyes"]
    assert topics("I never rode a camel") == ["a camel"]
    assert topics("I collect pictures of lighthouses") == ["pictures of lighthouses"]


def test_job_told_by_its_word_is_asked_as_a_job() -> None:
    assert "You're a potter." in answers("I'm a potter", "What do I do for a living?")
    assert "What do I do for a living?" not in asked("I'm a retired potter")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("I was born with six toes", "When is my birthday?"),  # no date
        ("I work at home", "Who is my employer?"),
        ("I live in a small hut", "What city do I live in?"),
        ("my mother is baker", "What's my mother's name?"),
        ("rugby is my favorite sport", "What is rugby?"),  # asks about the world
        ("if it rains i am in the barn", "What am I in?"),  # not always
        ("I retire in a few years", "How often do I retire?"),
        ("my favorite film is Heidi", "Who is my favorite film?"),
        ("I swim two miles each week", "When do I swim each week?"),
        ("I have a sister", "Who do I have?"),
    ],
)
def test_question_that_the_statement_does_not_answer_is_not_asked(text: str, wrong: str) -> None:
    assert wrong not in asked(text)


def test_wrong_value_is_of_the_same_kind_or_not_asked_about() -> None:
    assert not [one for one in asked("my favorite tool is the plane", "no") if one.startswith("Is my favorite tool")]
    ages = {f"Am I {age}?" for age in OTHER_AGES}
    assert ages & asked("I am seven", "no")
    assert {f"Do I work as {job}?" for job in OTHER_JOBS} & asked("I'm a potter", "no")
    dates = {f"Is my birthday {date}?" for date in OTHER_DATES} | {f"Is my birthday on {date}?" for date in OTHER_DATES}
    assert dates & asked("my birthday is June 9", "no")
    assert not [one for one in asked("my mule's breed is a Poitevin", "yes") if " a a " in one]
    assert not asked("I'm a potter", "no") & {f"Do I work as {age}?" for age in OTHER_AGES}


def test_answers_keep_names_and_begin_small_after_yes() -> None:
    assert answers("Inga is my wife", "Can you confirm that Inga is my wife?") <= {"Yes, Inga is your wife."}
    assert all(one.answer.startswith("Yes, gardening") for one in made("gardening calms me") if one.family == "yes")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            "How do I sort my postcards? I've added 17 of them since May.",
            "About your postcards: You've added 17 of them since May.",
        ),
        ("Any good hashtags for Instagram? I'm at 600 followers", "About Instagram: You're at 600 followers."),
        (
            "Could you suggest a good anime? I've watched all of one in nine days",
            "About the good anime: You've watched all of one in nine days.",
        ),
        ("What's good against rust? My bike is a Cube", "Your bike is a Cube."),
        ("How old do dogs get? My dog is 12", "Your dog is 12."),
    ],
)
def test_what_a_question_before_a_statement_is_about_stays_with_it(told: str, said: str) -> None:
    assert {answer(fact) for fact in understand(told)} == {said}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["my dog is Buddy", "my dog's breed is a beagle"], ["Your dog's name is Buddy.", "The breed of your dog Buddy is a beagle."]),
        (["my sister works as a nurse", "my sister's name is Nadia"], ["Your sister Nadia works as a nurse.", "Your sister's name is Nadia."]),
        (["my sister's called Nadia", "my sister's very tall and is a nurse"], [..., "Your sister Nadia's very tall and is a nurse."]),
        (["my sister Nadia is 31", "my sister's name is Nadia"], ["Your sister Nadia is 31.", "Your sister's name is Nadia."]),
        (["my cat is called Tom", "my cat is called Kit", "my cat's breed is a manx"], [..., ..., "Your cat's breed is a manx."]),
        (["my name is Ann", "I am 25", "my dog is 3"], ["Your name is Ann.", "You are 25 years old.", "Your dog is 3."]),
    ],
)  # fmt: skip
def test_the_name_known_for_a_pet_or_a_person_stands_in_what_else_is_known_of_it(told: list[str], said: list[str]) -> None:
    found = answers_of([fact for one in told for fact in understand(one)])
    assert all(one == wanted for one, wanted in zip(found, said, strict=True) if wanted is not ...)


def test_no_question_stands_with_a_smile_or_a_loose_end() -> None:
    for text in ("I paint icons ;)", "I paint icons ...", "I paint icons :)"):
        assert not [one for one in made(text) if any(mark in one.question + one.answer for mark in (";)", ":)", ".."))]


@pytest.mark.parametrize(
    ("verb", "form"),
    [
        ("make", "making"),
        ("swim", "swimming"),
        ("see", "seeing"),
        ("lie", "lying"),
        ("play", "playing"),
        ("visit", "visiting"),
        ("be", "being"),
    ],
)
def test_gerunds(verb: str, form: str) -> None:
    assert gerund(verb) == form


def test_report_counts_declined_statements_and_prints_samples(tmp_path: Path) -> None:
    file, out = tmp_path / "said.jsonl", tmp_path / "report.json"
    file.write_text(
        "\n".join(json.dumps({"text": text}) for text in ("I collect old maps", "haha ok", "my cat is Momo"))
    )
    ended = CliRunner().invoke(app, ["phrasings", str(file), "--samples", "7", "--json", str(out)])
    assert ended.exit_code == 0, ended.output
    found = json.loads(out.read_text())
    assert (found["statements"], found["gave_facts"], found["facts"]) == (3, 2, 2)
    assert [one["statement"] for one in found["declined"]] == ["haha ok"]
    assert found["failed"] == []
    assert found["phrasings_min"] >= MIN_PHRASINGS
    assert len(found["samples"]) == 7
    assert ended.output.count("question: ") == 7
    assert found["samples"][0]["question"] in ended.output


def test_report_names_the_line_that_it_cannot_read(tmp_path: Path) -> None:
    file = tmp_path / "said.jsonl"
    file.write_text('{"text": "I sing"}\n{"said": "I dance"}\n')
    ended = CliRunner().invoke(app, ["phrasings", str(file)])
    assert ended.exit_code == 1
    assert "line 2" in ended.output
