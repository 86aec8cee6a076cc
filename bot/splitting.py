"""Long texts into messages: at paragraph, line and sentence ends, code blocks whole where they fit.

A cut depends only on the text before it, so the parts of a reply that is still being written stay as they are.
Lengths in UTF-16 code units, the larger of what the platforms count.
"""

from __future__ import annotations

import re
import unicodedata

_FENCE = re.compile(r"^[ \t]*(```|~~~)([^\n`]*)$", re.MULTILINE)
_SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’)\]]*(?=\s)")
_CLOSING_CHARS = 8  # room for the end of a code block that is cut
_JOINER = "\u200d"


def units(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text) + sum(char > "\uffff" for char in text)


def split(text: str, max_chars: int, *, markdown: bool = False) -> list[str]:
    """Parts of at most `max_chars` each; with `markdown`, no part leaves a code block open. [] for a blank text."""
    parts = []
    rest = text.strip()
    room = max_chars - _CLOSING_CHARS if markdown else max_chars
    while units(rest) > room:
        part, rest = _cut(rest, room, markdown)
        if part:
            parts.append(part)
    if rest:
        parts.append(closed(rest) if markdown else rest)
    return parts


def closed(text: str) -> str:
    """The text with an open code block ended."""
    fence = _open_fence(text)
    return f"{text.rstrip()}\n{fence[1]}" if fence else text


def _cut(text: str, room: int, markdown: bool) -> tuple[str, str]:
    """The next part, and the rest. What lies beyond `room` does not matter."""
    window = _prefix(text, room)
    at = _boundary(window)
    fence = _open_fence(text[:at]) if markdown else None
    if fence is None:
        return text[:at].rstrip(), text[at:].lstrip()
    if text[: fence.start()].strip():  # the block goes whole into the next message, if it fits there
        return text[: fence.start()].rstrip(), text[fence.start() :].lstrip("\n")
    if end := _end_of(fence, text, len(window)):
        return text[:end].rstrip(), text[end:].lstrip()
    line_end = window.rfind("\n")
    at = line_end if line_end > fence.end() else len(window)
    return f"{text[:at].rstrip()}\n{fence[1]}", f"{fence[0].strip()}\n{text[at:].removeprefix(chr(10))}"


def _end_of(opened: re.Match[str], text: str, within: int) -> int:
    """Where a code block ends, if that is `within` the first characters; else 0."""
    ends = (fence.end() for fence in _FENCE.finditer(text, opened.end()) if _ends(opened, fence))
    end = next(ends, 0)
    return end if end <= within and text[end : end + 1] == "\n" else 0


def _ends(opened: re.Match[str], fence: re.Match[str]) -> bool:
    return fence[1] == opened[1] and not fence[2].strip()


def _open_fence(text: str) -> re.Match[str] | None:
    """The fence of a code block that is not ended in the text."""
    opened: re.Match[str] | None = None
    for fence in _FENCE.finditer(text):
        if opened is None:
            opened = fence
        elif _ends(opened, fence):
            opened = None
    return opened


def _prefix(text: str, max_units: int) -> str:
    """The longest start of the text within `max_units`, not ending inside an emoji or before a combining mark."""
    end = used = 0
    for char in text:
        used += 2 if char > "\uffff" else 1
        if used > max_units:
            break
        end += 1
    while 0 < end < len(text) and _joined(text[end - 1], text[end]):
        end -= 1
    return text[: end or 1]


def _joined(before: str, after: str) -> bool:
    return (
        _JOINER in (before, after)
        or unicodedata.category(after) in ("Mn", "Me")
        or "\U0001f3fb" <= after <= "\U0001f3ff"
    )


def _boundary(window: str) -> int:
    """Where to cut: the last paragraph, line, sentence or word end that leaves a part of fair length."""
    fair = len(window) // 3
    paragraph = window.rfind("\n\n")
    if paragraph > fair:
        return paragraph
    sentence = max((match.end() for match in _SENTENCE_END.finditer(window)), default=-1)
    line = window.rfind("\n")
    if (best := max(sentence, line)) > fair:
        return best
    word = max(window.rfind(" "), best)
    return word if word > 0 else len(window)
