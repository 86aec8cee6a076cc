"""A stack's losses and gradients as CUDA graphs: launching a step's kernels one by one takes longer than they run.

A step is padded to a shape that others will need too. A shape needed often enough is recorded and from then on replayed,
also for steps that are a little smaller; all else runs as it is. All recordings use one stretch of memory; where an
ordinary step finds too little left beside it, they are dropped and made anew. On a CPU every step runs as it is.
Not covered: the optimizer's step.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trainer.lora_stack import LoraStack
from trainer.packing import Batch, Pack, Size, batch, size_of
from trainer.slot_dropout import SlotDropout
from trainer.stacked_model import StackedModel

log = logging.getLogger(__name__)

RECORDS_ON = "cuda"
TOKEN_PARTS, ROW_PARTS = 16, 4  # sizes between two powers of two: at most 6 % more tokens, on average 3 %
LEAST_STEP = 8
TOKENS_A_ROW = 1 / 8  # what a label's row costs beside a token: vocabulary against layers
WASTE = 0.1  # a recording may be larger than asked for by so much
RECORDED_AT = 2  # so many times needed; recording takes about as long as two steps
RECORDED_AT_PART = 4  # with slots empty, which does not last


@dataclass(slots=True)
class Recorded:
    """A graph, what it reads and what it makes."""

    graph: Any
    batch: Batch
    draws: Any  # dropout's, None without
    losses: Any


class GraphedLosses:
    """Calling it gives the (S,) losses of a step; the gradients then lie in the stack.

    Raises:
        torch.OutOfMemoryError: the step does not fit.
    """

    def __init__(
        self,
        model: StackedModel,
        stack: LoraStack,
        dropout: SlotDropout | None = None,
        *,
        all_rows: bool = False,
        graphed: bool = True,
        waste: float = WASTE,
    ) -> None:
        self._model, self._stack, self._dropout = model, stack, dropout
        self._device = stack.master.device.type
        self._all_rows, self._waste = all_rows, waste
        self._on = graphed and self._device == RECORDS_ON
        self._recorded: dict[Size, Recorded] = {}
        self._needed: Counter[Size] = Counter()
        self._pool: Any = None

    def __call__(self, packs: Sequence[Pack], seeds: Sequence[int] = ()) -> Any:
        """One pack a slot and, where there is dropout, one seed."""
        needed = size_of(packs, self._all_rows)
        if not self._on:
            return self._plain(packs, seeds, needed)
        size = self._recorded_for(needed)
        if size is None:
            size = padded(needed)
            self._needed[size] += 1
            enough = RECORDED_AT if size.slots == self._stack.slots else RECORDED_AT_PART
            if self._needed[size] < enough or not self._record(size):
                return self._plain_beside_recorded(packs, seeds, size)
        recorded = self._recorded[size]
        recorded.batch.copy_(batch(packs, self._device, size, self._all_rows))
        if self._dropout:
            recorded.draws.copy_(self._dropout.draw(seeds, size.longest))
        recorded.graph.replay()
        return recorded.losses.clone()

    def drop(self) -> None:
        """Gives the recordings' memory back."""
        self._recorded.clear()
        self._pool = None
        torch.cuda.empty_cache()

    def _recorded_for(self, needed: Size) -> Size | None:
        """The smallest recording that fits with little waste."""
        fitting = [
            one for one in self._recorded if one.fits(needed) and _cost(one) <= _cost(needed) * (1 + self._waste)
        ]
        return min(fitting, key=_cost, default=None)

    def _plain(self, packs: Sequence[Pack], seeds: Sequence[int], size: Size) -> Any:
        made = batch(packs, self._device, size, self._all_rows)
        if self._dropout:
            self._dropout.begin(self._dropout.draw(seeds, size.longest))
        losses = self._model.losses(made)
        losses.sum().backward()
        return losses.detach()

    def _plain_beside_recorded(self, packs: Sequence[Pack], seeds: Sequence[int], size: Size) -> Any:
        try:
            return self._plain(packs, seeds, size)
        except torch.OutOfMemoryError:
            if not self._recorded:
                raise
        self.drop()  # not in the handler, where the failed step's tensors are still held
        return self._plain(packs, seeds, size)

    def _record(self, size: Size) -> bool:
        """Whether it worked; else nothing is recorded any more. The size has been run before, so all kernels are loaded."""
        held = batch([_EMPTY] * size.slots, self._device, size)
        draws: Any = self._dropout.draw([0] * size.slots, size.longest) if self._dropout else None

        def step() -> Any:
            if self._dropout:
                self._dropout.begin(draws)
            losses = self._model.losses(held)
            losses.sum().backward()
            return losses.detach()

        try:
            graph, losses = capture(step, self._pool)
        except RuntimeError as error:  # also torch.OutOfMemoryError
            log.warning("steps run without CUDA graphs from here on: %s", error)
            self._on = False
        if not self._on:
            self.drop()
            return False
        self._pool = graph.pool()
        self._recorded[size] = Recorded(graph, held, draws, losses)
        return True


def capture(step: Callable[[], Any], pool: Any) -> tuple[Any, Any]:
    """`step` as a graph that uses the memory of `pool` (None: memory of its own), and the tensor that it makes.

    What else is cached of the card's memory is released first. Other threads may go on using the card.
    """
    stream = torch.cuda.current_stream()
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            made = step()
    finally:
        torch.cuda.set_stream(stream)  # which a capture that failed leaves on its own
    return graph, made


def padded(size: Size) -> Size:
    """The next larger of the sizes that are recorded."""
    return Size(size.slots, _round_up(size.tokens, TOKEN_PARTS), _round_up(size.rows, ROW_PARTS))


def _round_up(count: int, parts: int) -> int:
    step = max(LEAST_STEP, (1 << count.bit_length() >> 1) // parts)
    return -(-count // step) * step


def _cost(size: Size) -> float:
    return size.tokens + size.rows * TOKENS_A_ROW


_EMPTY = Pack([], [], [], [], [], [])
