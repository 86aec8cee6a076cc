"""Many made-up users: nobody's values are another's, replies in one batch are each adapter's own, and a leak is seen."""

from __future__ import annotations

import json
import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from serving import primers
from serving.recollection import NOT_TOLD
from tests.trainer.conftest import examples
from tests.trainer.test_lora_stack import filled
from trainer import many, primer_tasks, vary
from trainer.__main__ import app
from trainer.base import LoadedBase
from trainer.dataset import Example
from trainer.fitting import covers
from trainer.generate import generate
from trainer.generate_stacked import generate_stacked
from trainer.grading import holds
from trainer.many_users import User, make
from trainer.mix import Mix
from trainer.primer_tasks import CORPUS, Item, Sampling, _item
from trainer.recipes import RECIPES, Recipe

FEW = Sampling(phrasings_per_fact=24, near_per_fact=4, far=8, pending=2, identity=1, replay=4, asked_per_item=4)


@pytest.fixture(scope="module")
def corpus() -> list[Item]:
    rows = [json.loads(line) for line in (CORPUS / "home.jsonl").read_text(encoding="utf-8").splitlines()[:12]]
    with pytest.MonkeyPatch.context() as all_kept_out:  # of which the rules ask
        all_kept_out.setattr(primer_tasks, "KEPT_OUT_OF", 1)
        return [item for row in rows if (item := _item(row, random.Random(0)))]


def test_nobody_has_another_users_values(corpus: list[Item]) -> None:
    users = make(4, corpus, [], [], FEW)
    for user in users:
        others = {value for other in users if other is not user for value in other.values}
        assert not others & set(user.values)
        said = [one.completion for one in [*user.taught, *user.asked] if one.completion != NOT_TOLD]
        assert not [one for one in said for value in others if holds(one, value)]
        recall = [one for one in user.asked if one.kind == "recall"]
        assert len(recall) > 8
        assert not {one.user for one in recall} & {one.user for one in user.taught}, "asked as it was never taught"
        named = [value for value in others if any(one.user == f"Who is {value}?" for one in user.asked)]
        assert len(named) == 4, "others' names are asked about too"


def test_users_are_the_same_for_a_seed_and_too_many_are_refused(corpus: list[Item]) -> None:
    assert make(2, corpus, [], [], FEW, seed=3) == make(2, corpus, [], [], FEW, seed=3)
    assert make(2, corpus, [], [], FEW, seed=3) != make(2, corpus, [], [], FEW, seed=4)
    with pytest.raises(ValueError, match="not for 1000"):
        make(1000, corpus, [], [], FEW)


