"""Adapter folders: names, publishing, deleting.

A name is `<user>-v<version>` and is never used twice: a server that has loaded a name keeps serving what it loaded.
Publishing is one rename inside the data folder, so a folder under `adapters/` is always whole.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

_DELETED = ".deleted-"
_NAME = re.compile(r"[0-9a-z]{8,40}-v[0-9]{4,}")


def adapter_name(user_id: str, version: int) -> str:
    """The name of a user's adapter of a version (1, 2, …).

    Raises:
        ValueError: the user id is not plain lower-case letters and digits.
    """
    name = f"{user_id}-v{version:04d}"
    if not _NAME.fullmatch(name):
        raise ValueError("a user id is 8 to 40 lower-case letters and digits")
    return name


def publish(candidate: Path, adapters_dir: Path, name: str) -> Path:
    """Moves a finished candidate folder to its served name; the folder appears whole or not at all.

    Raises:
        FileExistsError: the name was published before.
        FileNotFoundError: the candidate has no adapter in it.
    """
    target = adapters_dir / name
    if not (candidate / "adapter_config.json").is_file():
        raise FileNotFoundError(f"no adapter in {candidate.name}")
    if target.exists():
        raise FileExistsError(f"adapter {name} was published before")
    adapters_dir.mkdir(parents=True, exist_ok=True)
    return candidate.rename(target)


def delete(adapters_dir: Path, name: str) -> None:
    """Removes an adapter's folder; none is fine. Moved aside first, so that no half of it is ever served."""
    target = adapters_dir / name
    if _NAME.fullmatch(name) and target.is_dir():
        doomed = target.rename(adapters_dir / f"{_DELETED}{name}")
        shutil.rmtree(doomed)


def remove_others(adapters_dir: Path, keep: set[str]) -> list[str]:
    """Deletes users' adapters not in `keep` (retired, or left by a crash before their commit); returns their names."""
    folders = sorted(adapters_dir.iterdir()) if adapters_dir.is_dir() else []
    removed = [folder.name for folder in folders if _NAME.fullmatch(folder.name) and folder.name not in keep]
    for name in removed:
        delete(adapters_dir, name)
    for folder in folders:
        if folder.name.startswith(_DELETED):
            shutil.rmtree(folder)
    return removed


def size_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
