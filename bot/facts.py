"""A sentence the user wrote → facts (subject, attribute, value, and the sentence itself).

`understand` reads what is told on purpose (/remember), `said_in_passing` finds facts in ordinary messages. Not covered: whether a
newer fact changes an older one (`fact_changes.py`), questions about facts (the trainer's phrasings), and languages other than English.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path

from bot.errors import NotAFact
from bot.fact_patterns import read_off
from bot.fact_words import PEOPLE, PETS
from bot.language import is_question, opens_like_question, parse, sentences, statement, tidy, without_lead_in, you_form

__all__ = ["Fact", "FollowUp", "follow_up", "said_in_passing", "understand", "you_form"]

MAX_FACT_CHARS = 600
MAX_CLAUSE_WORDS = 7  # longer clauses of one sentence lean on each other too often to be parted


@dataclass(frozen=True, slots=True)
class Fact:
    """One lasting statement of a user's.

    `text` is the sentence as said (always kept). The other three are filled where they can be read off it:
    "my dog is Buddy" → subject "dog", attribute "name", value "Buddy"; "I am 25" → subject "" (the user), "age", "25".
    """

    text: str
    subject: str = ""
    attribute: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A question that fits a fact just told. `told_as` makes a fact of its answer: "my dog's breed is {answer}"."""

    question: str
    told_as: str


_SMALL_TALK = re.compile(
    r"^(?:(?:ha)+h?|lol|ok(?:ay)?|thanks?|thank you|thx|hi|hello|hey|yo|bye|goodbye|good (?:morning|night|evening)|yes|no|"
    r"yeah|yep|nope|sure|cool|nice|great|wow|hmm+|please|test|idk|(?:i (?:don'?t know|see)|never ?mind|nothing|whatever|"
    r"sounds good|got it|me too|same|right|fine|you too|how are you)(?=[,.!?]|$))(?:[\s,.!?]+|$)",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r"\b(?:i|i'm|i've|i'd|i'll|my|me|mine|we|our|us|we're|we've|myself)\b", re.IGNORECASE)


def understand(text: str) -> list[Fact]:
    """The facts told in a text, in the order told.

    Raises:
        NotAFact: there is none; the message says what to write instead.
    """
    said = tidy(text)
    if not said:
        raise NotAFact("Tell me something about yourself, for example: /remember my dog is Buddy")
    if len(said) > MAX_FACT_CHARS:
        raise NotAFact(
            f"That is {len(said):,} characters; I can take up to {MAX_FACT_CHARS} at a time. Please tell me in smaller pieces."
        )
    if sum(char.isalpha() for char in said) < 2:
        raise NotAFact("I can't read a fact in that. Write it in words, for example: my dog is Buddy")
    if _only_small_talk(said):
        raise NotAFact("There is no lasting fact in that. Tell me something about you, for example: I live in Oslo")
    if not _is_english(said):
        raise NotAFact("I only understand English so far. Please tell me that in English, for example: my dog is Buddy")
    stated = statement(said)
    mine = bool(_FIRST_PERSON.search(stated))
    if all(is_question(one) for one in sentences(said)) and not (mine and len(said.split()) > 12):
        raise NotAFact(
            "That is a question: just send it to me without /remember. To tell me something: my dog is Buddy"
        )
    if opens_like_question(stated) and not _FIRST_PERSON.match(stated) and not is_question(stated):
        raise NotAFact("That reads like a question or a request. To tell me something, write it as: my dog is Buddy")
    if not mine and _is_order(stated):
        raise NotAFact("That reads like an instruction, not a fact about you. To tell me something: my dog is Buddy")
    if not mine and not _says_something(stated):
        raise NotAFact("I can't read a fact in that. Please write a whole sentence, for example: my dog is Buddy")
    return [_structured(part) for part in _split(said)]


