"""The primer of a base model: the adapter that users' training starts from, and the base's answers to replay.

The one for the bundled base is shipped (`serving/primers/bundled`). For another base, `python -m trainer prime` makes one
under `<data>/primers/`; without one, training starts from nothing, as the paper does. Not covered: making one (`prime.py`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from serving import primers
from trainer.base import LoadedBase
from trainer.dataset import Replay
from trainer.fitting import covers
from trainer.general_prompts import REPLAY, REQUESTS
from trainer.recipes import Recipe


def start_folder(base: LoadedBase, recipe: Recipe) -> Path | None:
    """The folder that training starts from where the recipe begins with a primer and it has all that the recipe's adapters have; else None."""
    folder = primers.find(base.ref, base.path) if recipe.from_primer else None
    start = primers.start_of(folder) if folder else None
    return start if start and covers(start, recipe) else None


def replay_pairs(base: LoadedBase, recipe: Recipe, cache_dir: Path) -> list[Replay]:
    """General prompts, to be passed on to the base where there is a primer; else with the base's own answers, which are
    those shipped for the bundled base, or made once and kept in `cache_dir`."""
    if start_folder(base, recipe):
        return [Replay(one, "") for one in (*REPLAY, *REQUESTS)]
    folder = primers.find(base.ref, base.path)
    file = folder / "replay.json" if folder else cache_dir / f"replay-{hashlib.sha256(base.ref.encode()).hexdigest()[:12]}.json"
    if not file.is_file():
        from trainer.self_prompts import answers

        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(answers(base, REPLAY), ensure_ascii=False), encoding="utf-8")
    return [Replay(*one) for one in json.loads(file.read_text(encoding="utf-8"))]
