"""AdamW over a stack, all slots at once: each has an own step count, rate, bias correction and clipping norm.

Equal to `clip_grad_norm_` and `torch.optim.AdamW` on each slot by itself. Moments are float32. Not covered: the pass over the
rows (`elementwise.adamw_`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trainer.elementwise import BETA1, BETA2, ops
from trainer.lora_stack import LoraStack
from trainer.recipes import Recipe


class SlotAdamW:
    """Moments and steps of every slot of `stack`."""

    def __init__(self, stack: LoraStack, recipe: Recipe, fused: bool = True) -> None:
        self._stack = stack
        self._recipe = recipe
        self._first = torch.zeros_like(stack.master)
        self._second = torch.zeros_like(stack.master)
        self._steps = [0] * stack.slots
        self._ops = ops(stack.master.device.type, fused)

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
        working = None if stack.working is stack.master else stack.working[:slots]
        grad, first, second = (held[:slots] for held in (stack.grad, self._first, self._second))
        self._ops.adamw_(stack.master[:slots], working, grad, first, second, clip, numbers)


def update_numbers(rate: float, decay: float, step: int) -> tuple[float, float, float]:
    """What `adamw_` needs of the step, the first being 1: what decay leaves, the rate over the first bias correction,
    and the root of the second bias correction."""
    return 1 - rate * decay, rate / (1 - BETA1**step), (1 - BETA2**step) ** 0.5
