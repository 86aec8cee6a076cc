"""Whatever the model writes, Telegram takes it: the strict reader of its HTML is `telegram_html.py`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.telegram_text import to_html
from tests.bot.telegram_html import CannotParse, parse

MARKS = st.text(st.sampled_from("ab1. \n*_~`#>-[]()<>&!|\\\"'😀"), max_size=80)


def shown(markdown: str) -> str:
    return parse(to_html(markdown))[0]


@given(st.one_of(MARKS, st.text(max_size=200)))
def test_any_text_becomes_html_that_telegram_takes(markdown: str) -> None:
    parse(to_html(markdown))  # raises where Telegram would refuse


@given(st.lists(st.text("abcdefg <>&", min_size=1, max_size=20), min_size=1, max_size=5))
def test_plain_words_stay_as_they_are(lines: list[str]) -> None:
    text = "\n\n".join(f"x{line.strip()}x" for line in lines)
    assert shown(text) == text


@pytest.mark.parametrize(
    ("markdown", "kind", "covered"),
    [
        ("Your dog is **Buddy**.", "bold", "Buddy"),
        ("# Dogs", "bold", "Dogs"),
        ("Your *dog* 😀", "italic", "dog"),
        ("~~old~~ new", "strikethrough", "old"),
        ("run `a < b`", "code", "a < b"),
        ("```python\nif a < b:\n    pass\n```", "pre", "if a < b:\n    pass"),
        ("> said so", "blockquote", "said so"),
        ("[site](https://a.b/?x=1&y=2)", "text_link", "site"),
    ],
)
def test_markdown_is_shown_in_telegrams_style(markdown: str, kind: str, covered: str) -> None:
    text, entities = parse(to_html(markdown))
    found = [text[one["offset"] : one["offset"] + one["length"]] for one in entities if one["type"] == kind]
    assert found == [covered]


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("- one\n- two\n  - deep", "• one\n• two\n  • deep"),
        ("3. one\n4. two", "3. one\n4. two"),
        ("<b>raw</b> & more", "<b>raw</b> & more"),
        ("[x](javascript:alert)", "[x](javascript:alert)"),
        ("| a | b |\n|---|---|", "| a | b |\n|---|---|"),
        ("an **unfinished rep", "an **unfinished rep"),
    ],
)
def test_what_telegram_cannot_show_becomes_text(markdown: str, text: str) -> None:
    assert shown(markdown) == text


@pytest.mark.parametrize(
    "html", ["<b>x", "x</b>", "<b><i>x</b></i>", "<h1>x</h1>", "a < b", '<a href="x" onclick="y">x</a>']
)
def test_strict_reader_refuses_what_telegram_refuses(html: str) -> None:
    with pytest.raises(CannotParse):
        parse(html)
