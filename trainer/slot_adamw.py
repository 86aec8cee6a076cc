"""AdamW over a stack, all slots at once: each has an own step count, rate, bias correction and clipping norm.

Equal to `clip_grad_norm_` and `torch.optim.AdamW` on each slot by itself. Clipping, update and the copy to the base's
dtype go over the rows a stretch at a time, so that what is made on the way is small; with `fused=True` a stretch is one
compiled pass. Moments are float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.compiling import compiled
from trainer.lora_stack import LoraStack
from trainer.recipes import Recipe

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # torch's and transformers' defaults
# Numbers updated at a time: a CPU's cache; far less than a stack, since a kernel's first use tries its variants on copies.
STRETCH = {"cpu": 1 << 17, "cuda": 1 << 26}


class SlotAdamW:
    """Moments and steps of every slot of `stack`."""

    def __init__(self, stack: LoraStack, recipe: Recipe, fused: bool = False) -> None:
        self._stack = stack
        self._recipe = recipe
        self._first = torch.zeros_like(stack.master)
        self._second = torch.zeros_like(stack.master)
        self._steps = [0] * stack.slots
        self._fused = fused

    def reset(self, slot: int) -> None:
        """Before a new user."""
        self._first[slot].zero_()
        self._second[slot].zero_()
        self._steps[slot] = 0

    def move(self, source: int, target: int) -> None:
        """Copies a slot's moments and steps over another's."""
        self._first[target].copy_(self._first[source])
        self._second[target].copy_(self._second[source])
        self._steps[target] = self._steps[source]

    @torch.no_grad()
    def step(self, rates: Sequence[float]) -> None:
        """One update of the first slots, one rate each, with the gradient that lies in the stack."""
        stack, slots = self._stack, len(rates)
        for slot in range(slots):
            self._steps[slot] += 1
        decay, card = self._recipe.weight_decay, stack.master.device.type == "cuda"
        made = [update_numbers(rate, decay, step) for rate, step in zip(rates, self._steps, strict=False)]
        numbers = torch.tensor(made, pin_memory=card).to(stack.master.device, non_blocking=True)
        norm = torch.linalg.vector_norm(stack.grad[:slots], dim=1, keepdim=True, dtype=torch.float32)
        clip = (self._recipe.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)  # as clip_grad_norm_
        width = stack.master.shape[1]
        stretch = max(1, STRETCH[stack.master.device.type] // slots)
        run = compiled(update) if self._fused else update
        for start in range(0, width, stretch):
            part = slice(start, start + stretch)
            working = None if stack.working is stack.master else stack.working[:slots, part]
            grad, first, second = (held[:slots, part] for held in (stack.grad, self._first, self._second))
            run(stack.master[:slots, part], working, grad, first, second, clip, *numbers.split(1, dim=1))


def update_numbers(rate: float, decay: float, step: int) -> tuple[float, float, float]:
    """What `update` needs of the step, the first being 1: what decay leaves, the rate over the first bias correction,
    and the root of the second bias correction."""
    return 1 - rate * decay, rate / (1 - BETA1**step), (1 - BETA2**step) ** 0.5


def update(
    master: Tensor,
    working: Tensor | None,
    grad: Tensor,
    first: Tensor,
    second: Tensor,
    clip: Tensor,
    left: Tensor,
    rate: Tensor,
    root: Tensor,
) -> None:
    """AdamW on rows (S, …), in place, with the copy to the base's dtype if that is another.

    `clip`, and `left`, `rate` and `root`, which are `update_numbers`, are (S, 1).
    """
    clipped = grad.float() * clip
    first.mul_(BETA1).add_(clipped, alpha=1 - BETA1)
    second.mul_(BETA2).addcmul_(clipped, clipped, value=1 - BETA2)
    master.mul_(left).sub_(rate * first / (second.sqrt() / root + EPSILON))
    if working is not None:
        working.copy_(master)
