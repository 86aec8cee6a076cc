"""Questions that a statement answers, formed from its grammar: "I've been collecting cameras for three months" →
"How long have I been collecting cameras?", "What have I been collecting?", "Have I been collecting cameras?".

Works on the dependency parse of any first-person sentence; gives nothing for a clause it cannot turn round. Questions stay
in the first person, as their speaker types them. Not covered: answers, and questions about a topic as a whole
(`phrasings.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.fact_words import OCCUPATIONS, PEOPLE
from bot.language import parse, statement

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

MAX_COMPLEMENT_WORDS = 10
_FULL_FORMS = {"'ve": "have", "'m": "am", "'re": "are", "'ll": "will", "ca": "can", "wo": "will", "sha": "shall"}
_ANAPHORS = frozenset(
    ["it", "this", "that", "they", "these", "those", "he", "she", "there", "which", "who", "what", "one"]
)
EMPTY_NOUNS = frozenset([
    "thing", "things", "time", "times", "lot", "lots", "way", "bit", "kind", "sort", "type", "day", "days", "week",
    "weeks", "month", "months", "year", "years", "hour", "hours", "minute", "minutes", "one", "ones", "something",
    "everything", "anything", "nothing", "someone", "everyone", "anyone", "people", "part", "fact", "case", "idea",
    "help", "tip", "tips", "suggestion", "suggestions", "recommendation", "recommendations", "advice", "question",
    "questions", "today", "tomorrow", "yesterday", "while", "past", "point", "end", "beginning", "couple", "few",
    "rest", "kg", "km", "mile", "miles", "meter", "meters", "pound", "pounds", "dollar", "dollars", "percent", "cm",
    "number", "stuff", "home", "living", "mind", "life", "world", "body",
])  # fmt: skip
_PERSONS = (
    PEOPLE
    | OCCUPATIONS
    | frozenset(["parent", "family", "relative", "person", "man", "woman", "girl", "boy", "guy", "lady"])
)
_DURATION_UNITS = frozenset(["second", "minute", "hour", "day", "week", "month", "year", "decade"])
_CAN_BE_SUBJECT = ("NOUN", "PROPN", "PRON", "VERB", "NUM")
_VAGUE_VERBS = frozenset(["have", "get", "see", "do", "make", "take", "go"])
_DISTANCE_UNITS = frozenset(["mile", "kilometer", "kilometre", "km", "meter", "metre", "yard", "lap"])
_NEGATIONS = frozenset(["not", "n't", "never", "hardly", "rarely"])


@dataclass(frozen=True, slots=True)
class Question:
    """`says_yes`: None for an open question; for a yes/no one, whether the statement makes it yes."""

    text: str
    asks: str  # what | who | where | when | how_long | how_far | how_many | how_much | how_often | why | yes_no
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
    inside = -1  # the last token of a topic that went on past its chunk
    for chunk in doc.noun_chunks:
        tokens = [token for token in chunk if token.pos_ != "PUNCT"]
        article = bool(tokens) and tokens[0].lower_ in ("a", "an", "the") and tokens[-1].tag_ == "NN"
        indefinite = article and tokens[0].lower_ != "the"
        if chunk.start <= inside or _describes(chunk.root, indefinite):
            continue
        while tokens and (
            tokens[0].pos_ in ("DET", "NUM", "ADV", "CCONJ") or tokens[0].lower_ in ("such", "many", "some")
        ):
            tokens = tokens[1:]
        if not tokens or tokens[-1].pos_ in ("PRON", "NUM") or tokens[-1].lower_ in EMPTY_NOUNS or len(tokens) > 6:
            continue
        if all(token.is_stop for token in tokens) or tokens[0].lower_ in ("their", "his", "her", "its"):
            continue
        if tokens[-1].i == chunk.root.i and (of := _of_phrase(chunk.root)):
            tokens, inside = [*tokens, *of], of[-1].i
        phrase = _joined(tokens)
        if tokens[0].lower_ in ("my", "our"):
            phrase = f"my{phrase[len(tokens[0].text) :]}"
        elif _is_had(chunk.root, indefinite):
            phrase = f"my {phrase}"
        elif article and not (indefinite and _negated(chunk.root.head)):
            phrase = f"the {phrase}"
        elif indefinite:
            phrase = f"{chunk[0].lower_} {phrase}"
        found.setdefault(phrase.lower(), phrase)
    for entity in doc.ents:
        if (
            entity.label_ in ("PERSON", "GPE", "ORG", "FAC", "LOC", "PRODUCT", "WORK_OF_ART", "EVENT")
            and len(entity) <= 6
        ):
            phrase = entity.text.removeprefix("the ").strip("\"'")
            if phrase.islower() and any(phrase in key for key in found):
                continue  # a common noun that is taken for a name
            found.setdefault(phrase.lower(), phrase)
    return list(found.values())


def _describes(token: Token, indefinite: bool) -> bool:
    """ "a cook" in "I'm a cook" and "my son is a cook": what somebody is, not something that one is asked about."""
    subject = next((child for child in token.head.children if child.dep_ == "nsubj"), None)
    speaks = token.head.dep_ == "xcomp" if subject is None else subject.lower_ in ("i", "we")
    return token.dep_ == "attr" and token.head.lemma_ == "be" and (speaks or indefinite)


def _is_had(token: Token, indefinite: bool) -> bool:
    """ "a truck" in "I bought a truck", "blue eyes" in "I have blue eyes": their owner says "my truck", "my blue eyes"."""
    verb, determiner = token.head, next((child.lower_ for child in token.lefts if child.dep_ in ("det", "nummod")), "")
    owner = next((child for child in verb.children if child.dep_ == "nsubj"), None)
    verbs = ("have", "own", "buy", "get", "adopt", "drive") if indefinite else ("have", "own")
    mine = owner is not None and owner.lower_ in ("i", "we") and determiner not in ("the", "no", "zero", "this", "that")
    return token.dep_ == "dobj" and verb.lemma_ in verbs and mine and not _negated(verb)


def _negated(token: Token) -> bool:
    """Whether the nearest verb, or the token itself where it is one, is negated."""
    verb = next((one for one in (token, *token.ancestors) if one.pos_ in ("VERB", "AUX")), token)
    return any(child.lower_ in _NEGATIONS for child in verb.children)


def _of_phrase(token: Token) -> list[Token]:
    """ "of the house" after "the roof"; only what follows at once and is short."""
    of = next((child for child in token.children if child.lower_ == "of" and child.i == token.i + 1), None)
    rest = list(of.subtree) if of is not None else []
    return rest if 1 < len(rest) <= 5 and all(part.pos_ not in ("PUNCT", "NUM") for part in rest) else []


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
    if subject is None or subject.i > verb.i or subject.lower_ in _ANAPHORS or subject.pos_ not in _CAN_BE_SUBJECT:
        return None
    if inherited and (subject.lower_ not in ("i", "we") and verb.head.lemma_ == "be"):
        return None  # a noun taken for a verb ("my colors are red and dark blue")
    if any(
        part.lower_ in ("if", "unless") for child in verb.children if child.dep_ == "advcl" for part in child.children
    ):
        return None  # true only where something else is
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
    if clause.negated or (clause.copula and not re.search(r"\b(?:I|we|my|our)\b", clause.subject, re.IGNORECASE)):
        return  # "what is chess?" is no question about somebody whose favorite game it is
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
        elif target.ent_type_ == "PERSON" or target.lemma_ in _PERSONS:
            of_person = any(word.lower() in _PERSONS for word in clause.subject.split())
            if target.head.lemma_ not in _VAGUE_VERBS and (of_person or not clause.copula):
                yield "Who", "who", ""
        elif (clause.copula and clause.subject == "I") or target.lemma_ in EMPTY_NOUNS:
            return
        else:
            if target.head.lemma_ not in _VAGUE_VERBS or len(clause.complements) > 1:
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
            if word in ("on", "at"):
                yield from _time(thing, _span(thing))
            else:
                yield "When", "when", ""
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
    elif thing.lemma_ in _PERSONS or kind == "PERSON":
        yield "Who", "who", word
    else:
        yield "What", "what", word


def _time(token: Token, phrase: str) -> Iterator[tuple[str, str, str]]:
    lowered = phrase.lower()
    often = ("every", "each", "per", "daily", "weekly", "times", "twice", "once")
    if any(word in lowered.split() for word in often) or re.search(
        r"\ban? (?:hour|day|week|month|year|night)$", lowered
    ):
        yield "How often", "how_often", ""
    elif token.lemma_ in _DISTANCE_UNITS:
        yield "How far", "how_far", ""
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
    while len(subtree) > 1 and subtree[-1].pos_ in ("CCONJ", "PUNCT"):
        subtree.pop()
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
