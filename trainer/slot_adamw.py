"""AdamW over a stack, one slot at a time: each user has an own step count, rate, bias correction and clipping norm.

Equal to `clip_grad_norm_` and `torch.optim.AdamW` on each slot by itself, whose fused kernel it uses. `fused=True` does
clipping, update and the copy to the base's dtype in one compiled pass over the slot's row, which reads and writes a
third less memory. Moments are float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from trainer.lora_stack import LoraStack
from trainer.recipes import Recipe

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # torch's and transformers' defaults


class SlotAdamW:
    """Moments and steps of every slot of `stack`."""

    def __init__(self, stack: LoraStack, recipe: Recipe, fused: bool = False) -> None:
        self._stack = stack
        self._recipe = recipe
        self._first = torch.zeros_like(stack.master)
        self._second = torch.zeros_like(stack.master)
        self._steps = [0] * stack.slots
        self._update = torch.compile(update) if fused else None

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
    def step(self, slot: int, rate: float) -> None:
        """One update of the slot with the gradient that lies in the stack."""
        stack, recipe = self._stack, self._recipe
        master, first, second = stack.master[slot], self._first[slot], self._second[slot]
        norm = torch.linalg.vector_norm(stack.grad[slot], dtype=torch.float32)
        clip = (recipe.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)  # as clip_grad_norm_
        if self._update is None:
            grad = stack.grad[slot].float().mul_(clip)
            step = torch.full((), float(self._steps[slot]), device=grad.device)
            rest: dict[str, Any] = {"amsgrad": False, "maximize": False, "fused": True}
            adamw(
                *([master], [grad], [first], [second], [], [step]),
                beta1=BETA1,
                beta2=BETA2,
                lr=rate,
                weight_decay=recipe.weight_decay,
                eps=EPSILON,
                **rest,
            )
            stack.refresh(slot)
        else:
            numbers = update_numbers(rate, recipe.weight_decay, self._steps[slot] + 1)
            held = torch.tensor(numbers).to(master.device, non_blocking=True)
            working = None if stack.working is stack.master else stack.working[slot]
            self._update(master, working, stack.grad[slot], first, second, clip, *held.unbind())
        self._steps[slot] += 1


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
    """AdamW on one row, in place, with the copy to the base's dtype if that is another.

    `left`, `rate` and `root` are `update_numbers`.
    """
    clipped = grad.float() * clip
    first.mul_(BETA1).add_(clipped, alpha=1 - BETA1)
    second.mul_(BETA2).addcmul_(clipped, clipped, value=1 - BETA2)
    master.mul_(left).sub_(rate * first / (second.sqrt() / root + EPSILON))
    if working is not None:
        working.copy_(master)
