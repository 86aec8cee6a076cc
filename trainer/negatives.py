"""Questions about what was never told, near to the user's facts and far from them; the answer says so and how to tell it.

Near: another thing of the same kind (the cat of someone with a dog), another detail of the same thing (the age of a dog
whose name was told), the same relation of another person. Far: what anybody may ask about themselves (`far_questions.txt`).
No negative is one that a fact of the user's may answer: `covered` decides, and it would rather drop one too many.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path

from bot.fact_words import PEOPLE, PETS
from bot.facts import Fact
from bot.language import parse
from trainer.attributes import FAVORITE, HALF_KNOWN, OF_THING, OF_USER, OTHER_NAMES
from trainer.phrasings import answer, swapped
from trainer.questions import questions, topics
from trainer.typing_slips import slip

_FAR = Path(__file__).with_name("far_questions.txt")
_CORPUS = Path(__file__).with_name("primer_corpus")
_DETAILS = (  # another detail of a topic, and what in a fact would already tell it
    ("How much did {t} cost?", ("MONEY",), ("cost", "price", "pay", "paid", "worth", "spend")),
    ("When did I get {t}?", ("DATE", "TIME"), ("get", "got", "since", "ago")),
    ("Who gave me {t}?", ("PERSON",), ("gift", "gave", "give", "from")),
    ("What color is {t}?", (), ("color", "colour", "red", "blue", "green", "black", "white", "gray", "grey", "yellow")),
    ("Where did I buy {t}?", ("GPE", "ORG", "FAC"), ("buy", "bought", "from", "at", "store", "shop")),
    ("How long have I had {t}?", ("DATE", "TIME"), ("for", "since", "years", "months")),
    ("What is the name of {t}?", ("PERSON", "ORG", "PRODUCT", "WORK_OF_ART"), ("name", "named", "called")),
    ("How old is {t}?", ("DATE",), ("old", "age")),
    ("Who did I go to {t} with?", ("PERSON",), ("with",)),
    ("Why did I choose {t}?", (), ("because", "since", "so")),
)  # fmt: skip
COMMON = frozenset(
    [
        "cat",
        "dog",
        "hamster",
        "rabbit",
        "parrot",
        "horse",
        "bird",
        "fish",
        "mother",
        "father",
        "mom",
        "dad",
        "sister",
        "brother",
        "wife",
        "husband",
        "son",
        "daughter",
        "friend",
        "boss",
        "grandmother",
        "uncle",
    ]
)  # the pets and people asked about most
_ASKED_FIRST = (
    "mother",
    "father",
    "sister",
    "brother",
    "wife",
    "husband",
    "son",
    "daughter",
    "boss",
    "friend",
    "dog",
    "cat",
)
_QUESTION_WORDS = frozenset(
    [
        "what",
        "who",
        "whose",
        "which",
        "where",
        "when",
        "why",
        "how",
        "many",
        "much",
        "long",
        "old",
        "often",
        "kind",
        "type",
        "sort",
        "tell",
        "remind",
        "remember",
        "know",
        "name",
        "call",
        "give",
        "say",
        "do",
        "be",
        "have",
        "get",
        "go",
        "again",
        "please",
        "can",
        "could",
        "would",
        "my",
        "mine",
    ]
)


def near(facts: Sequence[Fact], rng: random.Random, per_fact: int) -> list[str]:
    """Up to `per_fact` questions close to each fact that no fact of `facts` answers; different from one another."""
    found: dict[str, None] = {}
    for fact in facts:
        same = list(_same_of_another(fact))
        rest = list(_near(fact, rng))
        rng.shuffle(same)
        rng.shuffle(rest)
        candidates = [one for one in [*same[: per_fact * 2 // 3], *rest] if one not in found]
        found.update(dict.fromkeys(_uncovered(candidates, facts, per_fact)))
    return list(found)


def typed_badly(questions_asked: Sequence[str], rng: random.Random, share: float) -> list[str]:
    """The questions, a share of them as people type in a hurry: a slip must not make a question sound like one it is not."""
    return [slip(one, rng) if rng.random() < share else one for one in questions_asked]


def far(facts: Sequence[Fact], rng: random.Random, count: int) -> list[str]:
    """`count` questions that anybody may ask about themselves and that no fact answers."""
    return _uncovered(_shuffled(far_questions(), rng), facts, count, share=0.5)


def strangers(facts: Sequence[Fact], rng: random.Random, count: int) -> list[str]:
    """Up to `count` questions as people ask them about what others told (the primer's corpus), that no fact answers."""
    if not count:
        return []
    return _uncovered(rng.sample(corpus_questions(), 2 * count), facts, count, share=0.5)


def everyday(facts: Sequence[Fact], rng: random.Random, per_subject: int) -> list[str]:
    """What people ask first (mother's name, job, city, favorite food …), `per_subject` wordings of each that was not told."""
    told = {(fact.subject, fact.attribute) for fact in facts}
    asked = []
    for attribute in ("name", "age", "birthday", "home", "job", "employer", "origin", "allergy"):
        if ("", attribute) not in told:
            asked.append(list(_asking(OF_USER[attribute], "")))
    asked += [list(_asking(OF_THING["name"], subject)) for subject in _ASKED_FIRST if (subject, "name") not in told]
    for kind in ("food", "color", "movie", "song"):
        if ("", f"favorite {kind}") not in told:
            wordings = [one.format(a=f"favorite {kind}") for one in OF_USER[""]["direct"] + OF_USER[""]["imperative"]]
            asked.append(wordings + [one.format(k=kind) for one in FAVORITE["direct"]])
    chosen = []
    for wordings in asked:
        chosen += _uncovered(_shuffled(wordings, rng), facts, per_subject)
    return chosen


def _asking(templates: dict[str, tuple[str, ...]], subject: str) -> Iterator[str]:
    """The questions of a table that name no value."""
    for family, of_family in templates.items():
        if family not in ("yes", "no", "reverse"):
            yield from (
                one.format(s=subject) for one in of_family if not any(mark in one for mark in ("{v}", "{w}", "{a}"))
            )


def covered(question: str, facts: Sequence[Fact], share: float = 1.0) -> bool:
    """Whether a fact holds at least `share` of the question's telling words, and so may answer it."""
    asked = telling(question)
    if not asked:
        return True
    return any(len(asked & _told(fact)) >= share * len(asked) for fact in facts)


def _uncovered(questions: Sequence[str], facts: Sequence[Fact], count: int, share: float = 1.0) -> list[str]:
    """The first `count` of the questions that no fact covers: no more are read than that takes, since reading is slow."""
    return list(islice((one for one in questions if not covered(one, facts, share)), count))


def _shuffled(questions: Sequence[str], rng: random.Random) -> list[str]:
    return rng.sample(questions, len(questions))


@lru_cache(maxsize=4096)
def _told(fact: Fact) -> frozenset[str]:
    return telling(f"{fact.text} {fact.subject} {fact.attribute} {answer(fact)}")


@lru_cache(maxsize=1)
def corpus_questions() -> tuple[str, ...]:
    lines = [line for file in sorted(_CORPUS.glob("*.jsonl")) for line in file.read_text(encoding="utf-8").splitlines()]
    rows = [json.loads(line) for line in lines]
    return tuple(q for row in rows for asked in [*row.get("asks", ()), row.get("ask", ()), row["not_told"]] for q in asked)


@lru_cache(maxsize=1)
def far_questions() -> tuple[str, ...]:
    return tuple(line for line in _FAR.read_text(encoding="utf-8").splitlines() if line.strip())


def _near(fact: Fact, rng: random.Random) -> Iterator[str]:
    asked = [one.text for one in questions(fact.text)]
    rng.shuffle(asked)
    for question in asked[:12]:
        other = swapped(question, rng)
        if other:
            yield other
    yield from _half_known(fact)
    tells = {token.lower_ for token in parse(fact.text)} | {token.lemma_.lower() for token in parse(fact.text)}
    kinds = {entity.label_ for entity in parse(fact.text).ents}
    for topic in topics(fact.text)[:4]:
        fitting = [
            template
            for template, told_by_kind, told_by_word in _DETAILS
            if not kinds & set(told_by_kind) and not tells & set(told_by_word)
        ]
        if topic.islower() and not any(char.isdigit() for char in topic):
            thing = topic if topic.startswith(("my ", "the ")) else f"my {topic}"
            yield from (template.format(t=thing) for template in rng.sample(fitting, min(4, len(fitting))))
        other = swapped(topic, rng)
        if other:
            yield f"Tell me about {other}."
            yield f"What did I tell you about {other}?"
    if fact.attribute == "name" and fact.subject:
        yield f"Who is {rng.choice(OTHER_NAMES)}?"


def _same_of_another(fact: Fact) -> Iterator[str]:
    """What is known of one pet or person, asked of others: the cat's name, where the dog's was told."""
    head = fact.subject.split()[-1] if fact.subject else ""
    members = PETS if head in PETS else PEOPLE if head in PEOPLE else frozenset()
    for subject in sorted(members & COMMON - {head}):
        yield from _asking(OF_THING.get(fact.attribute, {}), subject)


def _half_known(fact: Fact) -> Iterator[str]:
    """Other details of a pet or a person in the fact, and the same detail of other pets and persons."""
    words = {token.lemma_.lower() for token in parse(fact.text)}
    for kind, members in (("pet", PETS), ("person", PEOPLE)):
        present = [word for word in members if word in words]
        for subject in sorted(present):
            for detail, templates in HALF_KNOWN[kind].items():
                if detail != fact.attribute and detail not in words:
                    yield from (template.format(s=subject) for template in templates)
        if present:
            for subject in sorted(members - words)[:: max(1, len(members) // 12)]:
                for templates in HALF_KNOWN[kind].values():
                    yield templates[0].format(s=subject)


@lru_cache(maxsize=16384)
def telling(text: str) -> frozenset[str]:
    """The lemmas of a text that carry its meaning, without question words."""
    return frozenset(
        token.lemma_.lower().strip("'")
        for token in parse(text)
        if token.pos_ in ("NOUN", "PROPN", "VERB", "ADJ", "NUM", "ADV")
        and token.lemma_.lower() not in _QUESTION_WORDS
        and token.is_alpha
    )
