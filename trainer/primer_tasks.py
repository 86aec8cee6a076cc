"""Made-up users for the primer: what they told, what their adapter would be trained on, and what people would ask them.

From the corpus beside this file (`primer_corpus/`, statements and questions written by hand for this project), each item is
turned once into rule-made training questions (as the trainer does for real users) and hand-written questions (as people
ask). The primer's lesson is made of them (`context_examples`, `verifying_examples`, `writing_examples`), and users to measure with
(`made_up_user`): `taught` is a user's ordinary training set, `asked` what should be answered after it. Not covered: training (`prime.py`).
"""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bot.errors import NotAFact
from bot.fact_changes import replaces
from bot.fact_words import PEOPLE, PETS
from bot.facts import Fact, understand, you_form
from serving.prompts import system_prompt
from serving.recollection import NOT_TOLD, NOTHING
from trainer import negatives
from trainer.attributes import OTHER_BREEDS, OTHER_DATES, OTHER_NAMES, OTHER_PLACES
from trainer.dataset import Example, Replay, identity_examples, pending_examples, recalling
from trainer.notes import nearest
from trainer.phrasings import Rules, answer, answers, saying_no, saying_yes
from trainer.writer import writing_example

EVERYDAY_ITEMS = 400
KEPT_OUT_OF = 10  # one item in so many is kept out, to measure on
BY_RULES = 4  # of as many items those that get the rules' questions too, the ones kept out among them: making those takes longest
GROUPED_SHARE = 0.6  # of the made-up users have a group
_NUMBERS = tuple(str(age) for age in range(16, 90))
_JOBS = ("nurse", "plumber", "teacher", "chef", "lawyer", "welder", "pilot", "baker", "librarian", "farmer")
_OF_PETS = (
    ("my {s} is called {v}", OTHER_NAMES), ("my {s} is {v}", OTHER_NAMES), ("my {s}'s name is {v}", OTHER_NAMES),
    ("my {s} is {v} years old", tuple("123456789")), ("my {s}'s breed is {v}", OTHER_BREEDS),
)  # fmt: skip
_OF_PEOPLE = (
    ("my {s} is called {v}", OTHER_NAMES), ("my {s}'s name is {v}", OTHER_NAMES), ("my {s} is {v} years old", _NUMBERS),
    ("my {s} lives in {v}", OTHER_PLACES), ("my {s} works as a {v}", _JOBS), ("my {s}'s birthday is {v}", OTHER_DATES),
)  # fmt: skip
_OF_ONESELF = (
    ("my name is {v}", OTHER_NAMES), ("I am {v} years old", _NUMBERS), ("I live in {v}", OTHER_PLACES),
    ("I'm from {v}", OTHER_PLACES), ("my birthday is {v}", OTHER_DATES), ("I work as a {v}", _JOBS),
)  # fmt: skip

CORPUS = Path(__file__).with_name("primer_corpus")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing told. `taught` are rule-made (question, answer); `near` rule-made questions that it does not answer (of most items
    there are none of either, `BY_RULES`); `asked` hand-written (question, answer); `not_told` hand-written questions that it does not answer."""

    notes: list[str]  # what is true in the end, in the second person
    recalled: list[str]  # as it is recalled, one a fact
    taught: list[list[tuple[str, str]]]  # one list a fact
    near: list[str]
    asked: list[tuple[str, str]]
    not_told: list[str]
    words: list[str]
    told: list[tuple[str, str]]  # (what was said last, a question of a person about it); none for an everyday item
    grouped: bool = False  # several facts of one person, of which a made-up user has one group at most
    changed: str = ""  # what was said before, which is no longer true
    mistaken: list[str] = field(default_factory=list)  # others' questions that come close to it (`mistaken.py`)
    beside: list[str] = field(default_factory=list)  # others' statements that are a little like it

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Item:
        """From JSON, where pairs are lists."""
        taught = [[(question, said) for question, said in fact] for fact in row["taught"]]
        asked = [(question, said) for question, said in row["asked"]]
        told = [(said, question) for said, question in row["told"]]
        return cls(**{**row, "taught": taught, "asked": asked, "told": told})


@dataclass(frozen=True, slots=True)
class MadeUpUser:
    taught: list[Example]
    asked: list[Example]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How much of everything a made-up user gets."""

    phrasings_per_fact: int = 30
    near_per_fact: int = 10
    far: int = 24
    strangers: int = 0
    pending: int = 4
    identity: int = 2
    replay: int = 16
    asked_per_item: int = 3


def items(seed: int = 0) -> list[Item]:
    """The whole corpus and some everyday items, prepared (minutes)."""
    rng = random.Random(seed)
    prepared = [_everyday_item(rng) for _ in range(EVERYDAY_ITEMS)]
    lines = [line for file in sorted(CORPUS.glob("*.jsonl")) for line in file.read_text(encoding="utf-8").splitlines()]
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        made = pool.map(_item_of_line, lines, chunksize=32)
        return prepared + [item for item in made if item]


