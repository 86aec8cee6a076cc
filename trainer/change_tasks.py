"""The primer's lesson on changes: pairs of statements of which the later takes the place of the earlier, and pairs that are both true.

Three sources: statements written for it in threes (`changed_statements.jsonl`: what was said before, what says that it is otherwise
now, and what is true beside both), and the corpus' items that tell an older state and a newer one or several facts of one person
(`primer_tasks.py`). Not covered: asking the primer of a user's facts (`changes.py`).
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from trainer.changes import change_example
from trainer.primer_tasks import Item, kept_out

if TYPE_CHECKING:
    from trainer.dataset import Example

CHANGED_SHARE = 1 / 3  # of the pairs
FROM_THREES = 0.6  # of the pairs, where there are any


class Three(NamedTuple):
    """`now` takes the place of `before`; `beside` is true at the same time as either."""

    before: str
    now: str
    beside: str


@cache
def threes() -> tuple[Three, ...]:
    lines = Path(__file__).with_name("changed_statements.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(Three(**json.loads(line)) for line in lines)


def split_threes() -> tuple[list[Three], list[Three]]:
    """Those to learn from, and those kept out."""
    kept = [one for one in threes() if kept_out(one.before)]
    return [one for one in threes() if one not in kept], kept


def change_examples(pool: Sequence[Item], written: Sequence[Three], count: int, rng: random.Random) -> list[Example]:
    """Two statements: a third of the later ones take the place of the earlier one, the others are true beside it."""
    from_items = _FromItems(pool)
    examples = []
    for _ in range(count):
        changed = rng.random() < CHANGED_SHARE
        one = None if written and rng.random() < FROM_THREES else from_items.draw(changed, rng)
        if one is None and written:
            one = _of_three(written, changed, rng)
        if one is not None:
            examples.append(one)
    return examples


def _of_three(written: Sequence[Three], changed: bool, rng: random.Random) -> Example:
    one = rng.choice(written)
    if changed:
        return change_example(one.before, one.now, changed=True)
    other = rng.choice(written)
    pairs = [(one.before, one.beside), (one.before, one.beside), (one.now, one.beside), (one.beside, one.now)]
    if other is not one:
        pairs.append((other.before, one.now))
    return change_example(*rng.choice(pairs), changed=False)


class _FromItems:
    def __init__(self, pool: Sequence[Item]) -> None:
        self._changes = [item for item in pool if item.changed]
        self._groups = [item for item in pool if item.grouped and item.told]
        self._likened = [item for item in pool if item.beside]
        self._likened_changes = [item for item in self._likened if item.changed] or self._likened

    def draw(self, changed: bool, rng: random.Random) -> Example | None:
        """None where the pool has none of the kind drawn."""
        if changed:
            if not self._changes:
                return None
            item = rng.choice(self._changes)
            return change_example(item.changed, item.told[0][0], changed=True)
        if self._groups and (not self._likened or rng.random() < 0.5):
            said = list(dict.fromkeys(one for one, _ in rng.choice(self._groups).told))
            before, now = (said[at] for at in sorted(rng.sample(range(len(said)), 2)))
            return change_example(before, now, changed=False)
        if self._likened:
            item = rng.choice(self._likened if rng.random() < 0.5 else self._likened_changes)
            return change_example(rng.choice(item.beside), item.told[0][0], changed=False)
        return None
