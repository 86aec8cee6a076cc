"""How people really type: no capitals, no apostrophes, letters swapped or missed, chat spellings. Pure, from a seed."""

from __future__ import annotations

import random
import re

_CHAT = {
    "what is": "whats", "what's": "whats", "who is": "whos", "when is": "whens", "where is": "wheres", "you": "u",
    "are": "r", "please": "pls", "about": "abt", "your": "ur", "know": "kno", "what": "wat",
}  # fmt: skip


_OPENERS = ("hey ", "hey, ", "so ", "hi, ", "ok ", "quick question: ", "um ", "sorry, ", "btw ", "hello ")
_ENDINGS = (" pls", " again", " please", " thx", " now", "??", " btw", " tho")


def slip(text: str, rng: random.Random) -> str:
    """The text with one to three slips; never empty, and never with another word's meaning."""
    typed = text
    if rng.random() < 0.25:
        typed = rng.choice(_OPENERS) + typed[:1].lower() + typed[1:]
    if rng.random() < 0.2:
        typed = typed.rstrip("?.!") + rng.choice(_ENDINGS)
    if rng.random() < 0.75:
        typed = typed.lower()
    if rng.random() < 0.7:
        typed = typed.rstrip("?.!")
    typed = re.sub(r"['’]", "", typed) if rng.random() < 0.7 else typed
    if rng.random() < 0.35:
        typed = _chat_spelling(typed, rng)
    if rng.random() < 0.45:
        typed = _finger_slip(typed, rng)
    return typed if typed.strip() and typed != text else text.lower().rstrip("?.!")


def _chat_spelling(text: str, rng: random.Random) -> str:
    fitting = [word for word in _CHAT if re.search(rf"\b{re.escape(word)}\b", text)]
    if not fitting:
        return text
    word = rng.choice(fitting)
    return re.sub(rf"\b{re.escape(word)}\b", _CHAT[word], text, count=1)


def _finger_slip(text: str, rng: random.Random) -> str:
    """Two neighbouring letters swapped, one missed or one doubled, inside a word of five letters or more."""
    words = list(re.finditer(r"[a-z]{5,}", text))
    if not words:
        return text
    word = rng.choice(words)
    at = rng.randrange(word.start() + 1, word.end() - 2)
    kind = rng.choice(("swap", "miss", "double"))
    if kind == "swap":
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    if kind == "miss":
        return text[:at] + text[at + 1 :]
    return text[: at + 1] + text[at] + text[at + 1 :]
