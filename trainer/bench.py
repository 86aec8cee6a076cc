"""Seconds and dollars a user, share of the card's matmul ceiling and peak memory, on random weights of a named shape.

    python -m trainer bench --shape qwen2.5-7b --users 8 --recipe paper --engine both --json OUT.json
    python -m trainer.bench …   the same where only torch, transformers, peft (and trl, bitsandbytes) are installed

Random tokens with the profile of the paper's run (61 examples, 15,530 tokens over 5 epochs) train at the same speed as
any others. Every figure says what it ran on. Not covered: the quality of what is learned (`trainer evaluate`).
"""

from __future__ import annotations

import json
import logging
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from trainer.base import LoadedBase, Quantization
from trainer.bench_table import Row, draw, rows
from trainer.engine import Progress
from trainer.recipes import PAPER_RATE_USD_PER_HOUR, RECIPES, Recipe
from trainer.stacked import Options

NO_ROOM = "does not fit the memory"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Measured:
    """One run. Seconds a user are wall time with everything in it but the start-up, divided by the users.

    Where fewer epochs were run than the recipe has, the time between the first step and the last is scaled up.
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
    """Wall time from its making to `stop`, the steps' part of it scaled; `tick` is a run's on_progress."""

    def __init__(self, scale: float) -> None:
        self._scale = scale
        self._begun = time.monotonic()
        self._ticks: list[tuple[float, int]] = []
        self.seconds = self.fixed = 0.0
        self.together = 0  # users who did their last step in one, the first to be done
        self._counted = False

    def tick(self, progress: Progress) -> None:
        if progress.step == progress.steps and not self._counted:
            self.together += 1
        elif self.together:
            self._counted = True
        if not self._ticks or self._ticks[-1][1] != progress.step:
            self._ticks.append((time.monotonic(), progress.step))

    def stop(self) -> None:
        whole = time.monotonic() - self._begun
        between = len(self._ticks) - 1
        steps = (self._ticks[-1][0] - self._ticks[0][0]) * (between + 1) / between if between else whole
        self.fixed = max(0.0, whole - steps)
        self.seconds = self.fixed + steps * self._scale


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
            _clear(self.device)
            self.base, self.quantization = random_base(self.shape, self.device, self.dtype, quantization), quantization
        return self.base


def command(
    shape: Annotated[str, typer.Option(help="qwen2.5-7b, qwen2.5-1.5b, smollm2-135m or tiny")] = "qwen2.5-7b",
    users: Annotated[int, typer.Option(help="Users to train; they share steps as far as the memory goes.")] = 8,
    users_per_step: Annotated[int, typer.Option(help="At most so many share a step; 0: as many as fit.")] = 0,
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(sorted(RECIPES))}.")] = "paper",
    engine: Annotated[str, typer.Option(help="stacked, trl (the reference, one user), or both in one run")] = "stacked",
    quantization: Annotated[
        str, typer.Option(help="Of the stacked engine's base: none or nf4. trl's is nf4.")
    ] = "none",
    rank: Annotated[int, typer.Option(help="0: the recipe's.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    dtype: Annotated[str, typer.Option(help="bfloat16 or float32; empty: bfloat16 on CUDA, float32 on a CPU.")] = "",
    rate: Annotated[float, typer.Option(help="Dollars an hour; the paper's if not given.")] = PAPER_RATE_USD_PER_HOUR,
    own_rate: Annotated[
        float | None, typer.Option(envvar="TRAINER_RATE_USD_PER_HOUR", help="A second rate to print dollars at.")
    ] = None,
    memory_cap_gib: Annotated[float, typer.Option(help="Let torch have only so much of the card; 0: all of it.")] = 0.0,
    shared_prefix: Annotated[bool, typer.Option(help="Run what examples begin with alike once a step.")] = True,
    label_logits: Annotated[bool, typer.Option(help="Last layer and logits at labels only.")] = True,
    keep_lower: Annotated[bool, typer.Option(help="Keep the outputs below the first adapted layer.")] = True,
    kernels: Annotated[bool, typer.Option(help="Triton kernels between the matrix products, on a card.")] = True,
    graphs: Annotated[bool, typer.Option(help="Steps as CUDA graphs.")] = True,
    epochs: Annotated[
        int, typer.Option(help="Run so many and scale the time up to the recipe's; 0: the recipe's.")
    ] = 0,
    sweep: Annotated[str, typer.Option(help="Users per step to try one after the other, such as 1,2,4,8,16.")] = "",
    table: Annotated[bool, typer.Option(help="Also users × rank × base × savings, as far as --budget-s goes.")] = False,
    budget_s: Annotated[float, typer.Option(help="Seconds that the sweep and the table may take.")] = 150.0,
    plot: Annotated[Path | None, typer.Option(help="PNG of time and memory against users per step.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Where to write the figures.")] = None,
) -> None:
    """Measures training on random weights of a shape: seconds, dollars and memory a user."""
    import torch

    from trainer.base import few_fragments, pick_device
    from trainer.bench_shapes import SHAPES

    started = time.monotonic()
    on = pick_device(device)  # type: ignore[arg-type,unused-ignore]
    if on == "cuda":
        few_fragments()
        if memory_cap_gib:
            total = torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, memory_cap_gib * 2**30 / total))
    kind = dtype or ("bfloat16" if on == "cuda" else "float32")
    bench = Bench(shape, on, kind, rate, own_rate, ceiling_tflops(on, kind), epochs or None)
    chosen = RECIPES[recipe] if not rank else replace(RECIPES[recipe], rank=rank, alpha=2 * rank)
    options = Options(users_per_step, shared_prefix, label_logits, keep_lower, kernels, graphs)
    out: dict[str, Any] = {"ran_on": ran_on(on), "shape": shape, "dtype": kind, "ceiling_tflops": bench.ceiling_tflops}
    out |= {"memory_cap_gib": memory_cap_gib or None, "rate_usd_per_hour": rate, "runs": []}
    print(json.dumps(out["ran_on"]), f"matmul ceiling {bench.ceiling_tflops:.3g} TFLOP/s", flush=True)

    def note(made: dict[str, Any]) -> None:
        out["runs"].append(made)
        out["seconds"] = round(time.monotonic() - started, 1)
        print(line(made), flush=True)
        if json_out:
            json_out.parent.mkdir(parents=True, exist_ok=True)
            json_out.write_text(json.dumps(out, indent=1))

    def attempt(name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """A run that fails is a line of the result, so that those before and after it are not lost."""
        try:
            note(measure())
        except Exception as error:
            log.exception("%s failed", name)
            _clear(on)
            note({"name": name, "error": f"{type(error).__name__}: {error}"})

    if engine in ("stacked", "both"):
        row = Row("asked for", users, options, chosen, _checked(quantization))
        attempt(row.name, partial(measure_stacked, bench, row))
    planned = [
        Row(f"{count} users", count, replace(options, slots=count), chosen, _checked(quantization))
        for count in _counts(sweep)
    ]
    if table:
        planned += rows(chosen, SHAPES[shape]["num_hidden_layers"])
    until = time.monotonic() + budget_s
    for row in planned:
        if time.monotonic() > until:
            print(f"left out for time: {row.name}", flush=True)
            continue
        attempt(row.name, partial(measure_stacked, bench, row))
    if engine in ("trl", "both"):
        attempt("trl, one user at a time", partial(measure_trl, bench, chosen))
    if plot:
        draw(out, plot)
    if any(run.get("error", NO_ROOM) != NO_ROOM for run in out["runs"]):
        raise typer.Exit(1)


def measure_stacked(bench: Bench, row: Row) -> dict[str, Any]:
    """One run of the stacked engine, after a short one that starts everything up; an `error` where it does not fit."""
    import torch

    from trainer import stacked

    recipe = replace(row.recipe, epochs=bench.epochs) if bench.epochs else row.recipe
    if row.epochs:
        recipe = replace(recipe, epochs=row.epochs)
    try:
        base = bench.base_with(row.quantization)
        with _users(bench, row.users) as (warm, users):
            begun = time.monotonic()
            slots = stacked.slots_of(base, users, recipe, row.options)
            options = replace(row.options, slots=slots)
            short = [replace(user, examples=user.examples[:16]) for user in warm[:slots]]
            _check(stacked.train(base, short, replace(recipe, epochs=1), lambda _: None, options))
            _clear(bench.device)
            startup = time.monotonic() - begun
            clock = Clock(row.recipe.epochs / recipe.epochs)
            results = stacked.train(base, users, recipe, clock.tick, options)
            _check(results)
            clock.stop()
    except torch.OutOfMemoryError:
        _clear(bench.device)
        return {"name": row.name, "engine": "stacked", "users_per_step": row.users, "error": NO_ROOM}
    tokens = sum(result.tokens for result in results) // len(results) * row.recipe.epochs // recipe.epochs
    flop = flop_per_user(base.model, row.recipe, row.options, tokens, sum(_labels(user) for user in users) / len(users))
    made = _measured(bench, "stacked", row.users, row.recipe, row.quantization, row.options, clock, startup)
    made.tokens_per_user, made.flop_per_user, made.epochs_run = tokens, flop, recipe.epochs
    made.share_of_ceiling = _share(bench, flop, made.seconds_per_user)
    made.final_loss = results[0].losses[-1]
    return {"name": row.name, **asdict(made)}


def measure_trl(bench: Bench, recipe: Recipe) -> dict[str, Any]:
    """One user through the reference engine on a 4-bit base, as the paper has it."""
    from trainer import qlora

    run = replace(recipe, epochs=bench.epochs) if bench.epochs else recipe
    base = bench.base_with("nf4")
    with _users(bench, 1) as (warm, users):
        begun = time.monotonic()
        short = [replace(warm[0], examples=warm[0].examples[:8])]
        _check(qlora.train(base, short, replace(run, epochs=1), lambda _: None))
        startup = time.monotonic() - begun
        _clear(bench.device)
        clock = Clock(recipe.epochs / run.epochs)
        (result,) = qlora.train(base, users, run, clock.tick)
        _check([result])
        clock.stop()
    tokens = result.tokens * recipe.epochs // run.epochs
    made = _measured(bench, "trl", 1, recipe, "nf4", Options(), clock, startup)
    made.options = {}
    made.tokens_per_user, made.epochs_run, made.final_loss = tokens, run.epochs, result.losses[-1]
    made.flop_per_user = flop_per_user(base.model, recipe, Options(label_logits=False), tokens, 0)
    made.share_of_ceiling = _share(bench, made.flop_per_user, made.seconds_per_user)
    return {"name": "trl, one user at a time", **asdict(made)}


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
    forward_below = tokens / recipe.epochs if options.keep_lower else tokens
    rows = labels * recipe.epochs if options.label_logits else tokens
    flop: float = (
        2.0 * layer * first * forward_below
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


def line(made: dict[str, Any]) -> str:
    """One run for a reader."""
    if "error" in made:
        return f"{made['name']}: {made['error']}"
    peak = f", {made['peak_gib']:.1f} GiB" if made["peak_gib"] else ""
    own = f" (${made['usd_per_user_own_rate']:.5f})" if made["usd_per_user_own_rate"] is not None else ""
    setting = f"{made['engine']}, {made['users_per_step']} a step, r={made['rank']}, {made['quantization']}"
    return (
        f"{made['name']} [{setting}]: "
        f"{made['seconds_per_user']:.3f} s a user, ${made['usd_per_user']:.5f}{own}, "
        f"{made['users_per_hour']:.0f} users/h, "
        f"{made['share_of_ceiling']:.0%} of the ceiling{peak}, start-up {made['startup_seconds']:.1f} s"
    )


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
def _users(bench: Bench, count: int) -> Iterator[tuple[list[Any], list[Any]]]:
    """Users for the start-up and for the run, whose adapters are deleted afterwards."""
    from trainer.bench_shapes import SHAPES, random_users

    with tempfile.TemporaryDirectory() as folder:
        vocabulary = SHAPES[bench.shape]["vocab_size"]
        yield (
            random_users(count, vocabulary, Path(folder) / "warm"),
            random_users(count, vocabulary, Path(folder) / "run"),
        )


def _check(results: Sequence[Any]) -> None:
    """A user's error would make the figures worthless."""
    for result in results:
        if result.error:
            raise RuntimeError(f"{result.user_id}: {result.error}")


def _labels(user: Any) -> int:
    return sum(label >= 0 for one in user.examples for label in one.labels)


def _share(bench: Bench, flop: float, seconds: float) -> float:
    return flop / (seconds * 1e12 * bench.ceiling_tflops)


def _clear(device: str) -> None:
    import gc

    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _counts(sweep: str) -> list[int]:
    return [int(count) for count in sweep.split(",") if count]


def _checked(quantization: str) -> Quantization:
    if quantization not in ("none", "nf4"):
        raise typer.BadParameter(f"{quantization}: none or nf4")
    return quantization  # type: ignore[return-value,unused-ignore]


if __name__ == "__main__":
    typer.run(command)
