"""Markdown as models write it → the HTML that Telegram accepts.

Telegram knows few tags and refuses a message with any other, so all that it cannot show becomes plain text: headings
turn bold, lists get their bullets as characters, tables and raw HTML stay as they were typed.
Not covered: splitting a long reply (its Markdown is split first).
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token

LINKS = ("http://", "https://", "tg://", "mailto:")
TAGS = {"strong": "b", "em": "i", "s": "s"}
_MARKDOWN = MarkdownIt("commonmark").enable("strikethrough")


def to_html(markdown: str) -> str:
    """The text with Telegram's tags; well-formed for any input, a half-finished reply included."""
    return _blocks(_MARKDOWN.parse(markdown)).strip("\n")


def _blocks(tokens: Sequence[Token]) -> str:
    html = ""
    lists: list[int | None] = []  # the next number of each list that is open; None has bullets
    quotes = 0
    for token in tokens:
        match token.type:
            case "inline":
                html += _inline(token.children or [])
            case "heading_open":
                html += "<b>"
            case "heading_close":
                html += "</b>\n\n"
            case "paragraph_close":
                html += "\n" if lists else "\n\n"
            case "bullet_list_open":
                lists.append(None)
            case "ordered_list_open":
                lists.append(int(token.attrs.get("start", 1)))
            case "bullet_list_close" | "ordered_list_close":
                lists.pop()
                html += "" if lists else "\n"
            case "list_item_open":
                number = lists[-1]
                html += "  " * (len(lists) - 1) + ("• " if number is None else f"{number}. ")
                lists[-1] = None if number is None else number + 1
            case "blockquote_open":
                html += "" if quotes else "<blockquote>"  # Telegram has no quote inside a quote
                quotes += 1
            case "blockquote_close":
                quotes -= 1
                html = html if quotes else html.rstrip("\n") + "</blockquote>\n\n"
            case "fence" | "code_block":
                html += f"<pre>{escape(token.content.rstrip(), quote=False)}</pre>\n\n"
            case "html_block":
                html += escape(token.content.rstrip(), quote=False) + "\n\n"
            case "hr":
                html += "———\n\n"
    return html


def _inline(tokens: Sequence[Token]) -> str:
    html = ""
    links: list[bool] = []  # whether each open link is one that Telegram can show
    for token in tokens:
        match token.type:
            case "softbreak" | "hardbreak":
                html += "\n"
            case "code_inline":
                html += f"<code>{escape(token.content, quote=False)}</code>"
            case "link_open":
                address = str(token.attrs.get("href", ""))
                links.append(address.startswith(LINKS))
                html += f'<a href="{escape(address)}">' if links[-1] else ""
            case "link_close":
                html += "</a>" if links.pop() else ""
            case "strong_open" | "em_open" | "s_open":
                html += f"<{TAGS[token.tag]}>"
            case "strong_close" | "em_close" | "s_close":
                html += f"</{TAGS[token.tag]}>"
            case _:
                html += escape(token.content, quote=False)  # text, raw HTML, what an image shows instead
    return html
