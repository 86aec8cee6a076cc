"""The benchmark's table: users per step, rank, base and each saving on and off; and its plot.

python -m trainer.bench_table OUT.json [PLOT.png]     of an earlier run, also one that was cut off
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from trainer.base import Quantization
from trainer.recipes import RECIPES, Recipe
from trainer.stacked import Options

TABLE_EPOCHS = 2  # of a row; the rest of the recipe's is reckoned from the last
REFERENCE_EPOCHS = 1  # of the reference engine, which takes minutes a user


@dataclass(frozen=True, slots=True)
class Row:
    """One run to make."""

    name: str
    users: int
    options: Options
    recipe: Recipe
    quantization: Quantization = "none"
    epochs: int = 0  # 0: the recipe's
    engine: str = "stacked"


def reference(recipe: Recipe) -> Row:
    """The reference engine, on 4 bits as the paper has it."""
    return Row("trl, one user at a time", 1, Options(), recipe, "nf4", REFERENCE_EPOCHS, "trl")


def rows(recipe: Recipe, layers: int) -> list[Row]:
    """Most wanted first, because time may run out; what needs the 4-bit base stands together, since it takes making.

    `layers`: the base's.
    """

    def row(name: str, users: int, quantization: Quantization = "none", **changes: Any) -> Row:
        switches = {key: changes.pop(key) for key in list(changes) if key in Options.__slots__}
        changed: Recipe = replace(changes.pop("recipe", recipe), **changes)
        return Row(name, users, Options(users, **switches), changed, quantization, TABLE_EPOCHS)

    upper = tuple(range(layers // 2, layers))
    low: dict[str, Any] = {"rank": 8, "alpha": 16}
    return [
        *[row(f"{count} users", count) for count in (8, 1, 16, 4, 2)],
        row("8 users without kernels", 8, fused=False),
        row("8 users without CUDA graphs", 8, graphed=False),
        row("8 users without shared prefix", 8, share_prefix=False),
        row("8 users without label logits", 8, label_logits=False),
        row("8 users without any of these", 8, fused=False, graphed=False, share_prefix=False, label_logits=False),
        reference(recipe),
        *[row(f"{count} users, 4 bits", count, "nf4") for count in (8, 1, 16, 4, 2)],
        row("16 users, 4 bits, rank 8", 16, "nf4", **low),
        *[row(f"{count} users, rank 8", count, **low) for count in (8, 1, 16, 4, 2)],
        row("8 users without dropout", 8, dropout=0.0),
        row("12 users, default recipe", 12, recipe=RECIPES["default"]),
        row("8 users, upper half", 8, layers=upper, dropout=0.0),
    ]


def markdown(out: dict[str, Any]) -> str:
    """The runs that worked, a line each."""
    head = (
        "| run | base | rank | users a step | seconds a user | $ a user | of the ceiling | peak GiB | epochs run |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    )
    lines = [
        f"| {run['name']} | {run['quantization']} | {run['rank']} | {run['users_per_step']} "
        f"| {run['seconds_per_user']:.3f} | {run['usd_per_user']:.5f} | {_figure(run['share_of_ceiling'], '.0%')} "
        f"| {_figure(run['peak_gib'], '.1f')} | {run['epochs_run']} |"
        for run in out["runs"]
        if "error" not in run
    ]
    return "\n".join([*head, *lines])


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def draw(out: dict[str, Any], path: Path) -> None:
    """Seconds a user and peak memory against users per step, a line for each base and rank with every saving on."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    lines: dict[str, dict[int, dict[str, Any]]] = {}
    for run in out["runs"]:
        plain = run.get("name", "") in _plain_names(run)
        if plain and "error" not in run:
            lines.setdefault(f"{run['quantization']}, r={run['rank']}", {})[run["users_per_step"]] = run
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for label, points in sorted(lines.items()):
        users = sorted(points)
        left.plot(users, [points[count]["seconds_per_user"] for count in users], marker="o", label=label)
        if all(points[count]["peak_gib"] for count in users):
            right.plot(users, [points[count]["peak_gib"] for count in users], marker="o", label=label)
    left.set(xlabel="users in a step", ylabel="seconds a user", yscale="log")
    right.set(xlabel="users in a step", ylabel="peak memory, GiB", ylim=(0, None))
    if lines:
        left.legend()
    figure.suptitle(f"{out['shape']}, {out['ran_on']['device']}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _plain_names(run: dict[str, Any]) -> set[str]:
    """What a run with every saving on is called in the table and the sweep."""
    users = run.get("users_per_step")
    return {f"{users} users", f"{users} users, rank 8", f"{users} users, 4 bits", f"{users} users, 4 bits, rank 8"}


def command(
    figures: Annotated[Path, typer.Argument(help="what `bench --json` wrote")],
    plot: Annotated[Path | None, typer.Argument(help="PNG to draw")] = None,
) -> None:
    """Shows the figures of an earlier run as a table, and draws them."""
    out = json.loads(figures.read_text())
    print(markdown(out))
    if plot:
        draw(out, plot)


if __name__ == "__main__":
    typer.run(command)