def said_in_passing(text: str) -> list[Fact]:
    """Facts in an ordinary message ("by the way I'm 25 now, what should I cook?"); empty if there is none worth keeping."""
    found = []
    for one in sentences(tidy(text)):
        for clause in re.split(
            r",\s+(?=(?:what|where|when|who|how|why|can|could|do|does|should|any)\b)", one, flags=re.IGNORECASE
        ):
            told = without_lead_in(clause).rstrip(" ,")
            if is_question(told) or opens_like_question(told) or not _lasting(told):
                continue
            try:
                found += understand(told)
            except NotAFact:
                continue
    return found


_FOLLOW_UPS: tuple[tuple[Callable[[Fact], bool], str, str], ...] = (
    (lambda f: f.attribute == "name" and f.subject in ("dog", "cat", "horse", "puppy"), "What breed is {value}?", "my {subject}'s breed is {{answer}}"),
    (lambda f: f.attribute == "name" and f.subject in PETS, "How old is {value}?", "my {subject} is {{answer}} years old"),
    (lambda f: f.attribute == "name" and f.subject in PEOPLE, "Where does {value} live?", "my {subject} lives in {{answer}}"),
    (lambda f: f.attribute == "name" and not f.subject, "Nice to meet you, {value}. Where do you live?", "I live in {{answer}}"),
    (lambda f: f.attribute == "age" and not f.subject, "When is your birthday?", "my birthday is {{answer}}"),
    (lambda f: f.attribute == "birthday" and not f.subject, "How old are you?", "I am {{answer}} years old"),
    (lambda f: f.attribute == "home" and not f.subject, "What do you do for a living?", "I work as {{answer}}"),
    (lambda f: f.attribute == "origin", "And where do you live now?", "I live in {{answer}}"),
    (lambda f: f.attribute == "job" and not f.subject, "Where do you work?", "I work at {{answer}}"),
    (lambda f: f.attribute == "employer", "What do you do there?", "my job is {{answer}}"),
    (lambda f: f.subject in PETS, "What is your {subject}'s name?", "my {subject}'s name is {{answer}}"),
    (lambda f: f.subject in PEOPLE and f.attribute != "name", "What is your {subject}'s name?", "my {subject}'s name is {{answer}}"),
)  # fmt: skip


def follow_up(fact: Fact) -> FollowUp | None:
    """One question that fits a fact just told; None where none would be natural."""
    for fits, question, told_as in _FOLLOW_UPS:
        if fits(fact):
            return FollowUp(question.format(**_parts(fact)), told_as.format(**_parts(fact)))
    return None


def _parts(fact: Fact) -> dict[str, str]:
    return {"subject": fact.subject, "value": fact.value}


def _structured(text: str) -> Fact:
    """Subject, attribute and value where a pattern of everyday statements fits."""
    return Fact(text, *(read_off(without_lead_in(statement(text)).strip()) or ("", "", "")))


@lru_cache(maxsize=1)
def stop_words() -> tuple[frozenset[str], frozenset[str]]:
    """Function words of English, and those of other languages that are not also English ones."""
    english = _stop_words_of("en") | {"i", "im", "i'm", "name", "like", "love"}
    others = frozenset[str]().union(
        *map(_stop_words_of, ("de", "fr", "es", "it", "pt", "nl", "sv", "pl", "tr", "fi", "id"))
    )
    return english, others - english


def _stop_words_of(code: str) -> frozenset[str]:
    """spaCy's list for a language, without importing the language itself, which takes French alone five seconds."""
    spec = find_spec("spacy")
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0]) / "lang" / code / "stop_words.py"
    return frozenset(run_path(str(path))["STOP_WORDS"])


def _is_english(text: str) -> bool:
    letters = [char for char in text if char.isalpha()]
    if sum(char.isascii() for char in letters) < 0.7 * len(letters):
        return False
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text.lower())
    english, others = stop_words()
    ours, theirs = sum(word in english for word in words), sum(word in others for word in words)
    return ours >= theirs


def _only_small_talk(text: str) -> bool:
    rest, before = text, ""
    while rest != before:
        rest, before = _SMALL_TALK.sub("", rest), rest
    return not any(char.isalpha() for char in rest)


