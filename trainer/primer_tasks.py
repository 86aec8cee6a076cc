"""Made-up users for the primer: what they told, what their adapter would be trained on, and what people would ask them.

From the corpus beside this file (`primer_corpus/`, statements and questions written by hand for this project), each item is
turned once into rule-made training questions (as the trainer does for real users) and hand-written questions (as people
ask). `sample_user` deals some items to a made-up user: `taught` is that user's ordinary training set, `asked` what the
adapter should answer after it. Not covered: training (`prime.py`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import NotAFact
from bot.facts import Fact, replaces, understand, you_form
from serving.prompts import system_prompt
from trainer import negatives
from trainer.dataset import Example, identity_examples, pending_examples
from trainer.negatives import NOT_TOLD
from trainer.phrasings import Rules, answer, saying_no, saying_yes

CORPUS = Path(__file__).with_name("primer_corpus")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing told. `taught` are rule-made (question, answer); `near` rule-made questions that it does not answer;
    `asked` hand-written (question, answer); `not_told` hand-written questions that it does not answer."""

    note: str  # the newest statement, in the second person
    taught: list[list[tuple[str, str]]]  # one list a fact
    near: list[str]
    asked: list[tuple[str, str]]
    not_told: list[str]
    words: list[str]

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Item:
        """From JSON, where pairs are lists."""
        taught = [[(question, said) for question, said in fact] for fact in row["taught"]]
        asked = [(question, said) for question, said in row["asked"]]
        return cls(row["note"], taught, row["near"], asked, row["not_told"], row["words"])


@dataclass(frozen=True, slots=True)
class MadeUpUser:
    taught: list[Example]
    asked: list[Example]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How much of everything a made-up user gets."""

    phrasings_per_fact: int = 30
    near_per_fact: int = 6
    far: int = 30
    pending: int = 8
    identity: int = 4
    replay: int = 12
    asked_per_item: int = 3


def items(seed: int = 0) -> list[Item]:
    """The whole corpus, prepared (minutes)."""
    rng = random.Random(seed)
    prepared = []
    for file in sorted(CORPUS.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            item = _item(json.loads(line), rng)
            if item:
                prepared.append(item)
    return prepared


def _item(row: dict[str, list[str]], rng: random.Random) -> Item | None:
    """None where the statements give no fact or more than one newest fact: no single answer could be expected."""
    facts: list[Fact] = []
    for told in row["told"]:
        try:
            new = understand(told)
        except NotAFact:
            return None
        if len(new) != 1:
            return None
        facts = [old for old in facts if not replaces(new[0], old)] + new
    said = answer(facts[-1])
    asked = [(question, said) for question in row["ask"]]
    asked += [(question, saying_yes(said)) for question in row["yes"]]
    asked += [(question, saying_no(said)) for question in row["no"]]
    near = negatives.near(facts, rng, 12)
    return Item(
        note=you_form(facts[-1].text),
        taught=[[(one.question, one.answer) for one in Rules().phrasings(fact, rng)] for fact in facts],
        near=near,
        asked=asked,
        not_told=row["not_told"],
        words=sorted(negatives.telling(" ".join([fact.text for fact in facts] + [said]))),
    )


def sample_user(
    pool: Sequence[Item],
    count: int,
    replay: Sequence[tuple[str, str]],
    far: Sequence[tuple[str, frozenset[str]]],
    sampling: Sampling,
    rng: random.Random,
    assistant_name: str = "Hippo",
) -> MadeUpUser:
    """A user with `count` trained items, some pending ones, and questions of strangers to be answered with "not told"."""
    system = system_prompt(assistant_name, [])
    dealt = rng.sample(list(pool), count + 2 + 8)
    own, pending, strangers = dealt[:count], dealt[count : count + 2], dealt[count + 2 :]
    words = {word for item in own for word in item.words}
    taught = []
    for item in own:
        for fact in item.taught:
            chosen = rng.sample(fact, min(sampling.phrasings_per_fact, len(fact)))
            taught += [Example(system, question, said, "recall") for question, said in chosen]
    near = [question for item in own for question in rng.sample(item.near, min(sampling.near_per_fact, len(item.near)))]
    distant = [question for question, asked in far if len(asked & words) * 2 < len(asked)]
    distant = rng.sample(distant, min(sampling.far, len(distant)))
    taught += [Example(system, question, NOT_TOLD, "never_told") for question in [*near, *distant[len(distant) // 4 :]]]
    taught += pending_examples(assistant_name, rng, sampling.pending)
    taught += rng.sample(identity_examples(assistant_name, system), sampling.identity)
    taught += [
        Example(system, question, said, "general")
        for question, said in rng.sample(list(replay), min(len(replay), sampling.replay))
    ]
    return MadeUpUser(taught, _asked(own, pending, strangers, distant, replay, sampling, rng, assistant_name))


def _asked(
    own: Sequence[Item],
    pending: Sequence[Item],
    strangers: Sequence[Item],
    distant: Sequence[str],
    replay: Sequence[tuple[str, str]],
    sampling: Sampling,
    rng: random.Random,
    assistant_name: str,
) -> list[Example]:
    """What the trained adapter is asked: its facts, what was never told, and both beside facts in the prompt."""
    system = system_prompt(assistant_name, [])
    noted = system_prompt(assistant_name, [item.note for item in pending])
    asked = []
    for item in own:
        here = system if rng.random() < 0.85 else noted
        chosen = rng.sample(item.asked, min(sampling.asked_per_item, len(item.asked)))
        asked += [Example(here, question, said, "recall") for question, said in chosen]
        asked += [
            Example(here, question, NOT_TOLD, "never_told")
            for question in rng.sample(item.not_told, min(2, len(item.not_told)))
        ]
    for item in pending:
        question, said = rng.choice(item.asked)
        asked.append(Example(noted, question, said, "pending"))
        asked.append(Example(noted, rng.choice(item.not_told), NOT_TOLD, "never_told"))
    for item in strangers:
        here = system if rng.random() < 0.8 else noted
        asked.append(Example(here, rng.choice(item.asked)[0], NOT_TOLD, "never_told"))
    asked += [Example(system, question, NOT_TOLD, "never_told") for question in distant[: len(distant) // 4]]
    asked += [
        Example(system, question, said, "general") for question, said in rng.sample(list(replay), min(len(replay), 8))
    ]
    return asked


def context_examples(
    pool: Sequence[Item], count: int, rng: random.Random, assistant_name: str = "Hippo"
) -> list[Example]:
    """`count` questions about facts that stand in the prompt, or do not: the primer's first lesson, before any user."""
    examples: list[Example] = []
    while len(examples) < count:
        dealt = rng.sample(list(pool), rng.randint(1, 5) + 1)
        told, other = dealt[:-1], dealt[-1]
        noted = system_prompt(assistant_name, [item.note for item in told])
        item = rng.choice(told)
        question, said = rng.choice(item.asked + rng.sample(item.taught[-1], 4))
        bare = system_prompt(assistant_name, [])
        examples += [
            Example(noted, question, said, "pending"),
            Example(noted, rng.choice(item.not_told), NOT_TOLD, "never_told"),
            Example(noted if rng.random() < 0.5 else bare, rng.choice(other.asked)[0], NOT_TOLD, "never_told"),
        ]
    return examples[:count]
