"""How people ask about the kinds of things they tell most: tastes, what they have and are, plans, abilities, habits.

"I love tacos" → "How do I feel about tacos?", "Am I into tacos?", "Do I hate tacos?". A statement of no kind known gives
nothing here; `questions.py` asks about any clause. Not covered: answers (`phrasings.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from bot.language import parse, statement
from trainer.questions import EMPTY_NOUNS

if TYPE_CHECKING:
    from spacy.tokens import Token

MAX_WORDS = 8  # of what is liked, had or planned, as it stands in a question
_LIKED = frozenset(["like", "love", "enjoy", "adore", "prefer", "appreciate"])
_DISLIKED = frozenset(["hate", "dislike", "despise", "detest", "loathe"])
_HAD = frozenset(["have", "own"])
_PLANNED = frozenset(["want", "plan", "hope", "intend", "aim", "dream", "wish"])
_NEGATIONS = frozenset(["not", "n't", "never"])


@dataclass(frozen=True, slots=True)
class Asked:
    """A question of a family of `phrasings.py`; the families yes and no say how its answer begins."""

    text: str
    family: Literal["direct", "indirect", "imperative", "fragment", "yes", "no"]


_Templates = dict[str, tuple[str, ...]]

_TASTE: _Templates = {
    "direct": ("How do I feel about {x}?", "What do I think of {x}?", "What's my opinion on {x}?", "Where do I stand on {x}?"),
    "indirect": (
        "Do you know how I feel about {x}?", "Can you tell me what I think of {x}?", "I wonder how I feel about {x}.",
        "Any idea what I think about {x}?",
    ),
    "imperative": ("Tell me how I feel about {x}.", "Say what I think of {x}.", "Remind me how I feel about {x}."),
    "fragment": ("me and {x}?", "my opinion on {x}", "{x} and me?"),
}  # fmt: skip
_LIKES: _Templates = _TASTE | {
    "yes": ("Am I into {x}?", "Am I a fan of {x}?", "Would you count {x} among what I like?", "{X}, do I like that?", "I'm fond of {x}, right?"),
    "no": ("Do I hate {x}?", "Do I dislike {x}?", "Would you say I can't stand {x}?", "I can't stand {x}, right?"),
}  # fmt: skip
_HATES: _Templates = _TASTE | {
    "yes": ("Do I dislike {x}?", "Would you say I can't stand {x}?", "I'm no fan of {x}, right?"),
    "no": ("Do I like {x}?", "Am I into {x}?", "Am I a fan of {x}?", "Would you count {x} among what I like?"),
}
_HAS: _Templates = {
    "indirect": ("Do you know whether I have {x}?", "Can you tell me if I have {x}?", "I can't recall, do I have {x}?"),
    "imperative": ("Tell me whether I have {x}.", "Say if I have {x}."),
    "yes": ("Have I got {x}?", "Don't I have {x}?", "I have {x}, don't I?"),
    "no": ("Is it true that I don't have {x}?", "Do I lack {x}?"),
}  # fmt: skip
_IS: _Templates = {
    "direct": ("What did I say I am?", "How did I describe myself?"),
    "indirect": (
        "Could you say if I am {x}?", "I wonder whether you know if I'm {x}.", "Do you know if I'm {x}?", "Can you tell me whether I am {x}?",
    ),
    "imperative": ("Say whether I'm {x}.", "Tell me if I am {x}."),
    "fragment": ("{x}, me?", "me, {x}?"),
    "yes": ("Would you say I'm {x}?", "I'm {x}, right?", "So I am {x}?", "Aren't I {x}?", "Do you know me to be {x}?"),
    "no": ("Is it wrong to call me {x}?", "Am I anything but {x}?"),
}  # fmt: skip
_IS_NOT: _Templates = {
    "direct": ("What did I say I am not?",),
    "indirect": ("Do you know if I'm {x}?", "Can you tell me whether I am {x}?"),
    "imperative": ("Tell me whether I'm {x}.", "Say if I am {x}."),
    "no": ("Would you say I'm {x}?", "I'm {x}, right?", "So I am {x}?"),
}
_PLANS: _Templates = {
    "direct": ("What are my plans?", "What did I say I'd like to do?", "What do I have in mind to do?", "Which wish of mine do you know?"),
    "indirect": ("Do you know what I'm hoping to do?", "Any idea what I have in mind?", "Do you remember what I'd like to do?"),
    "imperative": ("Tell me about my plans.", "Remind me of what I have in mind.", "Name a wish of mine."),
    "fragment": ("my plans?", "my wishes?"),
    "yes": ("Would I like to {x}?", "Is it my wish to {x}?", "Is it on my mind to {x}?"),
    "no": ("Have I no wish to {x}?", "Am I against the idea to {x}?"),
}  # fmt: skip
_CAN: _Templates = {
    "direct": ("What am I able to do?", "What can I do?", "Which skill of mine do you know?"),
    "indirect": ("Do you know if I can {x}?", "Can you tell me whether I'm able to {x}?"),
    "imperative": ("Name something I can do.", "Tell me whether I can {x}."),
    "yes": ("Am I able to {x}?", "Do I know how to {x}?", "I can {x}, right?"),
    "no": ("Am I unable to {x}?", "Is it beyond me to {x}?"),
}


def asked(text: str) -> Iterator[Asked]:
    """Questions about a statement whose subject is its speaker, by its kind."""
    doc = parse(statement(text))
    for verb in doc:
        if verb.dep_ not in ("ROOT", "conj") or verb.pos_ not in ("VERB", "AUX") or not _of_the_speaker(verb):
            continue
        negated = any(child.lower_ in _NEGATIONS for child in verb.children)
        for templates, thing in _kinds(verb, negated):
            if not 0 < len(thing.split()) <= MAX_WORDS:
                continue
            for family, of_family in templates.items():
                for template in of_family:
                    words = template.format(x=thing, X=thing[:1].upper() + thing[1:])
                    yield Asked(words, family)  # type: ignore[arg-type]


def _kinds(verb: Token, negated: bool) -> Iterator[tuple[_Templates, str]]:
    """The templates that fit, each with the words for what the statement is about."""
    helpers = [child.lower_ for child in verb.children if child.dep_ == "aux"]
    object_ = next((child for child in verb.children if child.dep_ == "dobj" and child.i > verb.i), None)
    action = next((child for child in verb.children if child.dep_ == "xcomp" and child.i > verb.i), None)
    if "can" in helpers and not negated:
        yield _CAN, _phrase(verb)
        return
    if any(word in ("would", "could", "should", "might", "may", "used") for word in helpers):
        return
    if verb.lemma_ in _LIKED | _DISLIKED:
        templates = _HATES if negated != (verb.lemma_ in _DISLIKED) else _LIKES
        if object_ is not None and object_.lower_ in EMPTY_NOUNS:
            return
        thing = _phrase(object_) if object_ is not None else _doing(action) if action is not None else ""
        if thing.lower() not in ("it", "them", "that", "this", "you", "him", "her"):
            yield templates, thing
    elif verb.lemma_ in _HAD and object_ is not None and not negated and verb.tag_ in ("VBP", "VB"):
        yield _HAS, _phrase(object_)
    elif verb.lemma_ == "be" and verb.lower_ in ("am", "'m"):
        is_what = next((child for child in verb.children if child.dep_ in ("attr", "acomp") and child.i > verb.i), None)
        if is_what is not None and not (is_what.like_num or is_what.pos_ == "NUM"):
            yield (_IS_NOT if negated else _IS), _phrase(is_what)
    elif verb.lemma_ in _PLANNED and action is not None and not negated and action.tag_ == "VB":
        yield _PLANS, _phrase(action)


def _of_the_speaker(verb: Token) -> bool:
    subject = next((child for child in verb.children if child.dep_ in ("nsubj", "nsubjpass")), None)
    if subject is None and verb.dep_ == "conj":
        return _of_the_speaker(verb.head)
    conditions = [child for child in verb.children if child.dep_ == "advcl"]
    if any(part.lower_ in ("if", "unless", "when") for one in conditions for part in one.children):
        return False
    return subject is not None and subject.lower_ in ("i", "we")


def _phrase(token: Token) -> str:
    """A token and what follows from it, without what stands before a verb (subject, "to") and without a second clause."""
    last = token.i
    for part in token.subtree:
        joined = [part, *part.ancestors]
        cut = any(
            one.dep_ in ("conj", "cc", "advcl", "relcl", "ccomp") and one.i > token.i
            for one in joined
            if one.i != token.i
        )
        if part.i > last and not cut and part.pos_ != "PUNCT" and part.i == last + 1:
            last = part.i
    first = token.i if token.pos_ in ("VERB", "AUX") else min(part.i for part in token.subtree)
    words = str(token.doc[first : last + 1].text).strip(' ,.;:!?-"()')
    return re.sub(r"^(?:to|also|just|really) ", "", words)


def _doing(verb: Token) -> str:
    """ "to go hiking" → "going hiking"."""
    phrase = _phrase(verb)
    first, _, rest = phrase.partition(" ")
    if verb.tag_ == "VBG":
        return phrase
    if verb.lower_ != first.lower() or verb.tag_ != "VB":
        return ""
    return f"{gerund(first)} {rest}".strip()


def gerund(verb: str) -> str:
    """ "make" → "making", "swim" → "swimming", "see" → "seeing"."""
    if verb.endswith("ie"):
        return f"{verb[:-2]}ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and verb != "be":
        return f"{verb[:-1]}ing"
    if re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", verb) or verb in ("begin", "forget"):
        return f"{verb}{verb[-1]}ing"
    return f"{verb}ing"
