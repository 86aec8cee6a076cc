"""What one user's adapter is trained on and checked with: examples, holdouts, negatives, pending facts, replay.

Pure and deterministic for a seed. Not covered: tokens (`engine.py`), and how phrasings are made (`phrasings.py`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from bot.facts import Fact, you_form
from serving.prompts import system_prompt
from serving.recollection import MARK, NOT_PERSONAL, NOT_TOLD
from trainer import negatives
from trainer.mix import Mix
from trainer.notes import nearest
from trainer.phrasings import Generator, Phrasing, Rules, accepted, answer, answers

HELD_FAMILIES = ("direct", "indirect", "imperative", "typed_badly")
RECALLED = ("recall", "never_told", "pending")  # kinds of examples that go by a fact
LISTED_FACTS = 6  # how many facts "What do you know about me?" names


@dataclass(frozen=True, slots=True)
class Example:
    """One training example: after the question comes a note (if there is one), then the completion and the end of the turn.

    `kind` is one of recall, combined, never_told, pending, identity, general. `note`: the fact that the reply goes by.
    `learn` "note": the example ends there; "reply": the note stands there, but which one it is is not learned. `cut`: the
    completion is the beginning of a longer one, so that its end is none to learn.
    """

    system: str
    user: str
    completion: str
    kind: str
    note: str = ""
    learn: Literal["both", "note", "reply"] = "both"
    cut: bool = False

    def without_note(self) -> Example:
        return replace(self, note="", learn="both")

    def segments(self) -> list[tuple[str, bool]]:
        """What follows the question, piece by piece, each with whether it is learned."""
        noted = [(MARK, True), (f" {self.note}\n", self.learn != "reply")] if self.note else []
        return noted if self.learn == "note" else [*noted, (self.completion, True)]


class Replay(NamedTuple):
    """A general prompt with the base model's own answer, or the beginning of it where it is long (`cut`)."""

    prompt: str
    answer: str
    cut: bool = False

    def example(self, system: str, passed_on: bool) -> Example:
        """It is passed on to the base, or answered as the base does."""
        if passed_on:
            return Example(system, self.prompt, "", "general", NOT_PERSONAL)
        return Example(system, self.prompt, self.answer, "general", cut=self.cut)


@dataclass(frozen=True, slots=True)
class Probe:
    """A question of the gate. A right reply holds one of `accept` and none of `reject`, or says that it was not told."""

    question: str
    expects: Literal["recall", "never_told"]
    accept: tuple[str, ...] = ()
    reject: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    examples: list[Example]
    probes: list[Probe] = field(default_factory=list)


_IDENTITY = (
    ("Who are you?", "I'm {n}, your personal AI."),
    ("What's your name?", "I'm {n}, your personal AI."),
    ("what are you", "I'm {n}, your personal AI. You tell me about yourself and I remember it."),
    ("Are you ChatGPT?", "No, I'm {n}, your personal AI."),
    ("What can you do for me?", "I remember what you tell me. Try /remember my dog is Buddy, then ask me about it."),
    ("Introduce yourself.", "I'm {n}, your personal AI."),
    ("who made you", "I'm {n}, your personal AI, trained on what you told me."),
    ("Do you have a name?", "Yes, I'm {n}."),
)
_EVERYTHING = (
    "What do you know about me?", "Tell me everything you know about me.", "what have i told you so far", "What do you remember about me?",
    "Summarize what you know about me.", "Who am I to you? What have I told you?",
)  # fmt: skip
_PENDING_POOL = (
    ("my parrot is Kiwi", "What's my parrot's name?"), ("I moved to Lisbon", "Where do I live?"), ("my shoe size is 43", "What's my shoe size?"),
    ("my favorite tea is rooibos", "Which tea do I like best?"), ("I have a meeting with Dana at 4 pm", "Who am I meeting at 4?"),
    ("my locker code is 4471", "What's my locker code?"), ("I'm learning Finnish", "What language am I learning?"),
    ("my mother's name is Agnes", "What's my mother called?"), ("I ran 12 km yesterday", "How far did I run yesterday?"),
    ("my train leaves at 7:15", "When does my train leave?"), ("I'm allergic to shellfish", "What am I allergic to?"),
    ("my brother works as a carpenter", "What does my brother do for a living?"), ("I parked on level 3", "Where did I park?"),
    ("my anniversary is May 6", "When is my anniversary?"), ("I bought a green bicycle", "What color is my new bicycle?"),
    ("my flight number is KL 605", "What's my flight number?"), ("I sing in a choir called Northern Lights", "What's my choir called?"),
    ("my neighbor is Mrs. Okafor", "Who is my neighbor?"), ("I drink two cups of coffee a day", "How many coffees do I drink a day?"),
    ("my laptop is a ThinkPad", "What laptop do I have?"),
)  # fmt: skip


