"""`elementwise.py` on Triton's kernels (`kernels.py`): one pass over the card's memory each, forward and backward.

Tensors are contiguous but for offsets, whose rows may be longer than a step. What needs no gradient gets none: weights of
norms are frozen.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainer import kernels
from trainer.elementwise import BETA1, BETA2, EPSILON

FLAT, ROW, UPDATED, LOGITS = 2048, 1024, 2048, 4096  # numbers of a program
LOGIT_ROWS = 1024  # rows of the vocabulary's product held at a time, in the base's dtype and once
WARP_NUMBERS = 512  # of a row, a warp: 16 a thread


def add_norm(hidden: Tensor, delta: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    made: tuple[Tensor, Tensor] = AddNorm.apply(hidden, delta, weight, epsilon)  # type: ignore[no-untyped-call]
    return made


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    made: Tensor = Swiglu.apply(gate, up)  # type: ignore[no-untyped-call]
    return made


def for_attention(query: Tensor, key: Tensor, value: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    made: tuple[Tensor, Tensor, Tensor] = ForAttention.apply(query, key, value, cos, sin)  # type: ignore[no-untyped-call]
    return made


class AddNorm(torch.autograd.Function):
    """Keeps the sum alone; what the norm divides by is made again."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, delta: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        total, normed = torch.empty_like(delta), torch.empty_like(delta)
        _by_rows(kernels.add_norm, delta, total, normed, hidden.contiguous(), delta, weight, epsilon)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(total, weight)
        ctx.epsilon = epsilon
        return total, normed

    @staticmethod
    def backward(
        ctx: Any, d_total: Tensor | None, d_normed: Tensor | None
    ) -> tuple[Tensor | None, Tensor | None, None, None]:
        if d_normed is None:
            return d_total, d_total, None, None
        total, weight = ctx.saved_tensors
        d_x, added = torch.empty_like(total), d_total is not None
        d_total = d_normed if d_total is None else d_total.contiguous()
        tensors = (d_x, d_total, d_normed.contiguous(), total, weight)
        _by_rows(kernels.add_norm_backward, total, *tensors, ctx.epsilon, added=added)
        return d_x, d_x, None, None


class Swiglu(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        made = torch.empty_like(gate)
        kernels.swiglu[_blocks(made.numel(), FLAT)](made, gate, up, made.numel(), block=FLAT)
        return made

    @staticmethod
    def backward(ctx: Any, d_made: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        d_gate, d_up, count = torch.empty_like(gate), torch.empty_like(up), gate.numel()
        kernels.swiglu_backward[_blocks(count, FLAT)](d_gate, d_up, d_made.contiguous(), gate, up, count, block=FLAT)
        return d_gate, d_up


class ForAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, cos: Tensor, sin: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        slots, length, width = query.shape
        head = cos.shape[-1]
        shape = {"heads": width // head, "repeats": width // key.shape[-1], "half": head // 2}
        made = [torch.empty_like(query) for _ in range(3)]
        blocks = {"head_block": _power(shape["heads"]), "half_block": _power(shape["half"])}
        kernels.turned[(slots * length,)](*made, query, key, value, cos, sin, **shape, **blocks)
        ctx.save_for_backward(cos, sin)
        ctx.shape, ctx.blocks = shape, {**blocks, "key_block": _power(shape["heads"] // shape["repeats"])}
        one, two, three = (x.view(slots, length, -1, head).transpose(1, 2) for x in made)
        return one, two, three

    @staticmethod
    def backward(ctx: Any, *by: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        slots, heads, length, head = by[0].shape
        by = tuple(one.transpose(1, 2).contiguous() for one in by)
        keys = heads // ctx.shape["repeats"]
        d_query, d_key, d_value = (by[0].new_empty(slots, length, count * head) for count in (heads, keys, keys))
        kernels.turned_back[(slots * length,)](d_query, d_key, d_value, *by, cos, sin, **ctx.shape, **ctx.blocks)
        return d_query, d_key, d_value, None, None


def label_loss_(logits: Tensor, aims: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """The gradient takes the place of `logits`."""
    rows, width = logits.shape
    losses = torch.empty(rows, dtype=torch.float32, device=logits.device)
    block = min(LOGITS, _power(width))
    kernels.label_loss[(rows,)](losses, logits, aims, shares, width, block=block, num_warps=8)
    return losses, logits


def times(x: Tensor, pool: Tensor, offsets: Tensor, stride: int) -> Tensor:
    made = torch.empty_like(x)
    _times(made, x, pool, offsets, stride, added=False)
    return made


def add_times_(total: Tensor, x: Tensor, pool: Tensor, offsets: Tensor, stride: int) -> None:
    _times(total, x, pool, offsets, stride, added=True)


def adamw_(
    master: Tensor, working: Tensor | None, grad: Tensor, first: Tensor, second: Tensor, clip: Tensor, numbers: Tensor
) -> None:
    slots, width = master.shape
    copied = working is not None
    kernels.adamw[(*_blocks(width, UPDATED), slots)](
        *(master, working if copied else master, grad, first, second, clip, numbers, width),
        **{"beta1": BETA1, "beta2": BETA2, "epsilon": EPSILON, "copied": copied, "block": UPDATED, "num_warps": 8},
    )


def _times(made: Tensor, x: Tensor, pool: Tensor, offsets: Tensor, stride: int, *, added: bool) -> None:
    slots, length, width = x.shape
    kernels.times[(*_blocks(width, ROW), length, slots)](
        made, x, pool, offsets, offsets.stride(0), width, stride=stride, added=added, block=ROW
    )


def _by_rows(kernel: Any, like: Tensor, *arguments: Any, **options: Any) -> None:
    """Launches a kernel with a program for each row; its width goes before the last argument."""
    width = like.shape[-1]
    block = _power(width)
    warps = min(16, max(1, block // WARP_NUMBERS))
    kernel[(like.numel() // width,)](*arguments[:-1], width, arguments[-1], block=block, num_warps=warps, **options)


def _blocks(count: int, block: int) -> tuple[int]:
    return (-(-count // block),)


def _power(count: int) -> int:
    """The next power of two."""
    return 1 << (count - 1).bit_length()
