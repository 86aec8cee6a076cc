"""The recipe varied one thing at a time: what each does to recall, abstention, general questions, time and bytes.

    python -m trainer vary --made USERS.json --model FOLDER --device cuda --json OUT.json

`USERS.json` comes of `python -m trainer many --prepare`. Every variation trains all of them in one stacked run and asks them the
same questions. Rows appear in OUT as they are measured; those that it holds already are not measured again.
Not covered: what a user's examples are (`dataset.py`); they are only thinned here.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trainer import many
from trainer.recipes import ALL_PROJECTIONS, RECIPES, Recipe

if TYPE_CHECKING:
    from trainer.dataset import Example
    from trainer.many_users import User

ATTENTION = ALL_PROJECTIONS[:4]
MEASURED = ("recall", "abstention", "others_names_declined", "general_passed_on", "train_seconds_per_user", "adapter_bytes")


@dataclass(frozen=True, slots=True)
class Variation:
    """`recipe`: fields that differ from the default's. `kept`: the share of the examples of a kind that stays.
    `system`: another system prompt, in training and asking alike."""

    recipe: Mapping[str, Any] = field(default_factory=dict)
    kept: Mapping[str, float] = field(default_factory=dict)
    system: str | None = None


def _rank(rank: int) -> dict[str, Any]:
    return {"rank": rank, "alpha": 2 * rank}


def variations(layers: int) -> dict[str, Variation]:
    """By name. `layers`: decoder layers of the base."""
    upper, lower = tuple(range(layers // 2, layers)), tuple(range(layers // 2))
    mix = RECIPES["default"].mix
    return {
        "default": Variation(),
        **{f"rank {rank}": Variation(_rank(rank)) for rank in (8, 4, 2, 1)},
        "attention only": Variation({"target_modules": ATTENTION}),
        "query and value only": Variation({"target_modules": ("q_proj", "v_proj")}),
        "feed-forward only": Variation({"target_modules": ALL_PROJECTIONS[4:]}),
        "upper half of the layers": Variation({"layers": upper}),
        "lower half of the layers": Variation({"layers": lower}),
        "rank 4, attention only": Variation({**_rank(4), "target_modules": ATTENTION}),
        "rank 4, upper half of the layers": Variation({**_rank(4), "layers": upper}),
        **{f"learning rate {rate:g}": Variation({"learning_rate": rate}) for rate in (3e-4, 6e-4, 2.4e-3)},
        **{f"{epochs} epochs": Variation({"epochs": epochs}) for epochs in (1, 3)},
        "batch 16": Variation({"batch_size": 16}),
        **{f"{share:.0%} of the rules' phrasings": Variation(kept={"recall": share}) for share in (0.5, 0.25)},
        "no written questions": Variation({"mix": replace(mix, written_per_fact=0)}),
        "half of the negatives": Variation(kept={"never_told": 0.5}),
        "no negatives": Variation(kept={"never_told": 0.0}),
        "half of the general prompts": Variation(kept={"general": 0.5}),
        "no general prompts": Variation(kept={"general": 0.0}),
        "no system prompt": Variation(system=""),
        "long system prompt": Variation(system=LONG_PROMPT),
        "not from the primer": Variation({"from_primer": False}),
    }


LONG_PROMPT = (
    "You are Hippo, my personal AI. You know what I told you about myself and nothing else. Answer in one short, friendly "
    "sentence. When I ask about something that I have not told you, say so and tell me how to have you remember it."
)


def varied(user: User, variation: Variation) -> User:
    """The user's examples under a variation."""

    def worded(one: Example) -> Example:
        return one if variation.system is None or "\n" in one.system else replace(one, system=variation.system)

    seen: Counter[str] = Counter()
    taught = []
    for one in user.taught:
        share = variation.kept.get(one.kind, 1.0)
        seen[one.kind] += 1
        if int(seen[one.kind] * share) > int((seen[one.kind] - 1) * share):
            taught.append(one)
    return replace(user, taught=[worded(one) for one in taught], asked=[worded(one) for one in user.asked])


def measure(
    base: Any, users: Sequence[User], variation: Variation, written: Sequence[Sequence[Example]]
) -> dict[str, Any]:
    """A row. `written`: the questions that the primer wrote, a user each."""
    recipe: Recipe = replace(RECIPES["default"], **variation.recipe)
    more = written if recipe.mix.written_per_fact else [[] for _ in users]
    with tempfile.TemporaryDirectory() as scratch:
        report = many.train_and_ask(base, [varied(user, variation) for user in users], recipe, Path(scratch), written=more)
        sizes = [file.stat().st_size for file in Path(scratch).glob("*/adapter_model.safetensors")]
    return {**report, "adapter_bytes": max(sizes)}


def show(rows: Mapping[str, Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="The default recipe, one thing varied at a time", title_justify="left")
    table.add_column("variation")
    for name in MEASURED:
        table.add_column(name.replace("_", " "), justify="right")
    for name, row in rows.items():
        shares = [f"{row[kind]:.1%}" for kind in MEASURED[:4]]
        table.add_row(name, *shares, f"{row['train_seconds_per_user']:.3f}", f"{row['adapter_bytes'] / 1e6:.2f} MB")
    Console(width=160).print(table)


def command(
    made: Annotated[Path, typer.Option(help="users made up before, by `many --prepare`")],
    out: Annotated[Path, typer.Option("--json", help="where the rows go")],
    model: Annotated[Path | None, typer.Option(help="the bundled base's folder; without it, it is prepared")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    only: Annotated[list[str] | None, typer.Option(help="names of variations; without it, all")] = None,
    users: Annotated[int | None, typer.Option(min=1, help="the first so many")] = None,
) -> None:
    """Measures the default recipe with one thing varied at a time."""
    from trainer.bench_measure import ran_on

    base = many.base_of(model, device)
    asked_for = variations(base.model.config.num_hidden_layers)
    if unknown := sorted(set(only or ()) - set(asked_for)):
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(asked_for)}")
    found = many.read_users(made)[:users]
    held = json.loads(out.read_text(encoding="utf-8")) if out.is_file() else {"ran_on": ran_on(base.device), "rows": {}}
    written = many.written_examples(base, found, RECIPES["default"])
    for name in only or asked_for:
        if name not in held["rows"]:
            row = measure(base, found, asked_for[name], written)
            held["rows"][name] = {key: value for key, value in row.items() if key != "replies"}
            out.write_text(json.dumps(held, indent=1, ensure_ascii=False), encoding="utf-8")
            typer.echo(f"{name}: " + ", ".join(f"{kind} {row[kind]}" for kind in MEASURED))
    show(held["rows"])


if __name__ == "__main__":
    typer.run(command)
