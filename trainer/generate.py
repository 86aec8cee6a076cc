"""Replies of the base model, with or without an adapter, many at a time; no server needed.

Prompts go through the base's chat template, as serving does it; of an adapter's notes one is read, or the base replies, as there
(`serving/recollection.py`, `serving/weighing.py`). Not covered: streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving import primers
from serving.recollection import (
    DECLINES,
    MARK,
    NO,
    NOT_TOLD,
    READ_TOKENS,
    SECOND_LOOK_TOKENS,
    YES,
    asks_yes_or_no,
    begun,
    for_base,
    in_first_person,
    may_be_general,
    noted,
    passes_on,
    reading,
    saying,
    spoken,
)
from serving.weighing import Noted, Read, another, fork, weighed
from trainer.base import LoadedBase
from trainer.decoding import Conversation, each, leanings, likelihoods, lines, prompt, raw_replies, tokens_of

PASSED_ON = "(passed on to the base)"


@dataclass(slots=True)
class Raw:
    """What a model says as it is, and the notes that an adapter has for it: the one in `text` and the one it nearly wrote."""

    text: str
    notes: list[Noted] = field(default_factory=list)


def generate(
    base: LoadedBase,
    folder: Path | None,
    conversations: Sequence[Conversation],
    max_new_tokens: int,
    on_batch: Callable[[int], None] | None = None,
    ask_base: bool = True,
) -> list[str]:
    """One reply a conversation, in order. `folder`: a PEFT adapter to answer with; the base is left as it was.

    `on_batch` is called with the number of replies each batch gave. Without `ask_base`, `PASSED_ON` stands where the base would reply.
    """
    reader = primers.find(base.ref, base.path)
    memory = folder is not None and reader is not None and folder != reader
    texts = [prompt(base, one) for one in conversations]
    if not memory:
        raw = [Raw(one) for one in raw_replies(base, folder, texts, max_new_tokens, on_batch)]
        return [one.text for one in raw] if folder is None else settled(base, conversations, raw, max_new_tokens, None, ask_base)
    raw = each(base, folder, texts, lambda model, batch: recollected(base, model, batch, max_new_tokens), on_batch)
    return settled(base, conversations, raw, max_new_tokens, reader, ask_base)


def settled(
    base: LoadedBase,
    conversations: Sequence[Conversation],
    raw: Sequence[Raw],
    max_new_tokens: int,
    reader: Path | None,
    ask_base: bool = True,
) -> list[str]:
    """What people read of adapters' raw replies: notes as the `reader` takes them, the base's replies where it is to answer."""
    raw = list(raw)
    doubtful = [at for at, one in enumerate(raw) if reader and passes_on(one.text) and in_first_person(conversations[at][-1]["content"])]
    again = raw_replies(base, reader, [prompt(base, conversations[at]) for at in doubtful], max_new_tokens)
    for at, text in zip(doubtful, again, strict=True):
        raw[at] = Raw(text)
    replies = [spoken(one.text) for one in raw]
    passed = [at for at, one in enumerate(raw) if passes_on(one.text) or (reader and noted(one.text) == "")]
    recalled = [at for at, one in enumerate(raw) if at not in passed and reader and one.notes]
    if reader:
        read = read_notes(base, reader, [(conversations[at], raw[at].notes) for at in recalled])
        for at, reply in zip(recalled, read, strict=True):
            replies[at] = reply
    declined = [at for at in recalled if replies[at] == NOT_TOLD and may_be_general(conversations[at][-1]["content"])]
    looked = raw_replies(base, reader, [prompt(base, conversations[at]) for at in declined], SECOND_LOOK_TOKENS, to_note=True)
    passed += [at for at, one in zip(declined, looked, strict=True) if passes_on(one)]
    asked = [for_base(conversations[at]) for at in passed]
    of_base = generate(base, None, asked, max_new_tokens) if ask_base else [PASSED_ON] * len(asked)
    for at, reply in zip(passed, of_base, strict=True):
        replies[at] = reply or replies[at]
    return replies


def read_notes(base: LoadedBase, reader: Path, asked: Sequence[tuple[Conversation, Sequence[Noted]]]) -> list[str]:
    """What people are told of the notes beside each conversation: one of them, with yes or no before it, or `NOT_TOLD`."""
    texts = [prompt(base, conversation) for conversation, _ in asked]
    notes = [(text, one) for text, (_, own) in zip(texts, asked, strict=True) for one in own]
    declines = iter(likelihoods(base, reader, [text + begun(one.note) for text, one in notes], DECLINES))
    chosen = [
        weighed(conversation[-1]["content"], [Read(*one, next(declines)) for one in own]) for conversation, own in asked
    ]
    said = [NOT_TOLD if one is None else one for one in chosen]
    told = [at for at, one in enumerate(chosen) if one is not None]
    texts = [text + begun(note) for text, note in zip(texts, said, strict=True)]
    begins = raw_replies(base, reader, [texts[at] for at in told], READ_TOKENS)
    for at, begin in zip(told, begins, strict=True):
        said[at] = reading(begin, said[at])
    bare = [at for at in told if said[at] == chosen[at] and asks_yes_or_no(asked[at][0][-1]["content"])]
    for at, yes in zip(bare, leanings(base, reader, [texts[at] for at in bare], YES, NO), strict=True):
        said[at] = saying(YES if yes >= 0.5 else NO, said[at])
    return said


def recollected(base: LoadedBase, model: Any, texts: Sequence[str], max_new_tokens: int, in_rows: bool = False) -> list[Raw]:
    """An adapter's raw replies to one batch, up to a note, with the note that was nearly written where that is likely enough.

    `in_rows`: the batch must be run as it is, since which adapter replies depends on the row.
    """
    mark = len(tokens_of(base, MARK))
    found, begins = [], {}
    for at, line in enumerate(lines(base, model, texts, max_new_tokens, to_note=True)):
        raw = Raw(line.text.strip())
        found.append(raw)
        if not (note := noted(raw.text)) or passes_on(raw.text):
            continue
        raw.notes.append(Noted(note, sum(line.own)))
        if (place := fork(line.own[mark:], line.others[mark:])) is not None:
            begins[at] = line.branch(base.tokenizer, mark + place)
    if not begins:
        return found
    rows = range(len(texts)) if in_rows else list(begins)
    branches = [texts[at] + (begins[at][0] if at in begins else "") for at in rows]
    for at, line in zip(rows, lines(base, model, branches, max_new_tokens), strict=True):
        if at in begins:
            begin, recalled = begins[at]
            found[at].notes += another(noted(begin + line.text), recalled + sum(line.own), found[at].notes[0].note)
    return found
