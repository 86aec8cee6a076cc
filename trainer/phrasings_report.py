"""What the generator makes of a file of statements, to read: coverage, phrasings a fact, random samples.

    python -m trainer phrasings FILE.jsonl --samples 30 --json OUT.json

A line is an object with `text`, a statement as a person types it. The generator is the rules. Not covered: whether a sample is
good, which is for a reader to say.
"""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from bot.errors import NotAFact
from bot.facts import understand
from trainer.phrasings import MIN_PHRASINGS, Generator, Rules


@dataclass(frozen=True, slots=True)
class Sample:
    """One phrasing with the statement it comes from."""

    statement: str
    fact: str
    family: str
    question: str
    answer: str


def report(statements: Sequence[str], generator: Generator, samples: int, seed: int = 0) -> dict[str, Any]:
    """Counts over all statements, what was declined and why, what failed, and `samples` phrasings at random."""
    made: list[list[Sample]] = []  # a list a fact
    declined: list[dict[str, str]] = []
    failed: list[dict[str, str]] = []
    covered = 0
    for statement in statements:
        rng = random.Random(f"{seed} {statement}")
        try:
            facts = understand(statement)
            of_facts = [(fact, generator.phrasings(fact, rng)) for fact in facts]
        except NotAFact as error:
            declined.append({"statement": statement, "why": str(error)})
        except Exception as error:  # noqa: BLE001 - a report names what breaks and goes on
            failed.append({"statement": statement, "why": f"{type(error).__name__}: {error}"})
        else:
            covered += 1
            made += [
                [Sample(statement, fact.text, one.family, one.question, one.answer) for one in phrasings]
                for fact, phrasings in of_facts
            ]
    counts = [len(of_fact) for of_fact in made]
    everything = [sample for of_fact in made for sample in of_fact]
    chosen = random.Random(seed).sample(everything, min(samples, len(everything)))
    return {
        "statements": len(statements),
        "gave_facts": covered,
        "declined": declined,
        "failed": failed,
        "facts": len(made),
        "phrasings": len(everything),
        "phrasings_min": min(counts, default=0),
        "phrasings_median": statistics.median(counts) if counts else 0,
        "share_with_enough": round(sum(count >= MIN_PHRASINGS for count in counts) / len(counts), 4) if counts else 0,
        "samples": [asdict(sample) for sample in chosen],
    }


def read(file: Path) -> list[str]:
    """The statements of a file.

    Raises:
        ValueError: a line is no object with `text`; the message names it.
    """
    statements = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            statements.append(str(row["text"]))
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{file.name}, line {number}: an object with `text` is needed") from error
    return statements


def command(
    file: Annotated[Path, typer.Argument(help="statements, one JSON object with `text` a line")],
    samples: Annotated[int, typer.Option(min=0, help="phrasings to read, at random")] = 30,
    seed: Annotated[int, typer.Option()] = 0,
    out: Annotated[Path | None, typer.Option("--json", help="where the whole report goes")] = None,
) -> None:
    """Reports what questions and answers the statements of a file give, and prints some to read."""
    try:
        found = report(read(file), Rules(), samples, seed)
    except (OSError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    if out:
        out.write_text(json.dumps(found, indent=1, ensure_ascii=False), encoding="utf-8")
    _show(found)


def _show(found: dict[str, Any]) -> None:
    for one in found["samples"]:
        typer.echo(f"said:     {one['statement']}")
        if one["fact"] != one["statement"]:
            typer.echo(f"fact:     {one['fact']}")
        typer.echo(f"question: {one['question']}   [{one['family']}]")
        typer.echo(f"answer:   {one['answer']}\n")
    for kind in ("declined", "failed"):
        for one in found[kind]:
            typer.echo(f"{kind}: {one['statement']} ({one['why']})")
    typer.echo(
        f"{found['statements']} statements: {found['gave_facts']} gave {found['facts']} facts, {len(found['declined'])} declined, "
        f"{len(found['failed'])} failed. {found['phrasings']} phrasings; a fact at least {found['phrasings_min']}, median "
        f"{found['phrasings_median']:g}, {found['share_with_enough']:.1%} with {MIN_PHRASINGS} or more."
    )