def test_replies_of_a_stack_are_those_of_each_adapter_alone(
    small_base: LoadedBase, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.generate_stacked.BATCH_SIZE", {"cpu": 6})  # several passes
    stack = filled(small_base, replace(recipe, target_modules=("q_proj", "v_proj", "up_proj", "down_proj")), 3)
    stack.master.mul_(4)  # so that adapters differ in what they say
    asked = [
        [
            [{"role": "system", "content": one.system}, {"role": "user", "content": one.user}]
            for one in examples(count, 1)
        ]
        for count in (5, 2, 3)
    ]
    together = generate_stacked(small_base, stack, asked, 8)
    for slot, own in enumerate(asked):
        stack.save_slot(slot, tmp_path / str(slot), small_base.ref)
        assert together[slot] == generate(small_base, tmp_path / str(slot), own, 8)
    assert together[0][:2] != together[1], "the same questions of two adapters"
    assert generate(small_base, None, asked[1], 8) != together[1], "the base is as it was"


ANN = User("ann", [], [], ["Briba", "You live in Kaloro."], [])
BOB = User("bob", [], [], ["Zonurex"], [])


@pytest.mark.parametrize(
    ("question", "reply", "leaked"),
    [
        ("What's my dog's name?", "Your dog's name is Zonurex.", ("Zonurex",)),
        ("What's my dog's name?", "Your dog's name is Briba.", ()),
        ("Who is Zonurex?", "You haven't told me who Zonurex is.", ()),
        ("Where do I live?", "You live in Kaloro.", ()),
        ("Where do I live?", NOT_TOLD, ()),
    ],
)
def test_an_answer_of_another_user_is_seen(question: str, reply: str, leaked: tuple[str, ...]) -> None:
    assert many.graded(ANN, [ANN, BOB], "recall", question, "-", reply).leaked == leaked


def test_scores_count_by_kind_and_name_every_leak() -> None:
    replies = [
        many.graded(ANN, [ANN, BOB], "recall", "My dog?", "Your dog is Briba.", "Your dog is Briba."),
        many.graded(BOB, [ANN, BOB], "recall", "My dog?", "Your dog is Zonurex.", "Your dog is Briba."),
        many.graded(BOB, [ANN, BOB], "never_told", "My cat?", NOT_TOLD, "You haven't told me about a cat."),
    ]
    found = many.scores(replies)
    assert (found["recall_right"], found["recall_asked"], found["recall"]) == (1, 2, 0.5)
    assert (found["abstention"], found["others_names_declined"], found["lowest_recall_of_a_user"]) == (1.0, None, 0.0)
    assert [(one["user"], one["leaked"]) for one in found["leaks"]] == [("bob", ("Briba",))]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_users_trained_together_answer_for_themselves(
    bundled_folder: Path, corpus: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = Mix(phrasings_per_fact=24, near_per_fact=4, far=8, pending=2, identity=1, replay=4)
    monkeypatch.setitem(RECIPES, "default", replace(RECIPES["default"], mix=few))
    monkeypatch.setattr(many, "ASKED_PER_ITEM", 4)
    monkeypatch.setattr(primer_tasks, "KEPT_OUT_OF", 1)  # all of the few items below
    tasks, made, out = tmp_path / "tasks.json", tmp_path / "made.json", tmp_path / "out.json"
    tasks.write_text(json.dumps({"items": [asdict(one) for one in corpus], "far": []}))
    run = CliRunner().invoke(app, ["many", "--users", "3", "--tasks", str(tasks), "--prepare", str(made)])
    assert run.exit_code == 0, run.output
    run = CliRunner().invoke(
        app, ["many", "--made", str(made), "--model", str(bundled_folder), "--device", "cpu", "--json", str(out)]
    )
    report: dict[str, Any] = json.loads(out.read_text())
    assert report["users"] == 3
    assert report["leaks"] == []
    assert run.exit_code == 0, run.output
    assert report["recall"] > 0.6
    assert report["abstention_asked"] > 20  # how many are declined is not held: so few teach little of that
    assert "answers of another user" in run.output
    assert len(report["replies"]) == sum(len(one["asked"]) for one in json.loads(made.read_text()))
    small, rows = "rank 4, attention only", tmp_path / "rows.json"
    asked = ["vary", "--made", str(made), "--model", str(bundled_folder), "--device", "cpu", "--users", "1"]
    for _ in range(2):  # the second time there is nothing left to measure
        run = CliRunner().invoke(app, [*asked, "--only", small, "--json", str(rows)])
        assert run.exit_code == 0, run.output
    (row,) = json.loads(rows.read_text())["rows"].values()
    assert row["users"] == 1
    assert 0 < row["recall"] <= 1
    assert 5e5 < row["adapter_bytes"] < 2e6
    assert run.output.count(small) == 1


def test_a_variation_thins_the_examples_of_a_kind_evenly_and_words_the_system_prompt() -> None:
    taught = [Example("S", str(number), "", kind) for number in range(8) for kind in ("recall", "general")]
    taught.append(Example("S\nI have just told you:\n- X.", "pending?", "", "pending"))
    user = User("ann", taught, [Example("S", "Q", "", "recall")], [], [])
    thin = vary.varied(user, vary.Variation(kept={"recall": 0.5, "general": 0.0}, system="T"))
    assert [(one.system, one.user) for one in thin.taught] == [
        *(("T", number) for number in "1357"),
        ("S\nI have just told you:\n- X.", "pending?"),
    ]
    assert thin.asked[0].system == "T"
    assert vary.varied(user, vary.Variation()) == user


def test_every_variation_is_a_recipe_that_begins_with_what_the_primer_has() -> None:
    for name, one in vary.variations(30).items():
        recipe = replace(RECIPES["default"], **one.recipe)
        assert name == "default" or one != vary.Variation()
        assert covers(primers.SHIPPED, recipe)
