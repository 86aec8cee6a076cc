"""One run of a benchmark: an engine on a base and users of random tokens, timed, with everything that a figure belongs to.

Not covered: which runs are made and how they are shown (`bench.py`, `bench_table.py`); what runs on the card meanwhile
(`bench_profile.py`).
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from trainer.base import LoadedBase, Quantization
from trainer.bench_table import Row
from trainer.engine import Progress
from trainer.recipes import Recipe
from trainer.stacked import Options

NO_ROOM = "does not fit the memory"


@dataclass(slots=True)
class Measured:
    """One run. Seconds a user are wall time with everything in it but the start-up, divided by the users.

    Where fewer epochs were run than the recipe has, the rest is reckoned from the last (`Clock`).
    """

    engine: str
    users: int
    users_per_step: int
    recipe: str
    rank: int
    layers: int
    dropout: float
    quantization: str
    options: dict[str, Any]
    seconds_per_user: float
    usd_per_user: float
    usd_per_user_own_rate: float | None
    users_per_hour: float
    fixed_seconds_per_user: float  # of `seconds_per_user`: initial weights, reading, writing
    startup_seconds: float
    tokens_per_user: int  # that went through the model, over all epochs
    flop_per_user: float
    share_of_ceiling: float  # of what was computed, padding not counted
    peak_gib: float | None
    epochs_run: int
    final_loss: float


class Clock:
    """Wall time from its making to `stop`; `tick` is a run's on_progress.

    Epochs that were left out are taken to last as long as the last that was run: the first ones also record graphs.
    """

    def __init__(self, ran: int, epochs: int) -> None:
        self._ran, self._epochs = ran, epochs
        self._begun = time.monotonic()
        self._ticks: list[tuple[float, int, int]] = []
        self.seconds = self.fixed = 0.0
        self.together = 0  # users who did their last step in one, the first to be done
        self._counted = False

    def tick(self, progress: Progress) -> None:
        if progress.step == progress.steps and not self._counted:
            self.together += 1
        elif self.together:
            self._counted = True
        if not self._ticks or self._ticks[-1][1] != progress.step:
            self._ticks.append((time.monotonic(), progress.step, progress.steps))

    def stop(self) -> None:
        whole = time.monotonic() - self._begun
        between = len(self._ticks) - 1
        if between < 1:
            self.fixed, self.seconds = 0.0, whole * self._epochs / self._ran
            return
        each = (self._ticks[-1][0] - self._ticks[0][0]) / between
        taken = [each, *(later[0] - one[0] for one, later in zip(self._ticks, self._ticks[1:], strict=False))]
        self.fixed = max(0.0, whole - sum(taken))
        last = sum(
            took for took, (_, step, steps) in zip(taken, self._ticks, strict=True) if step > steps - steps // self._ran
        )
        self.seconds = self.fixed + sum(taken) + last * (self._epochs - self._ran)


@dataclass(slots=True)
class Bench:
    """What all runs of a call share."""

    shape: str
    device: str
    dtype: str
    rate: float
    own_rate: float | None
    ceiling_tflops: float
    epochs: int | None
    base: LoadedBase | None = None
    quantization: str = ""

    def base_with(self, quantization: Quantization) -> LoadedBase:
        """The base, made anew only where the quantisation changes."""
        from trainer.bench_shapes import random_base

        if self.base is None or self.quantization != quantization:
            self.base = None
            clear(self.device)
            self.base, self.quantization = random_base(self.shape, self.device, self.dtype, quantization), quantization
        return self.base


def measure(bench: Bench, row: Row) -> dict[str, Any]:
    """One run; an `error` where it does not fit the memory."""
    import torch

    try:
        return measure_trl(bench, row) if row.engine == "trl" else measure_stacked(bench, row)
    except torch.OutOfMemoryError:
        clear(bench.device)
        return {"name": row.name, "engine": row.engine, "users_per_step": row.users, "error": NO_ROOM}


def measure_stacked(bench: Bench, row: Row) -> dict[str, Any]:
    """One run of the stacked engine, after a short one that starts everything up."""
    from trainer import stacked

    recipe = replace(row.recipe, epochs=bench.epochs or row.epochs or row.recipe.epochs)
    base = bench.base_with(row.quantization)
    with users_of(bench, row.users) as (warm, users):
        begun = time.monotonic()
        options = replace(row.options, slots=stacked.slots_of(base, users, recipe, row.options))
        short = [replace(user, examples=user.examples[:16]) for user in warm[: options.slots]]
        check(stacked.train(base, short, replace(recipe, epochs=1), lambda _: None, options))
        clear(bench.device)
        startup = time.monotonic() - begun
        clock = Clock(recipe.epochs, row.recipe.epochs)
        results = stacked.train(base, users, recipe, clock.tick, options)
        check(results)
        clock.stop()
    tokens = sum(result.tokens for result in results) // len(results) * row.recipe.epochs // recipe.epochs
    flop = flop_per_user(base.model, row.recipe, row.options, tokens, sum(_labels(user) for user in users) / len(users))
    made = _measured(bench, "stacked", row.users, row.recipe, row.quantization, row.options, clock, startup)
    made.tokens_per_user, made.flop_per_user, made.epochs_run = tokens, flop, recipe.epochs
    made.share_of_ceiling = _share(bench, flop, made.seconds_per_user)
    made.final_loss = results[0].losses[-1]
    return {"name": row.name, **asdict(made)}


def measure_trl(bench: Bench, row: Row) -> dict[str, Any]:
    """One user through the reference engine on a 4-bit base, as the paper has it."""
    from trainer import qlora

    recipe = row.recipe
    run = replace(recipe, epochs=bench.epochs or row.epochs or recipe.epochs)
    base = bench.base_with("nf4")
    with users_of(bench, 1) as (warm, users):
        begun = time.monotonic()
        short = [replace(warm[0], examples=warm[0].examples[:8])]
        check(qlora.train(base, short, replace(run, epochs=1), lambda _: None))
        startup = time.monotonic() - begun
        clear(bench.device)
        clock = Clock(run.epochs, recipe.epochs)
        (result,) = qlora.train(base, users, run, clock.tick)
        check([result])
        clock.stop()
    tokens = result.tokens * recipe.epochs // run.epochs
    made = _measured(bench, "trl", 1, recipe, "nf4", Options(), clock, startup)
    made.options = {}
    made.tokens_per_user, made.epochs_run, made.final_loss = tokens, run.epochs, result.losses[-1]
    made.flop_per_user = flop_per_user(base.model, recipe, Options(label_logits=False), tokens, 0)
    made.share_of_ceiling = _share(bench, made.flop_per_user, made.seconds_per_user)
    return {"name": row.name, **asdict(made)}


def flop_per_user(model: Any, recipe: Recipe, options: Options, tokens: int, labels: float) -> float:
    """Of the matrix products of a user's training, all epochs: forward, backward through frozen weights, and LoRA.

    Attention's own products (under 1 % here) and what the last layer saves are not counted; recomputation neither.
    """
    config = model.config
    hidden, inner = config.hidden_size, config.intermediate_size
    head = hidden // config.num_attention_heads
    kv = config.num_key_value_heads * head
    shapes = {
        "q_proj": (hidden, hidden),
        "k_proj": (hidden, kv),
        "v_proj": (hidden, kv),
        "o_proj": (hidden, hidden),
        "gate_proj": (hidden, inner),
        "up_proj": (hidden, inner),
        "down_proj": (inner, hidden),
    }
    layer = sum(wide * long for wide, long in shapes.values())
    lora = sum(recipe.rank * sum(shapes[name]) for name in recipe.target_modules)
    adapted = config.num_hidden_layers if recipe.layers is None else len(recipe.layers)
    first = 0 if recipe.layers is None else min(recipe.layers)
    above = config.num_hidden_layers - first
    rows = labels * recipe.epochs if options.label_logits else tokens
    flop: float = (
        2.0 * layer * first * tokens
        + 4.0 * layer * above * tokens
        + 6.0 * lora * adapted * tokens
        + 4.0 * hidden * config.vocab_size * rows
    )
    return flop


def ceiling_tflops(device: str, dtype: str) -> float:
    """What one large matrix product reaches: 8192³ on a card, 2048³ on a CPU."""
    import torch

    size, repeats = (8192, 20) if device == "cuda" else (2048, 3)
    left, right = (torch.randn(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    wait: Callable[[], None] = torch.cuda.synchronize if device == "cuda" else lambda: None
    for _ in range(3):
        left @ right
    wait()
    begun = time.perf_counter()
    for _ in range(repeats):
        left @ right
    wait()
    return float(2 * size**3 * repeats / (time.perf_counter() - begun) / 1e12)


def ran_on(device: str) -> dict[str, Any]:
    """The machine and the versions that a figure belongs to."""
    import torch
    import transformers

    card = torch.cuda.get_device_name(0) if device == "cuda" else f"{platform.machine()}, {os.cpu_count()} cores"
    return {"device": card, "torch": torch.__version__, "transformers": transformers.__version__}


def _measured(
    bench: Bench,
    engine: str,
    users: int,
    recipe: Recipe,
    quantization: str,
    options: Options,
    clock: Clock,
    startup: float,
) -> Measured:
    import torch

    each = clock.seconds / users
    switches = {name: value for name, value in asdict(options).items() if name != "slots"}
    layers = (
        bench.base.model.config.num_hidden_layers if recipe.layers is None and bench.base else len(recipe.layers or ())
    )
    return Measured(
        *(engine, users, clock.together, recipe.name, recipe.rank, layers, recipe.dropout, quantization, switches),
        seconds_per_user=each,
        usd_per_user=each / 3600 * bench.rate,
        usd_per_user_own_rate=None if bench.own_rate is None else each / 3600 * bench.own_rate,
        users_per_hour=3600 / each,
        fixed_seconds_per_user=clock.fixed / users,
        startup_seconds=startup,
        tokens_per_user=0,
        flop_per_user=0.0,
        share_of_ceiling=0.0,
        peak_gib=torch.cuda.max_memory_allocated() / 2**30 if bench.device == "cuda" else None,
        epochs_run=recipe.epochs,
        final_loss=float("nan"),
    )


@contextmanager
def users_of(bench: Bench, count: int) -> Iterator[tuple[list[Any], list[Any]]]:
    """Users for the start-up and for the run, whose adapters are deleted afterwards."""
    from trainer.bench_shapes import SHAPES, random_users

    with tempfile.TemporaryDirectory() as folder:
        vocabulary = SHAPES[bench.shape]["vocab_size"]
        yield (
            random_users(count, vocabulary, Path(folder) / "warm"),
            random_users(count, vocabulary, Path(folder) / "run"),
        )


def check(results: Sequence[Any]) -> None:
    """A user's error would make the figures worthless."""
    for result in results:
        if result.error:
            raise RuntimeError(f"{result.user_id}: {result.error}")


def _labels(user: Any) -> int:
    return sum(label >= 0 for one in user.examples for label in one.labels)


def _share(bench: Bench, flop: float, seconds: float) -> float:
    return flop / (seconds * 1e12 * bench.ceiling_tflops)


def clear(device: str) -> None:
    import gc

    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
