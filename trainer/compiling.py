"""Element-wise code as one kernel each, by torch.compile, where that can be had."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function under torch.compile, for any length; made once a process."""
    import torch

    made: Callable[..., Any] = torch.compile(function, dynamic=True)
    return made
