"""Dropout for a stack whose draws for a user depend on that user's seed and step alone, whoever shares the stack.

Drawing a fresh number for every element costs more than the multiplication it serves. Here one long pool of keep
factors is drawn once, and each token takes a stretch of it that begins at a place drawn for the token, moved on by a
distance drawn for each place of use. Projections that read the same input share its dropout (PEFT draws one for each).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.elementwise import ops

POOL = 1 << 22  # keep factors; 8 MB in bf16, which a card's cache holds
STRIDE = 8  # a stretch begins at a multiple of this, where vector loads may


class SlotDropout:
    """Keep factors (0, or 1 / (1 - p)) for inputs of up to `width` numbers at up to `uses` places of the model."""

    def __init__(
        self, p: float, width: int, uses: int, device: torch.device, dtype: torch.dtype, fused: bool = True
    ) -> None:
        drawn = torch.rand(POOL, generator=torch.Generator().manual_seed(0))
        self._pool = ((drawn >= p).float() / (1 - p)).to(device=device, dtype=dtype)
        self._begins = (POOL - width) // STRIDE
        self._uses = uses
        self._ops = ops(device.type, fused)
        self._offsets = torch.empty(0)
        self._used = 0

    def draw(self, seeds: Sequence[int], length: int) -> Tensor:
        """(S, uses + length) on the device, for at most `length` tokens or rows in a layer; a seed is of a user and a step."""
        on_card = self._pool.device.type == "cuda"
        drawn = torch.empty(len(seeds), self._uses + length, dtype=torch.long, pin_memory=on_card)
        for row, seed in zip(drawn, seeds, strict=True):
            row.random_(self._begins, generator=torch.Generator().manual_seed(seed))
        return drawn.to(self._pool.device, non_blocking=True)

    def begin(self, drawn: Tensor) -> None:
        """Before a step's forward pass."""
        shifts, rows = drawn.split([self._uses, drawn.shape[1] - self._uses], dim=1)
        self._offsets = ((rows[None] + shifts.T[:, :, None]) % self._begins).int()  # (uses, S, length)
        self._used = 0

    def offsets(self, length: int) -> Tensor:
        """(S, length) where each token's stretch begins at the next place of use, in units of `STRIDE`."""
        self._used += 1
        return self._offsets[self._used - 1, :, :length]

    def times(self, x: Tensor, offsets: Tensor) -> Tensor:
        """x (S, L, width) times its factors."""
        made: Tensor = self._ops.times(x, self._pool, offsets, STRIDE)
        return made

    def add_times_(self, total: Tensor, x: Tensor, offsets: Tensor) -> None:
        """Adds `times` to `total`."""
        self._ops.add_times_(total, x, self._pool, offsets, STRIDE)
