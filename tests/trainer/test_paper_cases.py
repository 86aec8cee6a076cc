"""The paper's facts asked in 200 ways, and 50 questions never told; users to tune on: readable by `evaluate`, unseen by any training."""

from __future__ import annotations

import random

import pytest

from serving.recollection import NOT_TOLD
from tests.conftest import ROOT
from trainer.cases import Person, read
from trainer.dataset import build
from trainer.grading import abstained, answered
from trainer.negatives import corpus_questions, far_questions
from trainer.phrasings import Rules, answer, same_question
from trainer.recipes import RECIPES

VALUES = {"Buddy", "dog", "Golden Retriever", "25", "March 15"}


@pytest.fixture(scope="module")
def paper() -> Person:
    (person,) = read(ROOT / "trainer" / "paper_cases.jsonl")
    return person


def test_two_hundred_different_phrasings_of_the_papers_facts_and_fifty_questions_never_told(paper: Person) -> None:
    told = [(fact.subject, fact.attribute) for fact in paper.facts()]
    assert told == [("dog", "name"), ("dog", "breed"), ("", "age"), ("", "birthday")]
    asked = {same_question(one.text): one for one in paper.questions}
    assert len(asked) == len(paper.questions) == 250
    answerable = [one for one in paper.questions if one.answerable]
    assert len(answerable) == 200
    assert all(set(one.answers) & (VALUES | {"March", "15"}) for one in answerable)


def test_what_the_facts_say_is_graded_as_right_and_declining_is_not(paper: Person) -> None:
    said = [answer(fact) for fact in paper.facts()]
    for one in paper.questions:
        if one.answerable:
            assert any(answered(reply, one.answers) for reply in said), one.text
            assert not answered(NOT_TOLD, one.answers), one.text
    assert abstained(NOT_TOLD)


def test_users_to_tune_on_are_asked_what_they_told_and_what_they_did_not() -> None:
    for user in read(ROOT / "trainer" / "tuning_cases.jsonl"):
        assert [sum(one.answerable is told for one in user.questions) for told in (True, False)] == [30, 20]
        assert user.facts()


def test_no_training_ever_sees_one_of_the_questions(paper: Person) -> None:
    facts, asked = paper.facts(), {same_question(one.text) for one in paper.questions}
    trained = {same_question(one) for one in (*corpus_questions(), *far_questions())}  # the primer's training
    for recipe in RECIPES.values():
        for seed in range(3):
            made = build(facts, assistant_name="Hippo", seed=seed, replay=[], mix=recipe.mix)
            trained |= {same_question(one.user) for one in made.examples}
    for seed in range(30):
        trained |= {
            same_question(one.question) for fact in facts for one in Rules().phrasings(fact, random.Random(seed))
        }
    assert len(trained) > 500
    assert sorted(asked & trained) == []