def _is_order(text: str) -> bool:
    """Words to the assistant ("ignore your instructions …", "you are now …"), with nobody's fact in them."""
    root = next(token for token in parse(text) if token.dep_ == "ROOT")
    subjects = [child.lower_ for child in root.children if child.dep_ in ("nsubj", "nsubjpass", "csubj", "expl")]
    return "you" in subjects or (root.tag_ == "VB" and not subjects and root.i <= 2)


def _says_something(stated: str) -> bool:
    """Whether there is a verb, or what a parser takes for none: "Pickle's four", "Favourite season: autumn"."""
    if any(token.pos_ in ("VERB", "AUX") for token in parse(stated)):
        return True
    return bool(re.search(r"\w's \w|\w: \w", stated)) or (len(stated.split()) > 3 and bool(re.search(r"\d", stated)))


def _lasting(sentence: str) -> bool:
    """Whether a sentence states something of the speaker's that will still be true next week."""
    if not re.match(r"^(?:i|i'm|i've|my|we|our|we've)\b", sentence, re.IGNORECASE):
        return False
    if _structured(sentence).attribute not in ("", "is"):
        return True
    doc = parse(sentence)
    root = next(token for token in doc if token.dep_ == "ROOT")
    if root.lemma_ in {"think", "need", "want", "guess", "wonder", "hope", "try", "feel", "mean", "know", "see", "ask", "wish",
                       "look", "say", "tell", "forget", "understand", "agree", "thank", "suppose", "believe", "go", "come"}:  # fmt: skip
        return False
    subject = next((child for child in root.children if child.dep_ in ("nsubj", "nsubjpass")), None)
    return subject is not None and (subject.lower_ in ("i", "we") or any(child.lower_ in ("my", "our") for child in subject.children)) and len(doc) > 3  # fmt: skip


_BACK_REFERENCE = re.compile(
    r"\b(?:it|its|it's|that|this|there|they|them|he|she|him|her|his|one|ones|those|these)\b", re.IGNORECASE
)

_COUNTS_ON = re.compile(
    r"\b(?:just|so far|already|more)\b.*\b(?:\d\S*|two|three|four|five|six|seven|eight|nine|ten)\b", re.IGNORECASE
)


def _split(text: str) -> list[str]:
    """The text's own facts: sentences and clauses that stand alone; a text whose parts lean on each other stays whole."""
    parts = [without_lead_in(one) for one in sentences(text)]
    if len(parts) > 1 and all(_stands_alone(part) for part in parts):
        return [clause for part in parts for clause in _clauses(part)]
    return _clauses(text) if len(parts) == 1 else [text]


def _stands_alone(sentence: str) -> bool:
    return bool(
        len(sentence.split()) <= 12
        and not is_question(sentence)
        and re.match(r"^(?:i|i'm|i've|my|we|our|we've)\b", sentence, re.IGNORECASE)
        and not _BACK_REFERENCE.search(sentence)
    )


def _is_whole(clause: str) -> bool:
    words = len(clause.split())
    return words <= MAX_CLAUSE_WORDS and (words > 2 or bool(_structured(clause).attribute))


def _clauses(sentence: str) -> list[str]:
    """ "my dog is Buddy and my cat is Tom" → two; "I'm 25 and live in Oslo" → two; else the sentence as it is."""
    if len(sentence.split()) > 20 or _BACK_REFERENCE.search(sentence):
        return [sentence]
    split = re.split(r",? (?:and|but) (?=(?:I|my|I'm|I've|our|we)\b)|; ", sentence)
    if any(_COUNTS_ON.search(part) for part in split[1:]):
        return [sentence]
    if len(split) > 1 and all(_stands_alone(part) and _is_whole(part) for part in split):
        return [part[:1].upper() + part[1:] if part.startswith("i") else part for part in split]
    shared = re.match(r"^(I(?:'m| am) .+?) and ((?:live|work|love|like|have|study|own|play|speak|enjoy) .+)$", sentence)
    if shared and " and " not in shared[1]:
        return [shared[1], f"I {shared[2]}"]
    return [sentence]
