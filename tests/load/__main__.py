"""Prints the figures of the bot under load on a platform, and fails where one is over its limit (`measure.py`).

python -m tests.load discord --json load.json     # 10,000 people, 300,000 facts; about three minutes
python -m tests.load telegram --people 500        # smaller
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tests.load.measure import measure, over


class Platform(StrEnum):
    DISCORD = "discord"
    TELEGRAM = "telegram"


def main(
    platform: Platform,
    people: Annotated[int, typer.Option(help="in the store")] = 10_000,
    facts_each: Annotated[int, typer.Option(help="facts of each of them")] = 30,
    commands: Annotated[int, typer.Option(help="commands to time, each of another person")] = 2_000,
    chatting: Annotated[int, typer.Option(help="people who chat at once")] = 1_000,
    out: Annotated[Path | None, typer.Option("--json", help="where to write the figures")] = None,
) -> None:
    """Measures one platform."""
    sizes = {"people": people, "facts_each": facts_each, "commands": commands, "chatting": min(chatting, people)}
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(measure(platform, Path(folder), **sizes))
    figures = json.dumps(asdict(report), indent=2)
    print(figures)
    if out:
        out.write_text(f"{figures}\n")
    if failures := over(report):
        raise SystemExit("; ".join(failures))


if __name__ == "__main__":
    typer.run(main)
