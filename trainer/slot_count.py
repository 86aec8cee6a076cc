"""How many users may share a step, from the memory that is free.

On a card: what one user's largest step takes is measured by running it, and the rest is a division. On a CPU a handful
of users fills the cores. Not covered: other programs that take memory later; `stacked.py` then goes on with fewer.
"""

from __future__ import annotations

import gc
import os

import torch

from trainer.lora_stack import LoraStack
from trainer.packing import Pack, batch, size_of
from trainer.recipes import Recipe
from trainer.slot_dropout import SlotDropout
from trainer.stacked_model import StackedModel

MOST_SLOTS = 64
CPU_SLOTS = 8
STATE_BYTES = (
    16  # a parameter: float32 weight and two moments; the base's dtype's weight and gradient (or float32 gradient)
)
MEMORY_SHARE = 0.92  # of what is free; the rest is for fragments
GRAPHED_STEP = 1.15  # of a step's memory: padding, and what the recordings (`graphed.py`) take for themselves


def slots_that_fit(model: object, recipe: Recipe, largest: Pack, device: str, graphed: bool, fused: bool = True) -> int:
    """Users per step for a base in memory; `largest` is the longest pack that a step will have."""
    if device == "cpu":
        probe = LoraStack(model, recipe, 1)
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return max(1, min(CPU_SLOTS, int(free * MEMORY_SHARE / 2 / (STATE_BYTES * probe.parameters_per_slot))))
    free = free_bytes()
    state, step = _measured(model, recipe, largest, device, fused)
    gc.collect()
    torch.cuda.empty_cache()
    return max(1, min(MOST_SLOTS, int(free * MEMORY_SHARE / (state + step * (GRAPHED_STEP if graphed else 1)))))


def free_bytes() -> int:
    """What this process may still take of the card: what is free, within the share the process was given."""
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info()
    allowed = int(torch.cuda.get_per_process_memory_fraction() * total) - torch.cuda.memory_reserved()
    return min(free, allowed)


def _measured(model: object, recipe: Recipe, largest: Pack, device: str, fused: bool) -> tuple[int, int]:
    """Bytes of one user: of the state that stays, and of the activations of a step."""
    stack = LoraStack(model, recipe, 1)
    stack.init_slot(0, 0)
    dropout = dropout_for(stack, recipe, fused)
    made = batch([largest], device)
    if dropout:
        dropout.begin(dropout.draw([0], size_of([largest]).longest))
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    StackedModel(stack, dropout, fused).losses(made).sum().backward()
    step = torch.cuda.max_memory_allocated() - before
    return STATE_BYTES * stack.parameters_per_slot, step


def dropout_for(stack: LoraStack, recipe: Recipe, fused: bool = True) -> SlotDropout | None:
    """The recipe's dropout over this stack, if it has any."""
    if not recipe.dropout:
        return None
    config = stack.model.config
    widest = max(config.hidden_size, config.intermediate_size)
    uses = 4 * len(stack.layers)
    return SlotDropout(recipe.dropout, widest, uses, stack.master.device, stack.working.dtype, fused)
