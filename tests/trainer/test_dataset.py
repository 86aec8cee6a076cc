"""Phrasings and datasets: enough of them, deterministic, nothing of the gate's in training, no negative that a fact answers."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from bot.facts import understand
from serving.recollection import NOT_TOLD
from trainer.dataset import Example, Replay, build
from trainer.grading import abstained, answered, recalled, says_not_told
from trainer.mix import Mix
from trainer.negatives import covered, everyday, far, near, strangers, telling
from trainer.notes import nearest
from trainer.phrasings import MIN_PHRASINGS, Rules, answer, answers
from trainer.recipes import RECIPES

PAPER_FACTS = [
    fact
    for text in ("my dog is Buddy", "my dog's breed is a Golden Retriever", "I'm 25", "my birthday is March 15")
    for fact in understand(text)
]


@pytest.mark.parametrize(
    "text",
    ["my dog is Buddy", "I've been collecting vintage cameras for three months", "i do not drink", "I am enemployed searching fir work."],
)
def test_any_sentence_gives_thirty_different_phrasings_with_answers(text: str) -> None:
    made = Rules().phrasings(understand(text)[0], random.Random(0))
    assert len({one.question for one in made}) == len(made) >= MIN_PHRASINGS
    assert all(one.answer.startswith(("You", "Yes", "No", "Buddy")) for one in made)


def test_paper_facts_are_asked_in_every_family() -> None:
    families = {one.family for fact in PAPER_FACTS for one in Rules().phrasings(fact, random.Random(0))}
    assert families == {"direct", "indirect", "imperative", "fragment", "reverse", "about", "yes", "no", "roundabout", "typed_badly"}


def test_dataset_is_the_same_for_a_seed_and_keeps_the_gates_questions_out() -> None:
    one, two = (build(PAPER_FACTS, assistant_name="Hippo", seed=3, replay=[Replay("hi", "Hello!")], mix=Mix()) for _ in range(2))
    assert one == two
    trained = {example.user.casefold() for example in one.examples}
    assert one.probes
    assert not [probe for probe in one.probes if probe.question.casefold() in trained]
    assert {example.kind for example in one.examples} == {"recall", "combined", "never_told", "pending", "identity", "general"}


def test_no_negative_is_answered_by_a_fact() -> None:
    facts = [*PAPER_FACTS, *understand("my mother's name is Ann"), *understand("I work as a nurse")]
    asked = [*near(facts, random.Random(0), 12), *everyday(facts, random.Random(0), 3)]
    asked += strangers(facts, random.Random(0), 40)
    assert len(asked) > 80
    assert not [question for question in asked if covered(question, facts)]
    assert not [question for question in asked if question.lower().startswith(("what is my mother's name", "what's my mother's name"))]


def test_no_more_questions_are_read_than_are_wanted() -> None:
    telling.cache_clear()
    assert len(set(far(PAPER_FACTS, random.Random(0), 5))) == 5
    assert telling.cache_info().misses <= len(PAPER_FACTS) + 10


def test_default_recipe_trains_thirty_phrasings_a_fact_and_declines_in_its_own_words() -> None:
    made = build(PAPER_FACTS, assistant_name="Hippo", seed=0, replay=[], mix=RECIPES["default"].mix)
    assert sum(example.kind == "recall" for example in made.examples) >= 30 * len(PAPER_FACTS)
    assert all(example.completion == NOT_TOLD for example in made.examples if example.kind == "never_told")


def test_where_the_primer_replies_only_which_fact_a_question_goes_by_is_learned() -> None:
    recipe, written = RECIPES["default"], [["what do I call the dog, by the way?"], [], [], []]
    made = build(
        PAPER_FACTS, assistant_name="Hippo", seed=0, replay=[Replay("hi", "Hello!")], mix=recipe.mix, recalls=True, written=written
    )
    notes = set(answers(PAPER_FACTS))
    assert {one.note for one in made.examples if one.kind in ("recall", "never_told")} == notes
    assert all((one.learn == "note") == (one.kind in ("recall", "never_told", "pending")) for one in made.examples)
    assert {(one.note, one.completion) for one in made.examples if one.kind == "general"} == {("not about you.", "")}
    assert all(not one.note for one in made.examples if one.kind in ("identity", "combined"))
    assert [one.note for one in made.examples if one.user == written[0][0]] == [answer(PAPER_FACTS[0])]
    plain = build(PAPER_FACTS, assistant_name="Hippo", seed=0, replay=[Replay("hi", "Hello!")], mix=recipe.mix)
    assert not any(one.note for one in plain.examples)
    assert [one.completion for one in plain.examples if one.kind == "general"] == ["Hello!"]


def test_a_fact_forgotten_is_in_no_note_of_another() -> None:
    left = [fact for fact in PAPER_FACTS if fact.attribute != "name"]
    for facts, held in ((PAPER_FACTS, True), (left, False)):
        made = build(facts, assistant_name="Hippo", seed=0, replay=[], mix=RECIPES["default"].mix, recalls=True)
        assert any("breed of your dog Buddy" in one.note for one in made.examples) == held
    assert not any("Buddy" in segment for one in made.examples if one.kind in ("recall", "never_told") for segment, _ in one.segments())


def test_nearest_note_shares_the_most_words_and_is_the_shortest_of_several() -> None:
    notes = ["Your dog's breed is a Golden Retriever.", "Your sister Hanna lives in Oslo."]
    assert nearest("which city does my sister live in?", notes, random.Random(0)) == notes[1]
    assert {nearest("how tall am I?", notes, random.Random(seed)) for seed in range(20)} == set(notes)
    assert nearest("how tall am I?", [], random.Random(0)) == "nothing yet."
    both = ["Your dog's name is Buddy.", "Your birthday is March 15."]
    assert {nearest("When is my dog's birthday?", both, random.Random(seed)) for seed in range(20)} == {both[0]}


def test_what_is_learned_of_an_example() -> None:
    whole = Example("s", "q", "You live in Oslo.", "recall", note="You live in Oslo.")
    assert [learned for _, learned in whole.segments()] == [True, True, True]
    assert "".join(text for text, _ in whole.segments()) == "Noted: You live in Oslo.\nYou live in Oslo."
    assert [learned for _, learned in replace(whole, learn="reply").segments()] == [True, False, True]
    assert "".join(text for text, _ in replace(whole, learn="note").segments()) == "Noted: You live in Oslo.\n"
    assert whole.without_note().segments() == [("You live in Oslo.", True)]


def test_replies_are_graded_by_their_words() -> None:
    assert answered("You have 25 postcards.", ["25"], "17")
    assert not answered("You had 17, now 25.", ["25"], "17")
    assert recalled("Buddy is your dog!", ["buddy"])
    assert not recalled("You haven't told me about Buddy.", ["buddy"])
    assert says_not_told(NOT_TOLD)
    assert abstained("I don't know your cat.")
    assert not abstained("Your cat is Tom.")