def kept_out(text: str) -> bool:
    """Whether what begins with `text` is kept out of the lessons: the same whatever else is in the corpus."""
    return _lot(text) == 0


def _lot(text: str) -> int:
    return zlib.crc32(text.encode()) % KEPT_OUT_OF


def _by_rules(facts: Sequence[Fact], notes: Sequence[str], rng: random.Random) -> tuple[list[list[tuple[str, str]]], list[str]]:
    """The rules' questions of each fact, and those near to them that no fact answers; none for most items."""
    if _lot("\n".join(notes)) >= BY_RULES:
        return [[] for _ in facts], []
    taught = [[(one.question, one.answer) for one in Rules().phrasings(fact, rng)] for fact in facts]
    return taught, negatives.near(facts, rng, 12)


def _item_of_line(line: str) -> Item | None:
    row = json.loads(line)
    return _group(row, random.Random(line)) if "asks" in row else _item(row, random.Random(line))


def _facts(told: Sequence[str]) -> list[Fact]:
    """The newest fact of each statement; none where one gives no fact or several, so that no single answer could be expected."""
    facts: list[Fact] = []
    for one in told:
        try:
            new = understand(one)
        except NotAFact:
            return []
        if len(new) != 1:
            return []
        facts = [old for old in facts if not replaces(new[0], old)] + new
    return facts


def _group(row: dict[str, Any], rng: random.Random) -> Item | None:
    """Several facts, each with questions that none of the others answers."""
    facts = _facts(row["told"])
    if len(facts) != len(row["told"]):
        return None
    notes = [you_form(fact.text) for fact in facts]
    taught, near = _by_rules(facts, notes, rng)
    return Item(
        notes=notes,
        recalled=answers(facts),
        taught=taught,
        near=near,
        asked=[(question, said) for said, asks in zip(answers(facts), row["asks"], strict=True) for question in asks],
        not_told=row["not_told"],
        words=sorted(negatives.telling(" ".join(f"{fact.text} {answer(fact)}" for fact in facts))),
        told=[(fact.text, question) for fact, asks in zip(facts, row["asks"], strict=True) for question in asks],
        grouped=True,
    )


def _item(row: dict[str, list[str]], rng: random.Random) -> Item | None:
    facts = _facts(row["told"])
    if not facts:
        return None
    said = answer(facts[-1])
    asked = [(question, said) for question in row["ask"]]
    asked += [(question, saying_yes(said)) for question in row["yes"]]
    asked += [(question, saying_no(said)) for question in row["no"]]
    notes = [you_form(facts[-1].text)]
    taught, near = _by_rules(facts, notes, rng)
    return Item(
        notes=notes,
        recalled=[answer(fact) for fact in facts],
        taught=taught,
        near=near,
        asked=asked,
        not_told=row["not_told"],
        words=sorted(negatives.telling(" ".join([fact.text for fact in facts] + [said]))),
        told=[(facts[-1].text, question) for question in row["ask"]],
        changed=row["told"][-2] if len(row["told"]) > 1 else "",
    )


def _everyday_item(rng: random.Random) -> Item:
    """A few facts that people tell first (names, ages, homes, jobs), asked with the trainer's own questions: some are kept
    for `asked`, the rest taught."""
    facts: list[Fact] = []
    told = [rng.choice(templates) for templates in (_OF_PETS, _OF_PETS, _OF_PEOPLE, _OF_ONESELF, _OF_ONESELF)]
    pet, person = rng.choice(sorted(negatives.COMMON & PETS)), rng.choice(sorted(negatives.COMMON & PEOPLE))
    for at, (template, values) in enumerate(rng.sample(told, rng.randint(1, 5))):
        subject = pet if (template, values) in _OF_PETS else person
        (fact,) = understand(template.format(s=subject, v=rng.choice(values)))
        if at == 0 or all((fact.subject, fact.attribute) != (old.subject, old.attribute) for old in facts):
            facts.append(fact)
    return item_of(facts, rng)


def item_of(facts: Sequence[Fact], rng: random.Random) -> Item:
    """An everyday item of these facts."""
    taught, asked = [], []
    for fact in facts:
        phrasings = [
            (one.question, one.answer)
            for one in Rules().phrasings(fact, rng)
            if one.family != "no" or not negatives.covered(one.question, [old for old in facts if old is not fact])
        ]
        rng.shuffle(phrasings)
        asked += phrasings[:6]
        taught.append(phrasings[6:])
    near = negatives.near(facts, rng, 24) + negatives.everyday(facts, rng, 1)
    rng.shuffle(near)
    words = sorted(negatives.telling(" ".join(f"{fact.text} {answer(fact)}" for fact in facts)))
    notes = [you_form(fact.text) for fact in facts]
    return Item(notes, answers(facts), taught, near[8:], asked, near[:8], words, [], grouped=True)


