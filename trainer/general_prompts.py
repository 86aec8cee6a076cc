"""General questions: those the gate asks (with their answers), and those whose answers by the base are replayed in training.

Both lists are data beside this file, written for this project; no question is in both.
"""

from __future__ import annotations

import json
from pathlib import Path

_HERE = Path(__file__).parent


def _lines(name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (_HERE / name).read_text(encoding="utf-8").splitlines()]


GATE: tuple[tuple[str, tuple[str, ...]], ...] = tuple(
    (str(line["q"]), tuple(map(str, line["answers"]))) for line in _lines("general_gate.jsonl")  # type: ignore[call-overload]
)
REQUESTS: tuple[str, ...] = tuple((_HERE / "general_requests.txt").read_text(encoding="utf-8").splitlines())
REPLAY: tuple[str, ...] = tuple(str(line["q"]) for line in _lines("general_replay.jsonl"))
