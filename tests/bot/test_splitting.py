"""Long texts into messages: limits, sentence ends, code blocks, stable under growth."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.splitting import closed, split, units

PIECES = st.lists(
    st.sampled_from(
        [
            "Hello there. ",
            "word ",
            "\n",
            "\n\n",
            "```python\nx = 1\n",
            "```\n",
            "👩‍👩‍👧",
            "e\u0301",
            "longlonglong",
            "? ",
        ]
    ),
    max_size=60,
).map("".join)


def words(text: str) -> str:
    """Without white space and without the fences, which are added where a block is cut."""
    bare = re.sub(r"[`\s]", "", text)
    while "python" in bare:  # the mark of the code's language, which may stand inside one that was cut
        bare = bare.replace("python", "")
    return bare


def test_short_text_stays_as_it_is() -> None:
    assert split("Hello. How are you?", 100) == ["Hello. How are you?"]


def test_blank_text_is_no_message() -> None:
    assert split(" \n ", 100) == []


def test_cut_is_at_a_sentence_end() -> None:
    assert split("One two three. Four five six. Seven eight.", 32) == ["One two three. Four five six.", "Seven eight."]


def test_cut_is_at_a_word_where_there_is_no_sentence() -> None:
    assert split("aaaa bbbb cccc dddd", 10) == ["aaaa bbbb", "cccc dddd"]


def test_word_longer_than_the_limit_is_cut() -> None:
    assert split("a" * 25, 10) == ["a" * 10, "a" * 10, "a" * 5]


def test_length_counts_utf16_units() -> None:
    assert units("a👍") == 3
    assert all(units(part) <= 10 for part in split("👍" * 30, 10))


def test_emoji_of_several_characters_is_not_cut() -> None:
    family = "👩‍👩‍👧"
    assert split(family * 3, units(family) + 3) == [family] * 3


def test_code_block_moves_whole_to_the_next_message() -> None:
    block = "```python\nprint(1)\nprint(2)\n```"
    assert split(f"Here is the code you wanted.\n{block}", 45, markdown=True) == ["Here is the code you wanted.", block]


def test_code_block_longer_than_a_message_is_closed_and_opened_again() -> None:
    lines = "\n".join(f"line {number}" for number in range(20))
    parts = split(f"```python\n{lines}\n```", 80, markdown=True)
    assert len(parts) > 1
    assert all(part.startswith("```python\n") and part.endswith("```") for part in parts)
    assert "\n".join(part.removeprefix("```python\n").removesuffix("\n```") for part in parts) == lines


def test_blank_line_inside_a_code_block_is_no_place_to_cut() -> None:
    block = "```\nfirst\n\nsecond\n```"
    parts = split(f"{block}\nAnd that is all there is to it.", 40, markdown=True)
    assert parts == [block, "And that is all there is to it."]


def test_open_code_block_is_closed() -> None:
    assert closed("```\nx = 1") == "```\nx = 1\n```"
    assert closed("done") == "done"


@settings(max_examples=400, deadline=None)
@given(PIECES, st.integers(min_value=30, max_value=80))
def test_no_part_is_too_long_and_nothing_is_lost(text: str, limit: int) -> None:
    parts = split(text, limit)
    assert all(0 < units(part) <= limit for part in parts)
    assert re.sub(r"\s", "", "".join(parts)) == re.sub(r"\s", "", text)


@settings(max_examples=400, deadline=None)
@given(PIECES, st.integers(min_value=30, max_value=80))
def test_markdown_parts_keep_their_words_and_close_their_code(text: str, limit: int) -> None:
    parts = split(text, limit, markdown=True)
    assert words("\n".join(parts)) == words(text)
    assert all(closed(part) == part for part in parts)
    assert all(units(part) <= limit for part in parts)


@settings(max_examples=400, deadline=None)
@given(PIECES, st.integers(min_value=30, max_value=80))
def test_finished_parts_stay_while_the_text_grows(text: str, limit: int) -> None:
    final = split(text, limit, markdown=True)
    for end in range(0, len(text), 7):
        grown = split(text[:end], limit, markdown=True)
        assert grown[:-1] == final[: max(0, len(grown) - 1)]
