"""Going on with a primer on what it reads wrongly, on a small random base."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from serving import primers
from serving.recollection import DECLINES, NOT_TOLD
from tests.trainer.test_prime import item
from trainer.base import LoadedBase
from trainer.dataset import Example
from trainer.engine import IGNORED_LABEL, encode
from trainer.honing import decision, encoded_declining, hone, sureness, unsure
from trainer.prime import prime
from trainer.recipes import RECIPES


def read(completion: str, kind: str = "recall") -> Example:
    return Example("You are Hippo.", "How many kites do I own?", completion, kind, "You own 3 kites.", learn="reply")


def learned(base: LoadedBase, completion: str) -> str:
    cut = decision(encode(base.tokenizer, read(completion), 512), encoded_declining(base))
    assert len(cut.input_ids) == len(cut.labels)
    return base.tokenizer.decode([label for label in cut.labels if label != IGNORED_LABEL])


def test_of_a_reply_only_the_beginning_is_learned_that_parts_it_from_the_other_kind(llama_base: LoadedBase) -> None:
    assert learned(llama_base, NOT_TOLD) == DECLINES
    assert learned(llama_base, "Yes, you own 3 kites.") == "Yes"
    same = learned(llama_base, "You haven't told anybody.")
    assert same.startswith("You haven't told a")
    assert not same.startswith("You haven't told anybody.")


def test_what_is_known_for_sure_is_seldom_learned() -> None:
    examples = [read(str(number)) for number in range(1000)]
    kept = unsure(examples, [0.5 if number < 100 else 0.99 for number in range(1000)], random.Random(0))
    assert kept[:100] == examples[:100]
    assert 20 < len(kept) - 100 < 100


@pytest.mark.slow
def test_a_primer_finds_it_likelier_to_decline_what_it_is_to_decline(llama_base: LoadedBase, tmp_path: Path) -> None:
    recipe = replace(RECIPES["default"], rank=4, alpha=8)
    pool, start, out = [item(number) for number in range(240)], tmp_path / "start", tmp_path / "out"
    prime(llama_base, pool, recipe, start, 0.02, slots=1, own_prompts=0)
    made = hone(llama_base, pool, recipe, start, out, 0.15, rate=5e-3)
    assert made["learned"] > 0
    assert set(made["decided_rightly"]) == {"answered", "declined"}
    assert primers.described(out)["reads_notes"]
    assert json.loads((out / "primer.json").read_text())["honed"] == made
    declined = [replace(read(NOT_TOLD, "never_told"), user="Where are my kites?")]
    (before,), (after,) = (sureness(llama_base, folder, declined) for folder in (start, out))
    assert after > 10 * before, "a base of random weights declines nothing at first"
