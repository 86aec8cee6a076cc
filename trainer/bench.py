"""Seconds and dollars a user, share of the card's matmul ceiling and peak memory, on random weights of a named shape.

    python -m trainer bench --shape qwen2.5-7b --users 8 --recipe paper --engine both --json OUT.json
    python -m trainer.bench …   the same where only torch, transformers, peft (and trl, bitsandbytes) are installed

Random tokens with the profile of the paper's run (61 examples, 15,530 tokens over 5 epochs) train at the same speed as
any others. Every figure says what it ran on. Not covered: the quality of what is learned (`trainer evaluate`).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from trainer import bench_measure
from trainer.base import Quantization
from trainer.bench_measure import NO_ROOM, Bench, ceiling_tflops, clear, ran_on
from trainer.bench_table import Row, draw, markdown, reference, rows
from trainer.recipes import PAPER_RATE_USD_PER_HOUR, RECIPES
from trainer.stacked import Options

log = logging.getLogger(__name__)


def command(
    shape: Annotated[str, typer.Option(help="qwen2.5-7b, qwen2.5-1.5b, smollm2-135m or tiny")] = "qwen2.5-7b",
    users: Annotated[
        int,
        typer.Option(
            help="Users to train; they share steps as far as the memory goes. 0: only the sweep and the table."
        ),
    ] = 8,
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
    kernels: Annotated[bool, typer.Option(help="Triton kernels between the matrix products, on a card.")] = True,
    graphs: Annotated[bool, typer.Option(help="Steps as CUDA graphs.")] = True,
    epochs: Annotated[
        int, typer.Option(help="Run so many and reckon the rest; 0: the recipe's, of trl 1, in the table 2.")
    ] = 0,
    sweep: Annotated[str, typer.Option(help="Users per step to try one after the other, such as 1,2,4,8,16.")] = "",
    table: Annotated[bool, typer.Option(help="Also users × rank × base × savings, as far as --budget-s goes.")] = False,
    only: Annotated[
        str, typer.Option("--rows", help="Of the table these alone, as NAME;NAME (names are printed).")
    ] = "",
    profile: Annotated[bool, typer.Option(help="Also the time on the card by kernel, of steps of --users.")] = False,
    budget_s: Annotated[float, typer.Option(help="No run is begun after so many seconds.")] = 240.0,
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
    options = Options(users_per_step, shared_prefix, label_logits, kernels, graphs)
    out: dict[str, Any] = {"ran_on": ran_on(on), "shape": shape, "dtype": kind, "ceiling_tflops": bench.ceiling_tflops}
    out |= {"memory_cap_gib": memory_cap_gib or None, "rate_usd_per_hour": rate, "runs": []}
    print(json.dumps(out["ran_on"]), f"matmul ceiling {bench.ceiling_tflops:.3g} TFLOP/s", flush=True)

    def write() -> None:
        """After each run, so that one that is cut off leaves what it measured."""
        out["seconds"] = round(time.monotonic() - started, 1)
        if json_out:
            json_out.parent.mkdir(parents=True, exist_ok=True)
            json_out.write_text(json.dumps(out, indent=1))

    def attempt(row: Row) -> None:
        """A run that fails is a line of the result, so that those before and after it are not lost."""
        try:
            made = bench_measure.measure(bench, row)
        except Exception as error:
            log.exception("%s failed", row.name)
            clear(on)
            made = {"name": row.name, "error": f"{type(error).__name__}: {error}"}
        out["runs"].append(made)
        print(line(made), flush=True)
        write()

    asked = Row("asked for", users, options, chosen, _checked(quantization))
    planned = [asked] if users and engine != "trl" else []
    planned += [
        Row(f"{count} users", count, replace(options, slots=count), chosen, _checked(quantization))
        for count in _counts(sweep)
    ]
    if table or only:
        planned += _chosen(rows(chosen, SHAPES[shape]["num_hidden_layers"]), only)
    if engine != "stacked" and not any(row.engine == "trl" for row in planned):
        planned.append(reference(chosen))
    if profile:
        from trainer.bench_profile import profiled, shown

        found = profiled(bench, replace(asked, options=replace(options, slots=users)))
        print(shown(found), flush=True)
        out["profile"] = found
        write()
        clear(on)
    for row in planned:
        if time.monotonic() > started + budget_s:
            print(f"left out for time: {row.name}", flush=True)
            continue
        attempt(row)
    print(markdown(out))
    if plot:
        draw(out, plot)
    if any(run.get("error", NO_ROOM) != NO_ROOM for run in out["runs"]):
        raise typer.Exit(1)


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


def _counts(sweep: str) -> list[int]:
    return [int(count) for count in sweep.split(",") if count]


def _chosen(table: Sequence[Row], only: str) -> list[Row]:
    wanted = [name.strip() for name in only.split(";") if name.strip()]
    known = {row.name: row for row in table}
    if unknown := [name for name in wanted if name not in known]:
        raise typer.BadParameter(f"{unknown[0]}: no such row; there are: {'; '.join(known)}")
    return [known[name] for name in wanted] if wanted else list(table)


def _checked(quantization: str) -> Quantization:
    if quantization not in ("none", "nf4"):
        raise typer.BadParameter(f"{quantization}: none or nf4")
    return quantization  # type: ignore[return-value,unused-ignore]


if __name__ == "__main__":
    typer.run(command)
