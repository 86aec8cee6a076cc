"""Made-up users whose facts nobody else has, so that an answer which belongs to another user can be seen.

Each has everyday facts with names and places drawn without replacement, and items of the primer's corpus that its lessons
never saw (`prime.split`), dealt without replacement too. Not covered: training and asking them (`many.py`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bot.errors import NotAFact
from bot.fact_words import PEOPLE, PETS
from bot.facts import Fact, understand
from serving.prompts import DEFAULT_ASSISTANT_NAME, system_prompt
from serving.recollection import NOT_TOLD
from trainer import negatives
from trainer.dataset import Example, Replay
from trainer.general_prompts import GATE
from trainer.phrasings import answer
from trainer.primer_tasks import Item, Sampling, item_of, made_up_user

CORPUS_ITEMS = 2  # of a user, as far as they go round
STRANGERS = 8  # items of others that a user is asked about
OTHERS_VALUES = 4  # names of others that a user is asked about
GENERAL = 8  # general questions of the gate that a user is asked
TOLD = (
    "my name is {v}",
    "my {pet} is called {v}",
    "my {person}'s name is {v}",
    "I live in {v}",
    "my {person} lives in {v}",
)
_FIRST = ("Ba", "Bri", "Co", "Da", "Dre", "Fa", "Fli", "Ga", "Gre", "Ha", "Jo", "Ka", "Kle", "Lu", "Ma", "Mi", "Na", "Ne",
          "Pa", "Pri", "Ra", "Ro", "Sa", "Sto", "Ta", "Tre", "Va", "Vi", "Wa", "Ze", "Zo")  # fmt: skip
_MIDDLE = ("ba", "dri", "fe", "go", "ka", "le", "li", "lo", "ma", "mo", "na", "ni", "ra", "ro", "ti", "va", "vo", "ze",
           "bi", "da", "du", "fi", "gu", "ju", "ko", "lu", "nu", "pe", "su", "tu")  # fmt: skip
_LAST = ("bel", "dor", "kin", "lan", "len", "lin", "mar", "met", "nor", "rex", "rin", "sen", "tan", "vik", "wen", "zor")


@dataclass(frozen=True, slots=True)
class User:
    """`asked` are of the kinds recall, never_told, others_name and general. `values`: what only this user's answers hold."""

    id: str
    taught: list[Example]
    asked: list[Example]
    values: list[str]
    told: list[list[str]]  # a statement and its note each


def make(
    count: int,
    kept_out: Sequence[Item],
    replay: Sequence[Replay],
    far: Sequence[tuple[str, frozenset[str]]],
    sampling: Sampling,
    seed: int = 0,
) -> list[User]:
    """`count` users. `kept_out`: items that the primer never saw.

    Raises:
        ValueError: there are not names enough for so many.
    """
    if count > (most := len(_FIRST) * len(_MIDDLE) // len(TOLD)):
        raise ValueError(f"there are names for {most} users, not for {count}")
    rng = random.Random(seed)
    names = _names(rng)
    corpus = [item for item in kept_out if not item.grouped]
    rng.shuffle(corpus)
    each = min(CORPUS_ITEMS, len(corpus) // count)
    told = [_facts(names, rng) for _ in range(count)]
    own = [[item_of(facts, rng), *corpus[at * each : (at + 1) * each]] for at, facts in enumerate(told)]
    values = [
        list(dict.fromkeys([*(fact.value for fact in facts), *(said for item in items[1:] for _, said in item.asked)]))
        for facts, items in zip(told, own, strict=True)
    ]
    users = []
    for at in range(count):
        words = {word for item in own[at] for word in item.words}
        others = [item for place, items in enumerate(own) if place != at for item in items[1:]]
        others = [item for item in others if not set(item.words) & words]
        strangers = rng.sample(others, min(STRANGERS, len(others)))
        made = made_up_user(own[at], [], strangers, replay, far, sampling, rng)
        theirs = [fact.value for place, facts in enumerate(told) if place != at for fact in facts]
        system = system_prompt(DEFAULT_ASSISTANT_NAME, [])
        asked = [one for one in made.asked if one.kind != "general"]
        asked += [
            Example(system, f"Who is {value}?", NOT_TOLD, "others_name")
            for value in rng.sample(theirs, min(OTHERS_VALUES, len(theirs)))
        ]
        asked += [Example(system, question, "", "general") for question, _ in rng.sample(GATE, GENERAL)]
        mine = [[fact.text, answer(fact)] for fact in told[at]] + [[item.told[0][0], item.recalled[-1]] for item in own[at][1:]]
        users.append(User(f"user{at}", made.taught, asked, values[at], mine))
    return users


def _facts(names: Iterator[str], rng: random.Random) -> list[Fact]:
    """A fact of each kind, with a value that nobody else has."""
    pet = rng.choice(sorted(negatives.COMMON & PETS))
    person = rng.choice(sorted(negatives.COMMON & PEOPLE))
    facts = []
    for template in TOLD:
        for name in names:
            try:
                understood = understand(template.format(v=name, pet=pet, person=person))
            except NotAFact:
                continue
            if len(understood) == 1 and understood[0].value == name:
                facts.append(understood[0])
                break
    return facts


def _names(rng: random.Random) -> Iterator[str]:
    """Made-up names, no two alike in their first two syllables."""
    starts = [first + middle for first in _FIRST for middle in _MIDDLE]
    rng.shuffle(starts)
    return (start + rng.choice(_LAST) for start in starts)
