"""Questions that a statement answers, formed from its grammar: "I've been collecting cameras for three months" →
"How long have I been collecting cameras?", "What have I been collecting?", "Have I been collecting cameras?".

Works on the dependency parse of any first-person sentence; gives nothing for a clause it cannot turn round. Questions stay
in the first person, as their speaker types them. Not covered: answers, and questions about a topic as a whole
(`phrasings.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.fact_words import PEOPLE
from bot.language import parse, statement

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

MAX_COMPLEMENT_WORDS = 10
_FULL_FORMS = {"'ve": "have", "'m": "am", "'re": "are", "'ll": "will", "ca": "can", "wo": "will", "sha": "shall"}
_ANAPHORS = frozenset(
    ["it", "this", "that", "they", "these", "those", "he", "she", "there", "which", "who", "what", "one"]
)
_EMPTY_NOUNS = frozenset(
    [
        "thing",
        "things",
        "time",
        "times",
        "lot",
        "lots",
        "way",
        "bit",
        "kind",
        "sort",
        "type",
        "day",
        "days",
        "week",
        "weeks",
        "month",
        "months",
        "year",
        "years",
        "hour",
        "hours",
        "minute",
        "minutes",
        "one",
        "ones",
        "something",
        "everything",
        "anything",
        "nothing",
        "someone",
        "everyone",
        "anyone",
        "people",
        "part",
        "fact",
        "case",
        "idea",
        "help",
        "tip",
        "tips",
        "suggestion",
        "suggestions",
        "recommendation",
        "recommendations",
        "advice",
        "question",
        "questions",
        "today",
        "tomorrow",
        "yesterday",
        "while",
        "past",
        "point",
        "end",
        "beginning",
        "couple",
        "few",
        "rest",
        "kg",
        "km",
        "mile",
        "miles",
        "meter",
        "meters",
        "pound",
        "pounds",
        "dollar",
        "dollars",
        "percent",
        "cm",
        "number",
    ]
)
_DURATION_UNITS = frozenset(["second", "minute", "hour", "day", "week", "month", "year", "decade"])
_NEGATIONS = frozenset(["not", "n't", "never", "hardly", "rarely"])


@dataclass(frozen=True, slots=True)
class Question:
    """`says_yes`: None for an open question; for a yes/no one, whether the statement makes it yes."""

    text: str
    asks: str  # what | who | where | when | how_long | how_many | how_much | how_often | why | yes_no
    says_yes: bool | None = None


@dataclass(frozen=True, slots=True)
class _Clause:
    """A finite clause taken apart. "have" + "I" + "been collecting" + ["cameras", "for three months"]."""

    front: str
    subject: str
    rest: str
    plain: str  # the verb group in statement order: "have been collecting"
    complements: tuple[Token, ...]
    negated: bool
    copula: bool


def questions(text: str) -> list[Question]:
    """All questions found, without repeats, best first (open ones before yes/no)."""
    found: dict[str, Question] = {}
    for clause in _clauses(parse(statement(text))):
        for one in [*_open_questions(clause), *_yes_no(clause)]:
            found.setdefault(one.text.lower(), one)
    return sorted(found.values(), key=lambda one: one.says_yes is not None)


def topics(text: str) -> list[str]:
    """What a statement is about, as phrases that fit after "about": "my asylum application", "Lake Michigan"."""
    doc = parse(statement(text))
    found: dict[str, str] = {}
    for chunk in doc.noun_chunks:
        tokens = [token for token in chunk if token.pos_ != "PUNCT"]
        article = bool(tokens) and tokens[0].lower_ in ("a", "an", "the") and tokens[-1].tag_ == "NN"
        while tokens and (
            tokens[0].pos_ in ("DET", "NUM", "ADV", "CCONJ") or tokens[0].lower_ in ("such", "many", "some")
        ):
            tokens = tokens[1:]
        if not tokens or tokens[-1].pos_ in ("PRON", "NUM") or tokens[-1].lower_ in _EMPTY_NOUNS or len(tokens) > 6:
            continue
        if all(token.is_stop for token in tokens):
            continue
        phrase = _joined(tokens)
        if tokens[0].lower_ in ("my", "our"):
            phrase = f"my{phrase[len(tokens[0].text) :]}"
        elif article:
            phrase = f"the {phrase}"
        found.setdefault(phrase.lower(), phrase)
    for entity in doc.ents:
        if (
            entity.label_ in ("PERSON", "GPE", "ORG", "FAC", "LOC", "PRODUCT", "WORK_OF_ART", "EVENT")
            and len(entity) <= 6
        ):
            phrase = entity.text.removeprefix("the ").strip("\"'")
            found.setdefault(phrase.lower(), phrase)
    return list(found.values())


def _clauses(doc: Doc) -> Iterator[_Clause]:
    for verb in doc:
        if verb.pos_ not in ("VERB", "AUX") or verb.dep_ not in ("ROOT", "conj", "ccomp", "parataxis", "relcl"):
            continue
        clause = _take_apart(verb)
        if clause:
            yield clause


def _take_apart(verb: Token) -> _Clause | None:
    subject = next((child for child in verb.children if child.dep_ in ("nsubj", "nsubjpass")), None)
    inherited = subject is None and verb.dep_ == "conj"
    if inherited:
        subject = next((child for child in verb.head.children if child.dep_ in ("nsubj", "nsubjpass")), None)
    if subject is None or subject.i > verb.i or subject.lower_ in _ANAPHORS:
        return None
    who = _mid_sentence(subject)
    if not who or len(who.split()) > 6 or (subject.lower_ in ("you", "he", "she")):
        return None
    helpers = [child for child in verb.children if child.dep_ in ("aux", "auxpass") and child.i < verb.i]
    if inherited and not helpers and verb.tag_ in ("VBG", "VBN"):
        helpers = [child for child in verb.head.children if child.dep_ in ("aux", "auxpass") and child.i < verb.head.i]
    if any(helper.lower_ == "to" for helper in helpers):
        return None
    particle = " ".join(child.text for child in verb.children if child.dep_ == "prt")
    negated = any(child.lower_ in _NEGATIONS for child in verb.children if child.dep_ in ("neg", "advmod"))
    copula = verb.lemma_ == "be" and not helpers
    if copula:
        front, rest, plain = _full(verb), "", _full(verb)
    elif helpers:
        front = _full(helpers[0])
        tail = [*(helper.text for helper in helpers[1:]), verb.text, particle]
        rest = " ".join(part for part in tail if part)
        plain = f"{front} {rest}"
    elif verb.tag_ in ("VBD", "VBP", "VBZ", "VB"):
        front = {"VBD": "did", "VBZ": "does"}.get(verb.tag_, "do")
        rest = f"{verb.lemma_} {particle}".strip()
        plain = f"{verb.text} {particle}".strip()
    else:
        return None
    if front in ("was", "am") and who == "I" and copula is False and not rest:
        return None
    wanted = ("dobj", "attr", "acomp", "xcomp", "prep", "npadvmod", "dative", "agent", "oprd", "advcl")
    complements = tuple(
        child
        for child in verb.rights
        if child.dep_ in wanted and 0 < len(_span(child).split()) <= MAX_COMPLEMENT_WORDS and not _leans(child)
    )
    if (not complements and not rest) or any(child.dep_ == "ccomp" for child in verb.children):
        return None
    return _Clause(front.lower(), who, rest, plain, complements, negated, copula)


def _open_questions(clause: _Clause) -> Iterator[Question]:
    if clause.negated:
        return
    for target in clause.complements:
        others = [one for one in clause.complements if one is not target and one.i - target.i < 12]
        before = [one for one in others if one.i < target.i]
        for wh, asks, after in _wh(target, clause):
            kept = [_span(one) for one in (others if len(others) < 3 else before) if one.dep_ != "advcl"]
            for tail in {" ".join(kept), _span(before[0])} if before else {" ".join(kept), ""}:
                question = _words(wh, clause.front, clause.subject, clause.rest, tail, after)
                embedded = _words(wh.lower() if wh[:1] != "I" else wh, clause.subject, clause.plain, tail, after)
                if len(question.split()) < (4 if clause.copula else 3) and asks != "what":
                    continue
                yield Question(f"{question}?", asks)
                yield Question(f"Do you know {embedded}?", asks)
                yield Question(f"Can you remind me {embedded}?", asks)
                yield Question(f"Remind me {embedded}.", asks)
                yield Question(f"Tell me {embedded}.", asks)


def _yes_no(clause: _Clause) -> Iterator[Question]:
    kept = [one for one in clause.complements if one.dep_ != "advcl"]
    for count in {len(kept), min(1, len(kept))}:
        tail = " ".join(_span(one) for one in kept[:count])
        words = _words(clause.front, clause.subject, clause.rest, tail)
        if len(words.split()) >= 3:
            yield Question(f"{words[:1].upper()}{words[1:]}?", "yes_no", says_yes=not clause.negated)


def _wh(target: Token, clause: _Clause) -> Iterator[tuple[str, str, str]]:
    """(question words, kind, words after) that ask for a complement."""
    if target.dep_ in ("dobj", "attr", "oprd"):
        number = next((child for child in target.children if child.dep_ == "nummod"), None)
        if target.lemma_ in _DURATION_UNITS and number is not None:
            yield "How long", "how_long", ""
        elif number is not None and target.pos_ == "NOUN":
            noun = _joined([c for c in target.lefts if c.dep_ in ("compound", "amod") and c.i > number.i] + [target])
            yield f"How many {noun}", "how_many", ""
        elif target.ent_type_ == "MONEY":
            yield "How much", "how_much", ""
        elif target.ent_type_ == "PERSON" or target.lemma_ in PEOPLE:
            yield "Who", "who", ""
        elif clause.copula and clause.subject == "I":
            return
        else:
            yield "What", "what", ""
            described = any(child.dep_ in ("compound", "amod") for child in target.lefts)
            if target.pos_ == "NOUN" and described and not any(child.dep_ in ("det", "poss") for child in target.lefts):
                yield f"What kind of {target.text}", "what", ""
    elif target.dep_ == "npadvmod" or target.ent_type_ in ("DATE", "TIME"):
        yield from _time(target, _span(target))
    elif target.dep_ == "prep":
        yield from _preposition(target)
    elif target.dep_ == "xcomp" and target.tag_ in ("VB", "VBG"):
        yield "What", "what", "to do" if target.tag_ == "VB" else "doing"
    elif target.dep_ == "agent":
        yield "Who", "who", "by"
    elif target.dep_ == "advcl" and any(child.lower_ == "because" for child in target.children):
        yield "Why", "why", ""


def _preposition(target: Token) -> Iterator[tuple[str, str, str]]:
    word = target.lower_
    thing = next((child for child in target.children if child.dep_ == "pobj"), None)
    if thing is None:
        return
    kind = thing.ent_type_
    if word == "for" and (thing.lemma_ in _DURATION_UNITS):
        yield "How long", "how_long", ""
    elif word == "since":
        yield "Since when", "when", ""
    elif kind in ("DATE", "TIME"):
        if word in ("on", "in", "at", "by", "until", "during", "around", "before", "after"):
            yield from _time(thing, _span(thing))
    elif kind == "MONEY":
        yield "How much", "how_much", word
    elif word in ("in", "at", "to", "near", "into", "around", "on") and thing.ent_type_ in (
        "GPE",
        "LOC",
        "FAC",
        "ORG",
        "",
    ):
        if thing.ent_type_ or word in ("at", "in", "near") or thing.lemma_ in ("school", "college", "store", "shop"):
            yield "Where", "where", ""
        else:
            yield "What", "what", word
    elif word == "from" and (kind in ("GPE", "LOC", "FAC", "ORG")):
        yield "Where", "where", "from"
    elif thing.lemma_ in PEOPLE or kind == "PERSON":
        yield "Who", "who", word
    else:
        yield "What", "what", word


def _time(token: Token, phrase: str) -> Iterator[tuple[str, str, str]]:
    lowered = phrase.lower()
    if any(
        word in lowered.split() for word in ("every", "each", "per", "daily", "weekly", "times", "twice", "once", "a")
    ):
        yield "How often", "how_often", ""
    elif token.lemma_ in _DURATION_UNITS and any(child.dep_ == "nummod" for child in token.children):
        yield "How long", "how_long", ""
    elif any(mark in lowered for mark in (" am", " pm", ":", "o'clock", "noon")):
        yield "What time", "when", ""
    else:
        yield "When", "when", ""


def _leans(token: Token) -> bool:
    return any(part.lower_ in ("it", "that", "this", "which") for part in token.subtree)


def _full(token: Token) -> str:
    lowered = str(token.lower_)
    if lowered == "'d":
        return "had" if token.head.tag_ == "VBN" or token.tag_ == "VBD" else "would"
    if lowered == "'s":
        return "has" if token.head.tag_ == "VBN" and token.lemma_ == "have" else "is"
    return _FULL_FORMS.get(lowered, lowered)


def _span(token: Token) -> str:
    """The text of a token with everything that hangs on it, without punctuation at its ends."""
    subtree = list(token.subtree)
    first, last = subtree[0].i, subtree[-1].i
    return str(token.doc[first : last + 1].text).strip(' ,.;:!?-–"()')


def _mid_sentence(subject: Token) -> str:
    """A subject as it stands inside a sentence: "My family" → "my family", "Buddy" stays."""
    text, first = _span(subject), next(iter(subject.subtree))
    return text if first.pos_ == "PROPN" or first.lower_ == "i" else text[:1].lower() + text[1:]


def _joined(tokens: list[Token]) -> str:
    return "".join(token.text_with_ws for token in tokens).strip()


def _words(*parts: str) -> str:
    text = " ".join(part for part in parts if part)
    return text[:1].upper() + text[1:] if text[:1].islower() and parts[0][:1].isupper() else text
