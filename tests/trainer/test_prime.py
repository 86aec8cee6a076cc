"""Making a primer, both with and without notes, on a small random base: it is written, measured, and starts a training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from serving import primers
from trainer.base import LoadedBase
from trainer.prime import prime
from trainer.primer import start_folder
from trainer.primer_tasks import Item
from trainer.recipes import RECIPES

THINGS = ("kites", "stamps", "teapots", "maps", "drums", "lamps", "plates", "coins", "shells", "ropes")


def item(number: int) -> Item:
    thing, told = THINGS[number % 10], f"I own {number} {THINGS[number % 10]}."
    note = f"You own {number} {thing}."
    asked = [(f"How many {thing} do I own?", note), (f"{thing}, how many?", note), (f"Do I own {number} {thing}?", f"Yes, you own {number}.")]
    missing = [f"Where are my {thing}?", f"Who gave me {thing}?"]
    return Item([note], [note], [asked], missing, asked, missing, [thing], told)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["default", "recall-first"])
def test_a_primer_is_made_measured_and_found(name: str, llama_base: LoadedBase, tmp_path: Path) -> None:
    recipe = replace(RECIPES[name], rank=4, alpha=8, epochs=1)
    out = llama_base.path.parent / f"primer-{llama_base.path.name}"
    out.mkdir()
    (out / "replay.json").write_text(json.dumps([[f"Say {n}.", f"{n}!", n % 2 == 0] for n in range(20)]))
    far = [("What is my shoe size?", frozenset(["shoe", "size"])), ("Where was I born?", frozenset(["born"]))]
    made = prime(llama_base, [item(n) for n in range(240)], far, recipe, out, 0.05, slots=2, own_prompts=0)
    assert {lesson for lesson, *_ in made["log"]} == {"context", "meta"}
    assert made["general_base"] >= made["general"] >= 0
    assert set(made["kept_out"]["asked"]) == {"recall", "never_told", "pending", "general"}
    assert json.loads((out / "primer.json").read_text())["recipe"] == name
    assert primers.find(llama_base.ref, llama_base.path) == out == start_folder(llama_base, recipe)
