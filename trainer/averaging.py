"""Primers of one training averaged into one, which reads what it was not trained on better than the last of them.

    python -m trainer average FIRST=0.25 SECOND=0.375 THIRD=0.375 --out FOLDER

Their weights lie close enough together for that, since each goes on from the one before (model soups, Wortsman et al.,
arXiv:2203.05482). Not covered: training them (`prime.py`).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from serving import primers

MEASURED = ("log", "kept_out", "loss_reading_kept_out")  # of one primer, which no more is so of a mean
DESCRIBED = ("minutes", "items", "device", "processes", "kept_out", "loss_reading_kept_out")
WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


class NotAlike(ValueError):
    """The adapters cannot be averaged; the message says why."""


def average(shares: Mapping[Path, float], out: Path) -> None:
    """Writes the mean of the adapters in the folders, weighted by shares of their sum, with their descriptions.

    Raises:
        NotAlike: they differ in shape.
    """
    from safetensors.torch import load_file, save_file

    whole = sum(shares.values())
    held = {folder: load_file(str(folder / WEIGHTS)) for folder in shares}
    first = next(iter(held.values()))
    for folder, weights in held.items():
        if {name: one.shape for name, one in weights.items()} != {name: one.shape for name, one in first.items()}:
            raise NotAlike(f"the adapter in {folder} has another shape than the first")
    mean = {
        name: sum(share / whole * held[folder][name].float() for folder, share in shares.items()).to(one.dtype).contiguous()  # type: ignore[union-attr]
        for name, one in first.items()
    }
    out.mkdir(parents=True, exist_ok=True)
    save_file(mean, str(out / WEIGHTS), metadata={"format": "pt"})
    last = list(shares)[-1]
    shutil.copyfile(last / CONFIG, out / CONFIG)
    parts = [{"share": round(share / whole, 4), **primers.described(folder)} for folder, share in shares.items()]
    kept = [{name: part[name] for name in ("share", *DESCRIBED) if name in part} for part in parts]
    made = {name: known for name, known in parts[-1].items() if name not in ("share", *MEASURED)}
    (out / "primer.json").write_text(json.dumps({**made, "average_of": kept}, indent=1), encoding="utf-8")


def command(
    parts: Annotated[list[str], typer.Argument(help="FOLDER=SHARE, the last the newest")],
    out: Annotated[Path, typer.Option(help="where the primer goes")],
) -> None:
    """Averages primers that went on from one another."""
    try:
        average({Path(folder): float(share) for folder, _, share in (one.rpartition("=") for one in parts)}, out)
    except (ValueError, OSError) as error:
        typer.echo(f"cannot average: {error}", err=True)
        raise typer.Exit(1) from error
