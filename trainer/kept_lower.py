"""The outputs of the layers below the first adapted one, kept across epochs: the same whatever the adapter learns.

A user's examples go through the lower layers once, at the start, packed like a step; a step's pack then picks its
tokens' vectors. Worth it only for recipes whose adapters sit in the upper layers. Not covered: bases that change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.engine import Encoded
from trainer.packing import Pack, batch, pack
from trainer.stacked_model import StackedModel

PACK_TOKENS = 2048  # at most, in a pass through the lower layers
MOST_BYTES = 1 << 28  # a user; who needs more has the lower layers run in every step


@dataclass(frozen=True, slots=True)
class Kept:
    """One user's vectors. `places[e][p]` is the row of token p of example e."""

    vectors: Tensor  # (tokens, H)
    places: list[list[int]]


def keep(model: StackedModel, examples: Sequence[Encoded], device: str, share: bool) -> Kept | None:
    """Runs the examples through the lower layers; None where there are none, or the outputs are too many to keep."""
    if not model.first_layer:
        return None
    size = sum(len(one.input_ids) for one in examples) * model.bytes_per_token
    if size > MOST_BYTES:
        return None
    vectors, places = [], []
    rows = 0
    for part in _parts(examples):
        made = pack(part, share)
        hidden = model.lower(batch([made], device))[0, : len(made.input_ids)]
        vectors.append(hidden)
        places += [[rows + place for place in path] for path in made.paths]
        rows += len(hidden)
    return Kept(torch.cat(vectors), places)


def gather(kept: Sequence[Kept], packs: Sequence[Pack], steps: Sequence[Sequence[int]], length: int) -> Tensor:
    """(S, L, H) what goes into the first adapted layer: slot s runs `packs[s]`, made of the examples `steps[s]`."""
    first = kept[0].vectors
    made = first.new_zeros(len(packs), length, first.shape[1])
    for slot, (user, one, step) in enumerate(zip(kept, packs, steps, strict=True)):
        rows = [0] * len(one.input_ids)
        for example, path in zip(step, one.paths, strict=True):
            for place, row in zip(path, user.places[example], strict=True):
                rows[place] = row
        made[slot, : len(rows)] = user.vectors[torch.tensor(rows, device=first.device)]
    return made


def _parts(examples: Sequence[Encoded]) -> list[list[Encoded]]:
    """The examples in stretches of at most `PACK_TOKENS`."""
    parts: list[list[Encoded]] = []
    room = 0
    for one in examples:
        if len(one.input_ids) > room:
            parts.append([])
            room = PACK_TOKENS
        parts[-1].append(one)
        room -= len(one.input_ids)
    return parts
