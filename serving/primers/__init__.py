"""Primers: adapters that hold nobody's facts. Users without an own adapter chat with the base's primer, and every
user's training starts from it. One is shipped for the bundled base; `python -m trainer prime` makes one for another.
"""

from __future__ import annotations

import json
from pathlib import Path

BUNDLED_REF = "base/bundled"  # the bundled base, relative to the data folder, so that the folder may move
SHIPPED = Path(__file__).parent / "bundled"


def find(base_ref: str, base_path: Path) -> Path | None:
    """The primer of a base: one made beside the base's folder or under the data folder, or the shipped one; None: none."""
    made = base_path.parent / f"primer-{base_path.name}"
    for folder in (made, SHIPPED if base_ref == BUNDLED_REF else None):
        if folder is not None and (folder / "adapter_model.safetensors").is_file():
            return folder
    return None


def for_chat(base_ref: str, base_path: Path) -> Path | None:
    """The primer that users without an own adapter chat with; None where it is only good as a start of training."""
    folder = find(base_ref, base_path)
    described = folder / "primer.json" if folder else None
    if described is None or not described.is_file():
        return None
    return folder if json.loads(described.read_text(encoding="utf-8")).get("chats") else None
