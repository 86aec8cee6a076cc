"""Many users' adapters in one step over one frozen base: the engine of the nightly run and of /retrain.

Each user has a slot of the stack, an own data order, schedule, AdamW and clipping, so that the result is what training
alone would give, whatever the neighbours are. A user who is done leaves, and the next one takes the slot. How many
train at a time follows from the memory that is free. docs/training-speed.md has the arithmetic.

Not covered: more than one device.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from trainer.base import LoadedBase
from trainer.engine import (
    Encoded,
    OnProgress,
    Progress,
    Trained,
    UserExamples,
    data_order,
    encode_all,
    learning_rates,
)
from trainer.lora_stack import LoraStack
from trainer.packing import Pack, batch, pack
from trainer.recipes import Recipe

MOST_SLOTS = 64
CPU_SLOTS = 8  # more gain nothing on a CPU
STATE_BYTES = 16  # a parameter: float32 weight and two moments, and what the base's dtype adds for weight and gradient
MEMORY_SHARE = 0.92  # of what is free; the rest is for fragments


@dataclass(frozen=True, slots=True)
class Options:
    """Which savings are on; all change the time, none the result. `slots=0`: as many as fit."""

    slots: int = 0
    share_prefix: bool = True
    label_logits: bool = True
    keep_lower: bool = True
    fused: bool = False  # element-wise parts and AdamW under torch.compile


@dataclass(slots=True)
class Run:
    """One user on the way through training."""

    user: UserExamples
    trained: Trained
    encoded: list[Encoded] = field(default_factory=list)
    order: list[list[int]] = field(default_factory=list)  # every step's examples, all epochs
    rates: list[float] = field(default_factory=list)
    packs: list[Pack] = field(default_factory=list)  # of the first epochs' steps, as far as they were made
    step: int = 0

    def next_pack(self, share: bool) -> Pack:
        return pack([self.encoded[index] for index in self.order[self.step]], share)


def train(
    base: LoadedBase,
    users: Sequence[UserExamples],
    recipe: Recipe,
    on_progress: OnProgress,
    options: Options = Options(),
) -> list[Trained]:
    """Trains each user's adapter and saves it to the user's folder; `base.model` is not touched.

    Errors of one user (no examples, a prompt that does not fit, a loss that is not finite) are that user's `error`.
    """
    runs = [_prepared(base, user, recipe) for user in users]
    ready = sorted((run for run in runs if not run.trained.error), key=_tokens, reverse=True)
    if ready:
        _Stack(base, recipe, on_progress, options, ready).run()
    return [run.trained for run in runs]


def _prepared(base: LoadedBase, user: UserExamples, recipe: Recipe) -> Run:
    run = Run(user, Trained(user.user_id, user.folder))
    try:
        run.encoded = encode_all(base.tokenizer, user, recipe.max_seq_tokens)
    except ValueError as error:
        run.trained.error = str(error)
        return run
    lengths = [len(one.input_ids) for one in run.encoded]
    run.order = [step for epoch in data_order(lengths, recipe, user.seed) for step in epoch]
    run.rates = learning_rates(recipe, len(run.order))
    return run


def _tokens(run: Run) -> int:
    return sum(len(run.encoded[index].input_ids) for step in run.order for index in step)


class _Stack:
    """The users of one call on their way through the slots. `active[s]` has slot s."""

    def __init__(
        self, base: LoadedBase, recipe: Recipe, on_progress: OnProgress, options: Options, ready: Sequence[Run]
    ) -> None:
        from trainer.slot_adamw import SlotAdamW
        from trainer.slot_dropout import SlotDropout
        from trainer.stacked_model import StackedModel

        self._base, self._recipe, self._on_progress, self._options = base, recipe, on_progress, options
        self._waiting = deque(ready)
        self._active: list[Run] = []
        slots = options.slots or CPU_SLOTS
        self._stack = LoraStack(base.model, recipe, min(slots, len(ready)))
        self._optimizer = SlotAdamW(self._stack, recipe, options.fused)
        self._dropout = None
        if recipe.dropout:
            widest = max(base.model.config.hidden_size, base.model.config.intermediate_size)
            uses = 4 * len(self._stack.layers)
            self._dropout = SlotDropout(recipe.dropout, widest, uses, base.model.device, self._stack.working.dtype)
        self._model = StackedModel(self._stack, self._dropout, options.fused)

    def run(self) -> None:
        self._admit()
        packs = self._packs()
        while self._active:
            started = time.monotonic()
            losses = self._step(packs)
            for run in self._active:
                run.step += 1
            upcoming = self._packs()  # made while a card still computes
            self._share(packs, losses.tolist(), started)
            left = [run for run in self._active if run.trained.error or run.step == len(run.order)]
            for run in left:
                self._leave(run)
            self._admit()
            packs = self._packs() if left else upcoming

    def _step(self, packs: Sequence[Pack]) -> Any:
        """One optimizer step of every active user; their losses (S,)."""
        made = batch(packs, self._base.device, all_rows=not self._options.label_logits)
        if self._dropout:
            seeds = [run.user.seed * 1_000_003 + run.step for run in self._active]
            self._dropout.begin(seeds, made.input_ids.shape[1])
        losses = self._model.losses(made)
        losses.sum().backward()
        for slot, run in enumerate(self._active):
            self._optimizer.step(slot, run.rates[run.step])
        return losses.detach()

    def _packs(self) -> list[Pack]:
        share = self._options.share_prefix
        return [run.next_pack(share) for run in self._active if run.step < len(run.order)]

    def _share(self, packs: Sequence[Pack], losses: Sequence[float], started: float) -> None:
        """Books the step: time by tokens, the loss, and progress."""
        tokens = [len(one.input_ids) for one in packs]
        seconds = time.monotonic() - started
        for run, count, loss in zip(self._active, tokens, losses, strict=True):
            run.trained.seconds += seconds * count / sum(tokens)
            run.trained.tokens += count
            run.trained.losses.append(loss)
            if math.isfinite(loss):
                self._on_progress(Progress(run.user.user_id, run.step, len(run.order), loss))
            else:
                run.trained.error = "the loss was not a finite number"

    def _admit(self) -> None:
        """Fills free slots with waiting users."""
        while self._waiting and len(self._active) < self._stack.slots:
            run, slot, started = self._waiting.popleft(), len(self._active), time.monotonic()
            try:
                if run.user.start:
                    self._stack.load_slot(slot, run.user.start)
                else:
                    self._stack.init_slot(slot, run.user.seed)
            except (OSError, ValueError) as error:
                run.trained.error = str(error)
                continue
            self._optimizer.reset(slot)
            self._active.append(run)
            run.trained.seconds += time.monotonic() - started

    def _leave(self, run: Run) -> None:
        """Saves a user who is done and frees the slot; the last slot's user moves into it, so that no slot is idle."""
        started = time.monotonic()
        slot = self._active.index(run)
        if not run.trained.error:
            try:
                self._stack.save_slot(slot, run.user.folder, self._base.ref)
            except OSError as error:
                run.trained.error = f"the adapter could not be written: {error.strerror}"
        last = len(self._active) - 1
        if slot != last:
            self._stack.move_slot(last, slot)
            self._optimizer.move(last, slot)
            self._active[slot] = self._active[last]
        self._active.pop()
        run.trained.seconds += time.monotonic() - started
