"""Primers: adapters that hold nobody's facts. Users without an own adapter chat with the base's primer, every user's
training starts from it, and it reads what adapters recall (`serving/recollection.py`). One is shipped for the bundled
base; `python -m trainer prime` makes one for another. Before a training a primer also judges which facts are no longer true: the
shipped one has another beside it for that, in `changes/`. Trainings start from the one in `start/` where there is one: an earlier
primer, whose adapters pass less on that is about the user. Nothing is served from either.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BUNDLED_REF = "base/bundled"  # the bundled base, relative to the data folder, so that the folder may move
END_OF_TURN = "<|im_end|>"  # in the bundled base's chat template
SHIPPED = Path(__file__).parent / "bundled"


def find(base_ref: str, base_path: Path) -> Path | None:
    """The primer of a base: one made beside the base's folder or under the data folder, or the shipped one; None: none.

    One of an earlier kind, which reads no notes, is none.
    """
    made = base_path.parent / f"primer-{base_path.name}"
    for folder in (made, SHIPPED if base_ref == BUNDLED_REF else None):
        if folder is not None and (folder / "adapter_model.safetensors").is_file() and described(folder).get("reads_notes"):
            return folder
    return None


def start_of(folder: Path) -> Path:
    """The adapter that users' training starts from: beside the primer in `folder`, or the primer itself."""
    start = folder / "start"
    return start if (start / "adapter_model.safetensors").is_file() else folder


def judge_of_changes(folder: Path) -> Path | None:
    """The adapter that sees that one statement takes the place of another: beside the primer in `folder`, or the primer itself.

    None where neither has learned it.
    """
    for one in (folder / "changes", folder):
        if described(one).get("sees_changes"):
            return one
    return None


def described(folder: Path) -> dict[str, Any]:
    """What the primer in `folder` was made with and for; empty where nothing says so."""
    file = folder / "primer.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
