"""Element-wise code as one kernel each, by torch.compile, where that can be had."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any


def can_compile(device: str) -> bool:
    """Whether to compile unless told otherwise: on a card, where triton is installed with the C compiler that it needs."""
    if device != "cuda" or find_spec("triton") is None:
        return False
    return bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function under torch.compile, for any length; made once a process."""
    import torch

    made: Callable[..., Any] = torch.compile(function, dynamic=True)
    return made
