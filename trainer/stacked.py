"""Many users' adapters in one step over one frozen base: the engine of the nightly run and of /retrain.

Each user has a slot of the stack, an own data order, schedule, AdamW and clipping, so that the result is what training
alone would give, whatever the neighbours are. A user who is done leaves, and the next one takes the slot. How many
train at a time follows from the memory that is free. docs/training-speed.md has the arithmetic.

Not covered: more than one device.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import torch

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
from trainer.graphed import GraphedLosses
from trainer.lora_stack import LoraStack
from trainer.packing import Pack, pack
from trainer.recipes import Recipe
from trainer.slot_adamw import SlotAdamW
from trainer.slot_count import dropout_for, slots_that_fit
from trainer.stacked_model import StackedModel

log = logging.getLogger(__name__)

WRITERS = 4  # threads that write adapters while the next users train


@dataclass(frozen=True, slots=True)
class Options:
    """How many users share a step (0: as many as fit), and which savings are on: of time, never of the result."""

    slots: int = 0
    share_prefix: bool = True  # what a step's examples begin with alike is run once
    label_logits: bool = True  # the last layer and the vocabulary only where labels are
    fused: bool = True  # what lies between matrix products as Triton kernels, on a card where triton is installed
    graphed: bool = True  # steps as CUDA graphs, on a card


DEFAULT_OPTIONS = Options()


@dataclass(slots=True)
class Run:
    """One user on the way through training."""

    user: UserExamples
    trained: Trained
    encoded: list[Encoded] = field(default_factory=list)
    order: list[list[int]] = field(default_factory=list)  # every step's examples, all epochs
    rates: list[float] = field(default_factory=list)
    step: int = 0  # of `order`, the next one to run

    def pack(self, step: int, share: bool) -> Pack:
        return pack([self.encoded[index] for index in self.order[step]], share)

    def largest_pack(self, share: bool) -> Pack:
        """Of the step with the most tokens."""
        sizes = [sum(len(self.encoded[index].input_ids) for index in step) for step in self.order]
        return self.pack(sizes.index(max(sizes)), share)


def train(
    base: LoadedBase,
    users: Sequence[UserExamples],
    recipe: Recipe,
    on_progress: OnProgress,
    options: Options = DEFAULT_OPTIONS,
) -> list[Trained]:
    """Trains each user's adapter and saves it to the user's folder; `base.model` is not touched.

    Errors of one user (no examples, a prompt that does not fit, a loss that is not finite) are that user's `error`.
    """
    runs = [_prepared(base, user, recipe) for user in users]
    ready = sorted((run for run in runs if not run.trained.error), key=_tokens, reverse=True)
    if ready:
        with ThreadPoolExecutor(WRITERS) as writers:
            _Stack(base, recipe, on_progress, options, ready, writers).run()
    return [run.trained for run in runs]


def slots_of(base: LoadedBase, users: Sequence[UserExamples], recipe: Recipe, options: Options) -> int:
    """How many of the users share a step."""
    ready = [run for run in (_prepared(base, user, recipe) for user in users) if not run.trained.error]
    return _slots(base, recipe, options, ready)


def _slots(base: LoadedBase, recipe: Recipe, options: Options, ready: Sequence[Run]) -> int:
    fit = options.slots
    if not fit:
        largest = max((run.largest_pack(options.share_prefix) for run in ready), key=lambda one: len(one.input_ids))
        fit = slots_that_fit(base.model, recipe, largest, base.device, options.graphed, options.fused)
    return min(fit, len(ready))


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


@dataclass(frozen=True, slots=True)
class _Step:
    """A step that was launched: who took part with which of their steps, and their losses, for which a card is waited for."""

    runs: list[tuple[Run, int]]
    packs: Sequence[Pack]
    losses: Callable[[], list[float]]


def _on_host(losses: Any) -> Callable[[], list[float]]:
    """The losses, copied as soon as they are there, without waiting for what is launched after them."""
    if losses.device.type != "cuda":
        return lambda: [float(one) for one in losses]
    host = torch.empty(losses.shape, dtype=losses.dtype, pin_memory=True)
    host.copy_(losses, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def read() -> list[float]:
        copied.synchronize()
        return [float(one) for one in host]

    return read


class _Stack:
    """The users of one call on their way through the slots. `active[s]` has slot s."""

    def __init__(
        self,
        base: LoadedBase,
        recipe: Recipe,
        on_progress: OnProgress,
        options: Options,
        ready: Sequence[Run],
        writers: ThreadPoolExecutor,
    ) -> None:
        self._base, self._on_progress, self._options = base, on_progress, options
        self._writers = writers
        self._writing: list[tuple[Run, Future[None]]] = []
        self._waiting = deque(ready)
        self._active: list[Run] = []
        self._slots = _slots(base, recipe, options, ready)
        self._stack = LoraStack(base.model, recipe, self._slots)
        self._optimizer = SlotAdamW(self._stack, recipe, options.fused)
        dropout = dropout_for(self._stack, recipe, options.fused)
        self._model = StackedModel(self._stack, dropout, options.fused)
        self._losses = GraphedLosses(
            self._model, self._stack, dropout, all_rows=not options.label_logits, graphed=options.graphed
        )

    def run(self) -> None:
        self._writers.submit(self._stack.pin)
        self._booked = time.monotonic()
        self._admit()
        packs = self._packs()
        before: _Step | None = None  # launched, and its losses not read: the card goes on with the next step meanwhile
        while self._active:
            losses = self._step(packs)
            if losses is None:
                self._book(before)
                before = None
                self._go_on_with_fewer()
                packs = self._packs()
                continue
            for run in self._active:
                run.step += 1
            now = _Step([(run, run.step) for run in self._active], packs, _on_host(losses))
            packs = self._packs()  # made while a card still computes
            self._book(before)
            before = now
            if any(run.trained.error or run.step == len(run.order) for run in self._active):
                self._book(before)
                before = None
                for run in [run for run in self._active if run.trained.error or run.step == len(run.order)]:
                    self._leave(run)
                self._admit()
                packs = self._packs()
        for run, written in self._writing:
            error = written.exception()
            if isinstance(error, OSError):
                run.trained.error = f"the adapter could not be written: {error.strerror}"
            elif error:
                raise error

    def _step(self, packs: Sequence[Pack]) -> Any:
        """One optimizer step of every active user; their losses (S,). None: it did not fit the memory, nothing done."""
        seeds = [run.user.seed * 1_000_003 + run.step for run in self._active]
        try:
            losses = self._losses(packs, seeds)
        except torch.OutOfMemoryError:
            return None
        self._optimizer.step([run.rates[run.step] for run in self._active])
        return losses

    def _go_on_with_fewer(self) -> None:
        """Sends half of the active users back to wait and start anew; one who does not fit alone gets an error."""
        self._losses.drop()
        self._slots = len(self._active) // 2
        log.warning("a step of %d users did not fit the memory", len(self._active))
        if not self._slots:
            self._active[0].trained.error = "its examples do not fit the memory of the training machine"
            self._leave(self._active[0])
            self._slots = 1
            self._admit()
            return
        for run in reversed(self._active[self._slots :]):
            run.step = run.trained.tokens = 0
            run.trained.losses.clear()
            self._waiting.appendleft(run)
        del self._active[self._slots :]

    def _packs(self) -> list[Pack]:
        share = self._options.share_prefix
        return [run.pack(run.step, share) for run in self._active if run.step < len(run.order)]

    def _book(self, step: _Step | None) -> None:
        """Reads a step's losses; books the time since the last reading by tokens, the loss, and progress."""
        if step is None:
            return
        losses = step.losses()
        seconds, self._booked = time.monotonic() - self._booked, time.monotonic()
        tokens = [len(one.input_ids) for one in step.packs]
        for (run, at), count, loss in zip(step.runs, tokens, losses, strict=True):
            run.trained.seconds += seconds * count / sum(tokens)
            run.trained.tokens += count
            run.trained.losses.append(loss)
            if math.isfinite(loss):
                self._on_progress(Progress(run.user.user_id, at, len(run.order), loss))
            else:
                run.trained.error = "the loss was not a finite number"

    def _admit(self) -> None:
        """Fills free slots with waiting users."""
        while self._waiting and len(self._active) < self._slots:
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
        self._booked = time.monotonic()

    def _leave(self, run: Run) -> None:
        """Has a user who is done saved, and frees the slot; the last slot's user moves into it, so none is idle."""
        started = time.monotonic()
        slot = self._active.index(run)
        if not run.trained.error:
            snapshot = self._stack.snapshot(slot)
            write = self._writers.submit(self._stack.write, snapshot, run.user.folder, self._base.ref)
            self._writing.append((run, write))
        last = len(self._active) - 1
        if slot != last:
            self._stack.move_slot(last, slot)
            self._optimizer.move(last, slot)
            self._active[slot] = self._active[last]
        self._active.pop()
        run.trained.seconds += time.monotonic() - started
        self._booked = time.monotonic()
