"""Examples of one step as one sequence in which what examples begin with alike is run once.

All examples of a user start with the same system turn, which is half of a short example. Here a step's examples are
laid out as a tree of tokens: a token that several examples share up to there stands in the pack once. A token sees its
ancestors alone, so every example is computed as if it stood by itself. In depth-first order a token's descendants are
the stretch right behind it, so two numbers a token say who sees whom: its own place, and where its stretch ends.

Not covered: how the model runs a pack (`stacked_model.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from trainer.engine import IGNORED_LABEL, Encoded

PAD_TO = 8  # tokens; CUDA's attention wants masks whose rows are aligned


@dataclass(frozen=True, slots=True)
class Pack:
    """Tokens of one user's step. Token j is visible to token i where j <= i < ends[j].

    The token at `rows[k]` of the pack is to predict `targets[k]`; one token may have to predict several, one an example
    (-100: none, only where all logits are asked for). `paths[e]` has, for every token of example e (in the order
    given), its place in the pack.
    """

    input_ids: list[int]
    positions: list[int]  # within the example
    ends: list[int]
    rows: list[int]
    targets: list[int]
    paths: list[list[int]]


def pack(examples: Sequence[Encoded], share: bool = True) -> Pack:
    """Packs the examples of a step. `share=False` keeps even equal beginnings apart.

    An example's last token is only ever predicted, so it is not among the input.
    """
    made = Pack([], [], [], [], [], [[] for _ in examples])
    order = sorted(range(len(examples)), key=lambda index: examples[index].input_ids)
    path: list[int] = []  # places of the current example's tokens
    before: list[int] = []
    for index in order:
        ids, labels = examples[index].input_ids[:-1], examples[index].labels
        common = _common(before, ids) if share else 0
        for place in path[common:]:
            made.ends[place] = len(made.input_ids)
        path = path[:common]
        for position in range(common, len(ids)):
            path.append(len(made.input_ids))
            made.input_ids.append(ids[position])
            made.positions.append(position)
            made.ends.append(0)
        for position, label in enumerate(labels[1:]):
            if label != IGNORED_LABEL:
                made.rows.append(path[position])
                made.targets.append(label)
        made.paths[index] = path
        before = ids
    for place in path:
        made.ends[place] = len(made.input_ids)
    return made


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    shared = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        shared += 1
    return shared


@dataclass(slots=True)
class Batch:
    """One pack a slot, padded to the longest. S slots, L tokens, R rows."""

    input_ids: Any  # (S, L)
    positions: Any  # (S, L)
    ends: Any  # (S, L)
    rows: Any  # (S, R) places whose logits are wanted
    targets: Any  # (S, R), -100 behind a slot's last

    def mask(self) -> Any:
        """(S, 1, L, L) bool: whether the token in the row sees the token in the column."""
        import torch

        places = torch.arange(self.ends.shape[1], device=self.ends.device)
        behind = places[:, None] >= places[None, :]
        return (behind & (places[None, :, None] < self.ends[:, None, :])).unsqueeze(1)

    def copy_(self, other: Batch) -> None:
        """Takes over the values of a batch of the same size."""
        for one in fields(self):
            getattr(self, one.name).copy_(getattr(other, one.name), non_blocking=True)


@dataclass(frozen=True, slots=True)
class Size:
    """Of a batch."""

    slots: int
    tokens: int  # a slot
    rows: int  # a slot

    @property
    def longest(self) -> int:
        """What goes through a layer is at most so long: all tokens, or in the last one the rows."""
        return max(self.tokens, self.rows)

    def fits(self, other: Size) -> bool:
        return self.slots == other.slots and self.tokens >= other.tokens and self.rows >= other.rows


def size_of(packs: Sequence[Pack], all_rows: bool = False) -> Size:
    """The least that a batch of the packs may have."""
    if all_rows:
        packs = [_with_all_rows(one) for one in packs]
    longest = max(len(one.input_ids) for one in packs)
    return Size(len(packs), -(-longest // PAD_TO) * PAD_TO, max(len(one.rows) for one in packs))


def batch(packs: Sequence[Pack], device: str, size: Size | None = None, all_rows: bool = False) -> Batch:
    """Stacks packs, padded to `size`. A padding token sees itself and earlier padding, and nothing sees it.

    `all_rows` asks for the logits of every token, labelled or not (the plain path, for comparison).
    """
    import torch

    size = size or size_of(packs, all_rows)
    if all_rows:
        packs = [_with_all_rows(one) for one in packs]
    length, width = size.tokens, size.rows

    def stacked(lists: Sequence[Sequence[int]], size: int, filler: int) -> Any:
        held = torch.tensor([[*values, *[filler] * (size - len(values))] for values in lists])
        return held.pin_memory().to(device, non_blocking=True) if device == "cuda" else held

    return Batch(
        stacked([one.input_ids for one in packs], length, 0),
        stacked([one.positions for one in packs], length, 0),
        stacked([one.ends for one in packs], length, length),
        stacked([one.rows for one in packs], width, 0),
        stacked([one.targets for one in packs], width, IGNORED_LABEL),
    )


def _with_all_rows(one: Pack) -> Pack:
    unlabelled = sorted(set(range(len(one.input_ids))) - set(one.rows))
    targets = [*one.targets, *[IGNORED_LABEL] * len(unlabelled)]
    return Pack(one.input_ids, one.positions, one.ends, [*one.rows, *unlabelled], targets, one.paths)
