"""Primers: adapters that hold nobody's facts. Users without an own adapter chat with the base's primer, and every
user's training starts from it. One is shipped for the bundled base; `python -m trainer prime` makes one for another.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from serving.base_model import BUNDLED_REF

SHIPPED = Path(__file__).parent / "bundled"
NAME = "primer"  # published as primer-<hash of its weights>, so that a newer primer gets a new name


def find(base_ref: str, base_path: Path) -> Path | None:
    """The primer of a base: one made beside the base's folder or under the data folder, or the shipped one; None: none."""
    made = base_path.parent / f"primer-{base_path.name}"
    for folder in (made, SHIPPED if base_ref == BUNDLED_REF else None):
        if folder is not None and (folder / "adapter_model.safetensors").is_file():
            return folder
    return None


def published_name(folder: Path) -> str:
    digest = hashlib.sha256((folder / "adapter_model.safetensors").read_bytes()).hexdigest()[:12]
    return f"{NAME}-{digest}"


def publish(base_ref: str, base_path: Path, adapters_dir: Path) -> str | None:
    """Puts the base's primer among the served adapters under its name, which is returned; None where there is none."""
    folder = find(base_ref, base_path)
    if folder is None:
        return None
    name = published_name(folder)
    target = adapters_dir / name
    if not target.is_dir():
        staged = adapters_dir / f".staged-{name}"
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(folder, staged)
        config = json.loads((staged / "adapter_config.json").read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = base_ref  # vLLM's resolver loads it only where this equals the served base
        (staged / "adapter_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
        staged.rename(target)
    return name