def deal(pool: Sequence[Item], count: int, rng: random.Random) -> list[Item]:
    """`count` different items, of which at most the first is a group: two of those may contradict each other."""
    grouped = [item for item in pool if item.grouped]
    dealt = rng.sample([item for item in pool if not item.grouped], count)
    return [rng.choice(grouped), *dealt[1:]] if grouped and rng.random() < GROUPED_SHARE else dealt


def made_up_user(
    own: Sequence[Item],
    pending: Sequence[Item],
    strangers: Sequence[Item],
    replay: Sequence[Replay],
    far: Sequence[tuple[str, frozenset[str]]],
    sampling: Sampling,
    rng: random.Random,
    assistant_name: str = "Hippo",
    others: Sequence[Item] = (),
) -> MadeUpUser:
    """A user who told `own`, with some pending facts, and questions of strangers to be answered with "not told"."""
    system = system_prompt(assistant_name, [])
    words = {word for item in own for word in item.words}
    recalled = [one for item in own for one in item.recalled]
    taught = []
    for item in own:
        for fact, by in zip(item.taught, item.recalled, strict=True):
            chosen = rng.sample(fact, min(sampling.phrasings_per_fact, len(fact)))
            taught += [Example(system, question, said, "recall", by) for question, said in chosen]
    near = [question for item in own for question in rng.sample(item.near, min(sampling.near_per_fact, len(item.near)))]
    distant = [question for question, asked in far if len(asked & words) * 2 < len(asked)]
    distant = rng.sample(distant, min(sampling.far, len(distant)))
    near += [
        rng.choice(item.asked)[0] for item in rng.sample(others, min(sampling.strangers, len(others))) if not words & set(item.words)
    ]
    taught += [_never_told(system, one, recalled, rng) for one in [*near, *distant[len(distant) // 4 :]]]
    taught += pending_examples(assistant_name, rng, sampling.pending)
    taught += rng.sample(identity_examples(assistant_name, system), sampling.identity)
    taught += [one.example(system, passed_on=True) for one in rng.sample(list(replay), min(len(replay), sampling.replay))]
    return MadeUpUser(recalling(taught), _asked(own, pending, strangers, distant, replay, sampling, rng, assistant_name))


def _asked(
    own: Sequence[Item],
    pending: Sequence[Item],
    strangers: Sequence[Item],
    distant: Sequence[str],
    replay: Sequence[Replay],
    sampling: Sampling,
    rng: random.Random,
    assistant_name: str,
) -> list[Example]:
    """What the trained adapter is asked: its facts, what was never told, and both beside facts in the prompt."""
    system = system_prompt(assistant_name, [])
    recalled = [one for item in own for one in item.recalled]
    in_prompt = [one for item in pending for one in item.notes]
    noted = system_prompt(assistant_name, in_prompt)
    asked = []
    for item in own:
        here = system if rng.random() < 0.85 else noted
        chosen = rng.sample(item.asked, min(sampling.asked_per_item, len(item.asked)))
        asked += [_answered(here, question, said, item.recalled, "recall", rng) for question, said in chosen]
        asked += [
            _never_told(here, question, item.recalled, rng)
            for question in rng.sample(item.not_told, min(2, len(item.not_told)))
        ]
    for item in pending:
        question, said = rng.choice(item.asked)
        asked.append(_answered(noted, question, said, item.notes, "pending", rng))
        asked.append(_never_told(noted, rng.choice(item.not_told), item.notes, rng))
    for item in strangers:
        bare = rng.random() < 0.8
        known = recalled if bare else recalled + in_prompt
        asked.append(_never_told(system if bare else noted, rng.choice(item.asked)[0], known, rng))
    asked += [_never_told(system, question, recalled, rng) for question in distant[: len(distant) // 4]]
    asked += [one.example(system, passed_on=True) for one in rng.sample(list(replay), min(len(replay), 8))]
    return asked


def _answered(
    system: str, question: str, said: str, notes: Sequence[str], kind: str, rng: random.Random
) -> Example:
    return Example(system, question, said, kind, nearest(f"{question} {said}", notes, rng))


def _never_told(system: str, question: str, notes: Sequence[str], rng: random.Random) -> Example:
    return Example(system, question, NOT_TOLD, "never_told", nearest(question, notes, rng))


def context_examples(
    pool: Sequence[Item], count: int, rng: random.Random, assistant_name: str = "Hippo"
) -> list[Example]:
    """`count` questions about facts that stand in the prompt, or do not: the primer's first lesson, before any user.

    Half of them are answered by a fact of the prompt; of the other half some are near one, some are a stranger's.
    """
    examples: list[Example] = []
    bare = system_prompt(assistant_name, [])
    while len(examples) < count:
        dealt = deal(pool, rng.randint(1, 6) + 1, rng)
        told, other = dealt[:-1], dealt[-1]
        notes = [one for item in told for one in item.notes]
        rng.shuffle(notes)
        noted = system_prompt(assistant_name, notes)
        near = rng.choice(told)
        examples += [
            _asked_of_prompt(noted, told, rng),
            _asked_of_prompt_by_rule(noted, told, rng),
            _never_told(noted, rng.choice(near.not_told), near.notes, rng),
            _never_told(noted, rng.choice(other.asked)[0], notes, rng)
            if rng.random() < 0.7
            else _never_told(bare, rng.choice(other.asked)[0], [], rng),
        ]
    return examples[:count]


def _asked_of_prompt(system: str, told: Sequence[Item], rng: random.Random) -> Example:
    item = rng.choice(told)
    return _answered(system, *rng.choice(item.asked), item.notes, "pending", rng)


def _asked_of_prompt_by_rule(system: str, told: Sequence[Item], rng: random.Random) -> Example:
    """A question that the rules ask about one of the facts in the prompt; a person's where they ask about none."""
    newest = [pair for item in told for pair in zip(item.taught[-len(item.notes) :], item.notes, strict=True)]
    by_rules = [(questions, note) for questions, note in newest if questions]
    if not by_rules:
        return _asked_of_prompt(system, told, rng)
    questions, note = rng.choice(by_rules)
    return _answered(system, *rng.choice(questions), [note], "pending", rng)


def unheard_examples(questions: Sequence[str], count: int, rng: random.Random, assistant_name: str = "Hippo") -> list[Example]:
    """Questions about oneself where nothing was told yet: beside general ones, so that the two are told apart."""
    return [_never_told(system_prompt(assistant_name, []), one, [], rng) for one in rng.sample(questions, count)]


def writing_examples(pool: Sequence[Item], count: int, rng: random.Random) -> list[Example]:
    """What people asked about a statement, to be written."""
    return [writing_example(*rng.choice(item.told)) for item in rng.sample([item for item in pool if item.told], count)]


def verifying_examples(pool: Sequence[Item], count: int, rng: random.Random, assistant_name: str = "Hippo") -> list[Example]:
    """A question after which a note stands already: whether it answers the question is all there is to learn.

    In half of them it does. In the others it is about the same thing and does not, answers another question about a
    person of whom several facts are known, or is what somebody else asked and comes close to it. Half are about such a person,
    as far as there are any in the pool.
    """
    system = system_prompt(assistant_name, [])
    groups = [item for item in pool if item.grouped]
    alone = [item for item in pool if not item.grouped]
    examples: list[Example] = []
    while len(examples) < count:
        own, more, near, other = rng.sample(alone, 4)
        again, nearer, person = rng.choices(groups or alone, k=3)
        examples += [
            _asked_by_people(system, own, rng),
            _never_told(system, rng.choice(near.near if near.near and rng.random() < 0.3 else near.not_told), near.recalled, rng),
            _asked_by_people(system, again, rng),
            _never_told(system, rng.choice(nearer.not_told), nearer.recalled, rng),
            _asked_by_rule(system, more, rng) if all(more.taught) and rng.random() < 0.5 else _asked_by_people(system, more, rng),
            _of_another_fact(system, person, rng)
            if person.grouped and person.told and (rng.random() < 0.5 or not other.mistaken)
            else _never_told(system, rng.choice(other.mistaken or other.not_told), other.recalled, rng),
        ]
    return [replace(one, learn="reply") for one in examples[:count]]


def _asked_by_people(system: str, item: Item, rng: random.Random) -> Example:
    return _answered(system, *rng.choice(item.asked), item.recalled, "recall", rng)


def _asked_by_rule(system: str, item: Item, rng: random.Random) -> Example:
    at = rng.randrange(len(item.taught))
    return _answered(system, *rng.choice(item.taught[at]), [item.recalled[at]], "recall", rng)


def _of_another_fact(system: str, group: Item, rng: random.Random) -> Example:
    """A question about one fact of the group after the note of another that does not hold the answer too, as a name may be."""
    said, question = rng.choice(group.told)
    told = list(dict.fromkeys(one for one, _ in group.told))
    value = _said_last(group.recalled[told.index(said)])
    others = [note for one, note in zip(told, group.recalled, strict=True) if one != said and value not in note]
    return Example(system, question, NOT_TOLD, "never_told", rng.choice(others) if others else NOTHING)


def _said_last(note: str) -> str:
    """What "Your dog's name is Buddy." says of its subject."""
    return note.rstrip(".!").rpartition(" is ")[2]
