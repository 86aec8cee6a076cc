"""Processes that train one thing together, one a GPU, as torchrun starts them; one process alone needs none of it.

    torchrun --nproc-per-node 2 -m trainer prime --tasks FILE --out FOLDER --from PRIMER
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's `number` of `count`."""

    number: int = 0
    count: int = 1

    @classmethod
    def join(cls) -> Ranks:
        """Meets the other processes, each with the card that it is to use."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return cls()
        import torch

        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
        return cls(int(os.environ["RANK"]), count)

    @property
    def first(self) -> bool:
        return self.number == 0

    def average(self, tensor: Any) -> None:
        """`tensor` becomes the mean of all processes' in place."""
        if self.count > 1:
            import torch

            torch.distributed.all_reduce(tensor)
            tensor /= self.count

    def furthest(self, share: float) -> float:
        """The largest of all processes' shares, so that they stop at the same step."""
        if self.count == 1:
            return share
        import torch

        agreed = torch.tensor(share, dtype=torch.float64)
        torch.distributed.all_reduce(agreed, torch.distributed.ReduceOp.MAX)
        return float(agreed)

    def leave(self) -> None:
        if self.count > 1:
            import torch

            torch.distributed.destroy_process_group()
