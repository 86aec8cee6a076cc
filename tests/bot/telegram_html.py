"""Telegram's HTML parse mode, as strict as Telegram: text with tags → plain text and entities, or an error.

Offsets and lengths are in UTF-16 code units, as in the Bot API.
"""

from __future__ import annotations

import re
from html import unescape
from typing import Any

KINDS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "a": "text_link",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
}
PIECE = re.compile(r"<(/?)([a-zA-Z-]*)((?:\s[^<>]*)?)>|(<)|(&(?:lt|gt|amp|quot|#\d+|#x[0-9a-fA-F]+);)|([^<&]+|&)")
HREF = re.compile(r'^\s+href="([^"<>]+)"$')
LANGUAGE = re.compile(r'^\s+class="language-[^"<>]+"$')


class CannotParse(ValueError):
    """Carries the words with which Telegram refuses the text."""


def utf16_length(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def parse(source: str) -> tuple[str, list[dict[str, Any]]]:
    """(text without tags, entities in order of their start).

    Raises:
        CannotParse: Telegram would answer 400.
    """
    text = ""
    opened: list[tuple[str, int, str]] = []  # (tag, offset, address of a link)
    entities: list[dict[str, Any]] = []
    for piece in PIECE.finditer(source):
        closing, tag, attributes, stray, entity, plain = piece.groups()
        offset = len(source[: piece.start()].encode())
        if stray:
            raise CannotParse(f"Unclosed start tag at byte offset {offset}")
        if plain is not None or entity is not None:
            text += plain if plain is not None else unescape(entity)
            continue
        tag = tag.lower()
        if closing:
            if not opened or opened[-1][0] != tag:
                raise CannotParse(f'Unmatched end tag at byte offset {offset}, found "</{tag}>"')
            _, start, address = opened.pop()
            length = utf16_length(text) - start
            if length:
                link = {"url": address} if address else {}
                entities.append({"type": KINDS[tag], "offset": start, "length": length, **link})
            continue
        if tag not in KINDS or (attributes and not _allowed(tag, attributes)):
            raise CannotParse(f'Unsupported start tag "{tag}" at byte offset {offset}')
        link_to = HREF.match(attributes)
        opened.append((tag, utf16_length(text), unescape(link_to[1]) if link_to else ""))
    if opened:
        raise CannotParse(f'Can\'t find end tag corresponding to start tag "{opened[-1][0]}"')
    return text, sorted(entities, key=lambda found: (found["offset"], -found["length"]))


def _allowed(tag: str, attributes: str) -> bool:
    if tag == "a":
        return HREF.match(attributes) is not None
    return (tag == "code" and LANGUAGE.match(attributes) is not None) or (
        tag == "blockquote" and attributes.strip() == "expandable"
    )
