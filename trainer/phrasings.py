"""A fact → thirty and more ways to ask for it, each with its answer in the second person.

Two generators share one interface, `Generator`: `rules` (here; deterministic for a seed, needs no model), and
`model_phrasings.ModelGenerator` (the served base model). Families: direct, indirect, imperative, fragment, reverse, about,
yes, no, roundabout, typed_badly. Not covered: combinations of facts and what was never told (`dataset.py`, `negatives.py`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile, zip_longest
from typing import Protocol

from bot.fact_words import PEOPLE, PETS
from bot.facts import Fact, you_form
from bot.language import is_question, parse, sentences, statement, tidy
from serving.words import stems
from trainer import attributes, roundabout, statement_kinds
from trainer.questions import questions, topics
from trainer.typing_slips import slip

QUOTAS = {
    "direct": 14, "indirect": 8, "imperative": 5, "fragment": 4, "reverse": 4, "about": 7, "yes": 4, "no": 4, "roundabout": 14,
    "typed_badly": 10,
}  # how many of a family at the most, of a fact  # fmt: skip
MIN_PHRASINGS = 30
_LEANS = re.compile(  # on what was said before
    r"^(?:\S+ ){0,2}(?:it|it's|its|he|he's|she|she's|they|they're|them|him|her|those|these|ours|mine)\b|\b(?:ones?|there|ours|mine)\b",
    re.IGNORECASE,
)
MAX_TOPICS = 2  # that an answer names beside what was stated

_TOPIC_TEMPLATES = {
    "about": (
        "Tell me about {t}.", "What do you know about {t}?", "What did I tell you about {t}?", "What did I say about {t}?",
        "Do you remember anything about {t}?", "What's the story with {t}?", "What have I mentioned about {t}?",
        "Fill me in on {t}.", "What was that about {t}?",
    ),
    "indirect": (
        "Can you remind me about {t}?", "Could you tell me what I said about {t}?", "What was it again about {t}?",
        "I'd like to hear what I said about {t}.", "I once mentioned {t}, what was it?",
    ),
    "imperative": (
        "Remind me about {t}.", "Repeat what I told you about {t}.", "Give me what you have on {t}.", "Say what I told you about {t}.",
    ),
    "fragment": ("{t}?", "{t}", "Anything on {t}?", "about {t}", "{t}, remember?"),
    "yes": ("Did I ever mention {t}?", "Have I told you anything about {t}?", "Did I say something about {t}?"),
}  # fmt: skip
_WHOLE = {
    "yes": (
        "Is it true that {c}?", "Am I right that {c}?", "Do you remember that {c}?", "Did I tell you that {c}?",
        "Can you confirm that {c}?", "Would it be right to say that {c}?",
    ),
    "no": ("Is it false that {c}?", "Am I wrong that {c}?", "Is it untrue that {c}?"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Phrasing:
    question: str
    answer: str
    family: str


class Generator(Protocol):
    """`phrasings` gives different questions for a fact, each answered by what the fact says."""

    def phrasings(self, fact: Fact, rng: random.Random) -> list[Phrasing]: ...


class Rules:
    """The generator that always works."""

    def phrasings(self, fact: Fact, rng: random.Random) -> list[Phrasing]:
        """At least `MIN_PHRASINGS` for an ordinary sentence; the same for the same `rng` state."""
        found: dict[str, Phrasing] = {}
        said = answer(fact)
        families: dict[str, list[Phrasing]] = {}
        for one in _in_turns(list(_close(fact, said, rng)), list(_loose(fact, said)), rng):
            as_typed = one.family in ("fragment", "roundabout")
            question = one.question if as_typed else one.question[:1].upper() + one.question[1:]
            if same_question(question) not in found:
                found[same_question(question)] = Phrasing(question, one.answer, one.family)
                families.setdefault(one.family, []).append(found[same_question(question)])
        kept = [one for family, members in families.items() for one in members[: QUOTAS[family]]]
        spare = [one for family, members in families.items() for one in members[QUOTAS[family] :]]
        wanted = MIN_PHRASINGS - QUOTAS["typed_badly"] - len(kept)
        kept += spare[: max(wanted, 0)]
        return kept + typed_badly(kept, max(QUOTAS["typed_badly"], MIN_PHRASINGS - len(kept)), rng)


def typed_badly(phrasings: Sequence[Phrasing], count: int, rng: random.Random) -> list[Phrasing]:
    """`count` of the phrasings with slips, different from all of them."""
    taken = {one.question.casefold() for one in phrasings}
    sources = [one for one in phrasings if one.family not in ("yes", "no", "fragment")] or phrasings
    typed: list[Phrasing] = []
    for _ in range(200 if sources else 0):
        if len(typed) >= count:
            break
        right = rng.choice(sources)
        typo = slip(right.question, rng)
        if typo.casefold() not in taken:
            taken.add(typo.casefold())
            typed.append(Phrasing(typo, right.answer, "typed_badly"))
    return typed


def same_question(question: str) -> str:
    """What is left of a question where case and punctuation do not count: equal for questions that are the same."""
    return re.sub(r"[^a-z0-9]+", " ", question.lower().replace("'", "")).strip()


def answer(fact: Fact) -> str:
    """What the assistant says when asked for the fact: a sentence that follows from what the user said."""
    if fact.attribute == "name" and fact.subject:
        return f"Your {fact.subject}'s name is {_named(fact.value)}."
    if fact.attribute == "name":
        return f"Your name is {_named(fact.value)}."
    if fact.attribute == "age" and not fact.subject:
        return f"You are {fact.value} years old."
    if fact.attribute == "birthday" and not fact.subject:
        return f"Your birthday is {fact.value}."
    return _about(fact.text) + you_form(statement(fact.text))


def answers(facts: Sequence[Fact]) -> list[str]:
    """Each fact's answer, as one who knows them all says it: "The breed of your dog Buddy is a Golden Retriever.", so that what is
    asked of Buddy, or his name, can be read off it. Only where one name alone is known for the pet or person."""
    names: dict[str, set[str]] = {}
    for fact in facts:
        if fact.subject and fact.attribute == "name":
            names.setdefault(fact.subject, set()).add(_named(fact.value))
    return [_with_name(answer(fact), fact, names.get(fact.subject, set())) for fact in facts]


def _with_name(said: str, fact: Fact, names: set[str]) -> str:
    if len(names) != 1 or fact.attribute == "name":
        return said
    (name,) = names
    if name.casefold() in said.casefold():
        return said
    subject, attribute = re.escape(fact.subject), re.escape(fact.attribute)
    if of_it := re.fullmatch(rf"Your {subject}'s? ({attribute}) ((?:is|are|was|were) .+)", said):
        return f"The {of_it[1]} of your {fact.subject} {name} {of_it[2]}"
    return re.sub(rf"\b(your {subject})\b", rf"\1 {name}", said, count=1, flags=re.IGNORECASE)


def _about(text: str) -> str:
    """What a question before the statement is about and the statement does not name, as it is put before an answer:
    "How do I sort my postcards? I've added 17 new ones." → "About your postcards: "."""
    parts = sentences(tidy(text))
    asked = list(takewhile(is_question, parts))
    if len(asked) == len(parts):
        return ""
    told = statement(text)
    known, leans = stems(told), bool(_LEANS.search(told))
    found = [
        one for question in asked for one in topics(_uncapitalized(question)) if not known & stems(one.split()[-1])
    ]
    found = [one for one in found if not any(one in other for other in found if other != one)]
    mine = [one for one in found if one.startswith("my ") or not one.islower()]
    found = mine or (found[-1:] if leans else [])
    return f"{you_form('about ' + ' and '.join(found[:MAX_TOPICS])).rstrip('.')}: " if found else ""


def _uncapitalized(sentence: str) -> str:
    """A sentence whose first word is not taken for a name."""
    return sentence if sentence[:2] in ("I ", "I'") else sentence[:1].lower() + sentence[1:]


def saying_yes(text: str) -> str:
    """ "Your dog is Buddy." → "Yes, your dog is Buddy."."""
    return f"Yes, {_inside(text)}"


def saying_no(text: str) -> str:
    return f"No, {_inside(text)}"


def accepted(fact: Fact) -> list[str]:
    """What a right reply must hold one of: the value, or the most telling words of the answer."""
    if fact.value and fact.attribute not in ("is", "allergy"):
        return [fact.value]
    said = answer(fact)
    doc = parse(said)
    numbers = [token.text for token in doc if token.pos_ == "NUM" and token.lower_ != "one"]
    names = [entity.text for entity in doc.ents if entity.label_ not in ("CARDINAL", "ORDINAL")]
    nouns = [token.text for token in doc if token.pos_ in ("NOUN", "PROPN")]
    last_words = [token.text for token in doc if token.pos_ in ("VERB", "ADJ", "ADV")]
    for telling in (numbers, names, nouns[-1:], last_words[-1:]):
        if telling:
            return telling
    return [said]


def _in_turns(close: list[Phrasing], loose: list[Phrasing], rng: random.Random) -> Iterator[Phrasing]:
    """Both shuffled, one of each in turn within a family: neither crowds the other out of it."""
    for family in QUOTAS:
        both = [[one for one in part if one.family == family] for part in (close, loose)]
        for part in both:
            rng.shuffle(part)
        yield from (one for pair in zip_longest(*both) for one in pair if one is not None)


def _close(fact: Fact, said: str, rng: random.Random) -> Iterator[Phrasing]:
    """What only this statement answers: by its attribute, its grammar and its kind."""
    yield from _by_attribute(fact, said, rng)
    for one in questions(fact.text):
        if one.says_yes is None:
            family = (
                "direct" if one.text.endswith("?") and not one.text.startswith(("Do you", "Can you")) else "indirect"
            )
            yield Phrasing(one.text, said, "imperative" if one.text.endswith(".") else family)
        elif one.says_yes:
            yield Phrasing(one.text, saying_yes(said), "yes")
            wrong = _falsified(one.text, rng)
            if wrong:
                yield Phrasing(wrong, saying_no(said), "no")
        else:
            yield Phrasing(one.text, saying_no(said), "no")
    for asked_of_kind in statement_kinds.asked(fact.text) if fact.attribute != "age" else ():
        yield _answered(asked_of_kind.text, said, asked_of_kind.family)


def _loose(fact: Fact, said: str) -> Iterator[Phrasing]:
    """What may be asked of any statement: by its topics, and by the whole of it."""
    for topic in topics(fact.text):
        for family, templates in _TOPIC_TEMPLATES.items():
            for template in templates:
                yield _answered(template.format(t=topic), said, family)
    clause = _as_clause(fact.text)
    if clause:
        for family, templates in _WHOLE.items():
            for template in templates if family != "no" or fact.attribute in ("", "is") else ():
                yield _answered(template.format(c=clause), said, family)


def _answered(question: str, said: str, family: str) -> Phrasing:
    begun = {"yes": saying_yes, "no": saying_no}.get(family)
    return Phrasing(question, begun(said) if begun else said, family)


def _by_attribute(fact: Fact, said: str, rng: random.Random) -> Iterator[Phrasing]:
    if not fact.attribute or fact.attribute == "is":
        return
    table = attributes.OF_THING if fact.subject else attributes.OF_USER
    templates = table.get(fact.attribute, table[""])
    value = _named(fact.value) if fact.attribute == "name" else fact.value
    words = {"s": fact.subject, "a": fact.attribute, "v": value}
    about = f"{value} is your {fact.subject}." if fact.attribute == "name" and fact.subject else said
    for family, questions_of in templates.items():
        for template in questions_of:
            wrong = _wrong(fact, rng)
            if "{w}" in template and not wrong:
                continue
            question = _DOUBLE_ARTICLE.sub("", template.format(**words, w=wrong))
            if family == "yes":
                yield Phrasing(question, saying_yes(said), family)
            elif family == "no":
                yield Phrasing(question, saying_no(said), family)
            else:
                yield Phrasing(question, about if family == "reverse" else said, family)
    for template in _roundabout(fact):
        yield Phrasing(template.format(**words), said, "roundabout")
    if fact.attribute.startswith("favorite "):
        for family, questions_of in attributes.FAVORITE.items():
            for template in questions_of:
                yield Phrasing(template.format(k=fact.attribute.removeprefix("favorite ")), said, family)
    if fact.attribute == "name" and fact.subject in PETS:
        for template in ("What's my pet's name?", "Do you know my pet's name?", "My pet?", "What is my pet called?"):
            yield Phrasing(template, said, "fragment" if template == "My pet?" else "direct")


def _roundabout(fact: Fact) -> tuple[str, ...]:
    """The ways to ask for its attribute that name no other value."""
    if not fact.subject:
        return roundabout.OF_USER.get(fact.attribute, ())
    head = fact.subject.split()[-1]
    of_kind = f"{fact.attribute} of a {'pet' if head in PETS else 'person' if head in PEOPLE else 'thing'}"
    return roundabout.OF_THING.get(fact.attribute, ()) + roundabout.OF_THING.get(of_kind, ())


_DOUBLE_ARTICLE = re.compile(r"\ban? (?=(?:an?|the)\b)")  # "a {v}" where the value has its own


def _wrong(fact: Fact, rng: random.Random) -> str:
    """Another value of the same kind; "" where none is known."""
    if fact.value.isdigit():
        return str(max(1, int(fact.value) + rng.choice((-9, -4, -2, 3, 5, 11))))
    if fact.attribute == "age":
        return rng.choice([age for age in attributes.OTHER_AGES if age != fact.value])
    known = attributes.WRONG.get(fact.attribute, ())
    if others := [one for one in known if one.lower() not in fact.value.lower()]:
        return rng.choice(others)
    number = re.search(r"(?<!\d)\d{1,3}(?!\d)", fact.value)
    return fact.value.replace(number[0], str(int(number[0]) + rng.choice((2, 3, 5))), 1) if number else ""


def _falsified(question: str, rng: random.Random) -> str:
    """The yes/no question with one value changed, so that the truth is no; "" where nothing can be changed safely."""
    number = re.search(r"(?<![\w.:/$])\d{1,4}(?![\w:/.]*\d)", question)
    if number:
        changed = str(max(1, int(number[0]) + rng.choice((-3, -2, 2, 3, 7))))
        return question[: number.start()] + changed + question[number.end() :] if changed != number[0] else ""
    name = re.search(r"(?<=[a-z] )[A-Z][a-z]+(?=[?\s]*\?$)", question)
    if name and not re.search(r"[A-Z][a-z]+ [A-Z]", question):
        return question[: name.start()] + rng.choice(attributes.OTHER_PLACES) + question[name.end() :]
    return ""


_SIBLINGS = {word: tuple(other for other in group if other != word) for group in attributes.SIBLINGS for word in group}
_SIBLING_WORD = re.compile(rf"\b({'|'.join(sorted(_SIBLINGS, key=len, reverse=True))})\b", re.IGNORECASE)


def swapped(text: str, rng: random.Random) -> str:
    """The text with one word replaced by one that stands beside it (dog → cat); "" where it has none."""
    matches = list(_SIBLING_WORD.finditer(text))
    if not matches:
        return ""
    match = rng.choice(matches)
    other = rng.choice(_SIBLINGS[match[0].lower()])
    other = other.capitalize() if match[0][:1].isupper() else other
    return text[: match.start()] + other + text[match.end() :]


def _as_clause(text: str) -> str:
    """A single statement as it stands after "that": "My dog is Buddy." → "my dog is Buddy"; "" where it is no clause."""
    said = statement(text)
    if len(sentences(said)) != 1 or len(said.split()) > 16 or parse(said)[:].root.pos_ not in ("VERB", "AUX"):
        return ""
    clause = tidy(said).rstrip(" .!?")
    return clause if clause[:2] in ("I ", "I'") or parse(clause)[0].pos_ == "PROPN" else clause[:1].lower() + clause[1:]


def _named(value: str) -> str:
    return value if any(char.isupper() for char in value) else value.title()


def _inside(text: str) -> str:
    """A sentence as it stands after a comma: a name and "I" keep their capital."""
    first = parse(text)[0]
    keeps = first.pos_ == "PROPN" or first.ent_type_ in ("PERSON", "GPE", "ORG") or first.lower_ in ("i", "i'm", "i've")
    return text if keeps and first.lower_ not in ("your", "you") else text[:1].lower() + text[1:]
