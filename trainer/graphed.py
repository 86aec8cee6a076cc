"""A stack's losses and gradients as CUDA graphs: for small bases the launching of kernels takes ten times what they take.

Packs are padded to one of a few shapes, each recorded at its first use and then replayed. On a CPU the plain path runs.
Not covered: dropout (its draws happen on the host), and the optimizer's step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from trainer.engine import IGNORED_LABEL
from trainer.lora_stack import LoraStack
from trainer.packing import Batch, Pack, batch
from trainer.stacked_model import StackedModel

SHAPES = ((384, 256), (512, 384), (640, 448), (768, 576), (1024, 768), (1536, 1152))  # (tokens, labels) a slot


class GraphedLosses:
    """`graphed(packs)` is (S,) losses; the gradients then lie in the stack. Every call has one pack for every slot."""

    def __init__(self, model: StackedModel, stack: LoraStack) -> None:
        self._model, self._stack = model, stack
        self._recorded: dict[tuple[int, int], tuple[Any, Batch, Any]] = {}
        self._pool: Any = None

    def __call__(self, packs: Sequence[Pack]) -> Any:
        if self._stack.master.device.type != "cuda":
            losses = self._model.losses(batch(packs, "cpu"))
            losses.sum().backward()
            return losses.detach()
        made = batch(packs, "cpu")
        length, rows = made.input_ids.shape[1], made.rows.shape[1]
        shape = next((one for one in SHAPES if one[0] >= length and one[1] >= rows), None)
        if shape is None:
            losses = self._model.losses(batch(packs, "cuda"))
            losses.sum().backward()
            return losses.detach()
        if shape not in self._recorded:
            self._recorded[shape] = self._record(shape)
        graph, held, losses = self._recorded[shape]
        _fill(held, made)
        graph.replay()
        return losses

    def _record(self, shape: tuple[int, int]) -> tuple[Any, Batch, Any]:
        slots, (length, rows) = self._stack.slots, shape
        on_card: dict[str, Any] = {"dtype": torch.long, "device": "cuda"}
        held = Batch(
            torch.zeros(slots, length, **on_card),
            torch.zeros(slots, length, **on_card),
            torch.full((slots, length), length, **on_card),
            torch.zeros(slots, rows, **on_card),
            torch.zeros(slots, rows, **on_card),
        )
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                self._model.losses(held).sum().backward()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            losses = self._model.losses(held)
            losses.sum().backward()
        self._pool = self._pool or graph.pool()
        return graph, held, losses.detach()


def _fill(held: Batch, made: Batch) -> None:
    """Copies a batch into the recorded one's tensors, padded as `packing.batch` pads."""
    length = held.input_ids.shape[1]
    for name, filler in (("input_ids", 0), ("positions", 0), ("ends", length), ("rows", 0), ("targets", IGNORED_LABEL)):
        target, values = getattr(held, name), getattr(made, name)
        padded = torch.full(target.shape, filler, dtype=torch.long)
        padded[:, : values.shape[1]] = values
        if name == "ends":
            own = made.input_ids.shape[1]
            padded[:, : values.shape[1]] = torch.where(values == own, length, values)
        target.copy_(padded, non_blocking=True)


class StackAdam:
    """Adam on all slots at once, each with its own rate and clipping; moments are float32. For equal step counts only."""

    def __init__(self, stack: LoraStack, max_grad_norm: float, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self._stack, self._max_norm, self._betas = stack, max_grad_norm, betas
        self._first = torch.zeros_like(stack.master)
        self._second = torch.zeros_like(stack.master)
        self._steps = 0

    def reset(self) -> None:
        self._first.zero_()
        self._second.zero_()
        self._steps = 0

    @torch.no_grad()
    def step(self, rates: Any) -> None:
        """One update of every slot with the gradient that lies in the stack. `rates` (S,): a slot's 0 leaves it alone."""
        self._steps += 1
        (beta1, beta2), steps = self._betas, self._steps
        gradient = self._stack.grad.float()
        norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        gradient.mul_((self._max_norm / (norm + 1e-6)).clamp(max=1.0))
        self._first.lerp_(gradient, 1 - beta1)
        self._second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = torch.sqrt(self._second, out=gradient).div_((1 - beta2**steps) ** 0.5).add_(1e-8)
        self._stack.master.sub_(torch.div(self._first, root, out=root).mul_(rates[:, None] / (1 - beta1**steps)))
        if self._stack.working is not self._stack.master:
            self._stack.working.copy_(self._stack.master)