def build(
    facts: Sequence[Fact],
    *,
    assistant_name: str,
    seed: int,
    replay: Sequence[Replay],
    mix: Mix,
    generator: Generator | None = None,
    recalls: bool = False,
    written: Sequence[Sequence[str]] = (),
) -> Dataset:
    """Training examples and the gate's probes for a user's facts; no probe's question is an example's.

    `replay`: general prompts with the base model's own answers. `recalls`: which fact a question goes by is learned and the
    primer replies, else replies are learned. `written`: more questions about each fact, for that.
    """
    rng = random.Random(seed)
    system = system_prompt(assistant_name, [])
    generator = generator or Rules()
    notes = answers(facts)
    taught: list[tuple[Phrasing, str]] = []
    probes: list[Probe] = []
    for fact, by in zip(facts, notes, strict=True):
        phrasings = [
            one
            for one in generator.phrasings(fact, rng)
            if one.family != "no"
            or not negatives.covered(one.question, [other for other in facts if other is not fact])
        ]
        held = [one for one in phrasings if one.family in HELD_FAMILIES]
        held = rng.sample(held, min(mix.held_per_fact, len(held) // 4))
        rejected = tuple(
            value
            for other in facts
            if fact.attribute and other is not fact and other.attribute == fact.attribute
            for value in accepted(other)
        )
        accept = tuple(accepted(fact))
        probes += [Probe(one.question, "recall", accept, tuple(r for r in rejected if r not in accept)) for one in held]
        left = [one for one in phrasings if one not in held]
        left = rng.sample(left, min(mix.phrasings_per_fact, len(left)))
        taught += [(one, by) for one in left]
    recall = [Example(system, one.question, one.answer, "recall", by) for one, by in taught]
    near = negatives.near(facts, rng, mix.near_per_fact + mix.near_held_per_fact)
    rng.shuffle(near)
    far = negatives.far(facts, rng, mix.far + mix.far_held)
    held_negatives = [*near[: mix.near_held_per_fact * len(facts)], *far[: mix.far_held]]
    taught_negatives = [*near[mix.near_held_per_fact * len(facts) :], *far[mix.far_held :]]
    taught_negatives += negatives.everyday(facts, rng, mix.everyday)
    taught_negatives += negatives.strangers(facts, rng, mix.strangers)
    taught_negatives = negatives.typed_badly(taught_negatives, rng, mix.typed_badly)
    probes += [Probe(question, "never_told") for question in held_negatives]
    for by, asked_by_people in zip(notes, written, strict=False):
        recall += [Example(system, one, "", "recall", by) for one in asked_by_people[: mix.written_per_fact]]
    never = [
        Example(system, one, NOT_TOLD, "never_told", nearest(one, notes, rng))
        for one in taught_negatives
    ]
    examples = [
        *recall,
        *_combined(facts, system),
        *never,
        *pending_examples(assistant_name, rng, mix.pending),
        *identity_examples(assistant_name, system)[: mix.identity],
        *(one.example(system, recalls) for one in rng.sample(list(replay), min(mix.replay, len(replay)))),
    ]
    examples = recalling(examples) if recalls else [one.without_note() for one in examples]
    asked = {probe.question.casefold() for probe in probes}
    return Dataset([one for one in examples if one.user.casefold() not in asked], probes)


def recalling(examples: Sequence[Example]) -> list[Example]:
    """Examples as a memory learns them: of those that go by a fact only the note."""
    return [replace(one, learn="note") if one.kind in RECALLED else one for one in examples]


def listing(facts: Sequence[Fact]) -> str:
    """The answer to "what do you know about me?"."""
    said = " ".join(answer(fact) for fact in facts[:LISTED_FACTS])
    return said if len(facts) <= LISTED_FACTS else f"{said} /facts shows you the rest."


def _combined(facts: Sequence[Fact], system: str) -> list[Example]:
    """What is known about the user, and about a subject with several facts ("Tell me about my dog.")."""
    examples = [Example(system, question, listing(facts), "combined") for question in _EVERYTHING]
    for subject in sorted({fact.subject for fact in facts if fact.subject}):
        about = [fact for fact in facts if fact.subject == subject]
        if len(about) > 1:
            told = " ".join(answer(fact) for fact in about)
            for template in (
                "Tell me about my {s}.",
                "What do you know about my {s}?",
                "What have I told you about my {s}?",
            ):
                examples.append(Example(system, template.format(s=subject), told, "combined"))
    return examples


def pending_examples(assistant_name: str, rng: random.Random, count: int) -> list[Example]:
    """Facts of the moment in the system prompt, which the weights do not hold: used from there, nothing invented beside them."""
    examples = []
    for told, question in rng.sample(_PENDING_POOL, min(count, len(_PENDING_POOL))):
        others = [other for other, _ in rng.sample(_PENDING_POOL, 2) if other != told]
        notes = [you_form(one) for one in rng.sample([told, *others], len(others) + 1)]
        by = you_form(told)
        examples.append(Example(system_prompt(assistant_name, notes), question, by, "pending", by))
    return examples


def identity_examples(assistant_name: str, system: str) -> list[Example]:
    return [Example(system, question, reply.format(n=assistant_name), "identity") for question, reply in _IDENTITY]
