"""Making a primer on a small random base: it is written, measured, and starts a training."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from serving import primers
from trainer.base import LoadedBase
from trainer.mistaken import with_mistaken
from trainer.prime import prime, split
from trainer.primer import start_folder
from trainer.primer_tasks import Item, context_examples, verifying_examples
from trainer.recipes import RECIPES

THINGS = ("kites", "stamps", "teapots", "maps", "drums", "lamps", "plates", "coins", "shells", "ropes")


def item(number: int) -> Item:
    thing, told = THINGS[number % 10], f"I own {number} {THINGS[number % 10]}."
    note = f"You own {number} {thing}."
    asked = [(f"How many {thing} do I own?", note), (f"{thing}, how many?", note), (f"Do I own {number} {thing}?", f"Yes, you own {number}.")]
    missing = [f"Where are my {thing}?", f"Who gave me {thing}?"]
    told = [(told, question) for question, _ in asked]
    return Item([note], [note], [asked], missing, asked, missing, [thing], told)


@pytest.mark.slow
def test_a_primer_is_made_measured_and_found(llama_base: LoadedBase, tmp_path: Path) -> None:
    recipe = replace(RECIPES["default"], rank=4, alpha=8, epochs=1)
    out = llama_base.path.parent / f"primer-{llama_base.path.name}"
    assert start_folder(llama_base, recipe) is None
    made = prime(llama_base, [item(n) for n in range(240)], recipe, out, 0.05, slots=2, own_prompts=0)
    assert made["log"]
    assert set(made["kept_out"]) == {
        *("read, recall", "read, never_told", "in the prompt, pending", "in the prompt, never_told", "general"),
        *("changes seen", "told beside another and left"),
    }
    assert json.loads((out / "primer.json").read_text())["reads_notes"]
    assert primers.find(llama_base.ref, llama_base.path) == out == start_folder(llama_base, recipe)
    assert start_folder(llama_base, replace(recipe, rank=8)) is None
    assert start_folder(llama_base, replace(recipe, rank=2)) == out, "a smaller one begins with what it has room for"
    (out / "primer.json").write_text("{}")
    assert primers.find(llama_base.ref, llama_base.path) is None, "one that reads no notes"


def test_items_are_kept_out_whatever_else_is_in_the_corpus() -> None:
    items = [item(n) for n in range(200)]
    (pool, kept_out), (fewer, fewer_out) = split(items), split(items[:100])
    assert len(pool) + len(kept_out) == 200
    assert 5 < len(kept_out) < 50
    assert fewer_out == [one for one in kept_out if one in items[:100]]
    assert fewer == [one for one in pool if one in items[:100]]


def test_half_of_what_is_read_answers_and_half_does_not() -> None:
    group = Item(
        notes=["Your dog is Milo.", "Your dog is a beagle."],
        recalled=["Your dog is Milo.", "Your dog is a beagle."],
        taught=[[("My dog?", "Your dog is Milo.")], [("Which breed?", "Your dog is a beagle.")]],
        near=["My cat?"],
        asked=[("My dog?", "Your dog is Milo."), ("Which breed?", "Your dog is a beagle.")],
        not_told=["How old is my dog?"],
        words=["dog"],
        told=[("my dog is Milo", "My dog?"), ("my dog is a beagle", "Which breed?")],
        grouped=True,
    )
    made = verifying_examples([*(item(n) for n in range(60)), group], 600, random.Random(0))
    answered = [one for one in made if one.kind == "recall"]
    assert len(answered) == 300
    assert all(one.learn == "reply" for one in made)
    assert {one.note for one in made if one.user == "Which breed?" and one.kind == "never_told"} >= {"Your dog is Milo."}
    assert {one.note for one in answered if one.user == "Which breed?"} == {"Your dog is a beagle."}


def test_items_that_the_rules_ask_nothing_about_are_asked_about_by_people() -> None:
    without = [replace(item(number), taught=[[]], near=[]) for number in range(60)]
    with_one = [*without, replace(item(60), taught=[[("By rule?", "You own 60 kites.")]])]
    for pool in (without, with_one):
        made = context_examples(pool, 400, random.Random(0)) + verifying_examples(pool, 600, random.Random(0))
        assert {one.kind for one in made} == {"pending", "recall", "never_told"}
        assert any(one.user == "By rule?" for one in made) == (pool is with_one)


def told(said: str, question: str, not_told: str = "Where?", changed: str = "") -> Item:
    note = f"You said: {said}"
    return Item([note], [note], [[(question, note)]], [], [(question, note)], [not_told], [], [(said, question)], changed=changed)


def test_a_question_counts_as_mistakable_only_where_what_ties_it_to_its_fact_is_missing() -> None:
    others = [told(f"My {thing} {n} is in shed {n}", f"Where is my {thing} {n}?") for thing in THINGS for n in range(4)]
    lantern = told("I took photos at the lantern festival", "Who took photos at the festival?")
    wedding = told("I took photos at the wedding of Ines", "Whose photos?")
    *_, at_festival, at_wedding = with_mistaken([*others, lantern, wedding])
    assert at_wedding.mistaken == ["Who took photos at the festival?"]
    assert at_festival.mistaken == [], "it has all that ties the question to the wedding"
