"""What a step does between its matrix products, in plain torch; `ops` gives the Triton version of it on a card.

S slots, L tokens, W the width of a token's vector. Both versions have the same functions, and tests hold them against
each other.
"""

from __future__ import annotations

import logging
import sys
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

log = logging.getLogger(__name__)

FUSED_ON = "cuda"
LOGIT_ROWS = 512  # rows of the vocabulary's product held at a time
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # torch's and transformers' defaults
# Numbers updated at a time: what is made on the way fits a CPU's cache, or is small beside a stack.
STRETCH = {"cpu": 1 << 17, "cuda": 1 << 26}


def ops(device: str, fused: bool = True) -> ModuleType:
    """The functions to use on a device: this module, or `elementwise_fused` where that is wanted and can run."""
    if fused and device == FUSED_ON and find_spec("triton"):
        from trainer import elementwise_fused

        if _runs(elementwise_fused, device):
            return elementwise_fused
    return sys.modules[__name__]


@cache
def _runs(fused: ModuleType, device: str) -> bool:
    """Whether a kernel can be made and run: Triton needs a C compiler for it."""
    one = torch.ones(1, device=device)
    try:
        fused.swiglu(one, one)
    except Exception:
        log.exception("Triton's kernels do not run here; plain torch is used instead")
        return False
    return True


def add_norm(hidden: Tensor, delta: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """(hidden + delta, its RMSNorm with a frozen weight)."""
    total = hidden + delta
    return total, functional.rms_norm(total, (total.shape[-1],), weight, epsilon)


class Swiglu(torch.autograd.Function):
    """silu(gate) · up, keeping nothing but its two inputs."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, d_made: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        d_gate = torch.ops.aten.silu_backward(d_made * up, gate)
        return d_gate, functional.silu(gate).mul_(d_made)


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) · up."""
    made: Tensor = Swiglu.apply(gate, up)  # type: ignore[no-untyped-call]
    return made


def for_attention(query: Tensor, key: Tensor, value: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(S, L, heads × head) → (S, heads, L, head): query and key turned by the positions' angles (S, L, head), keys and
    values once for every query head.

    Attention with a mask on a card does not take fewer key heads than query heads as they are.
    """
    query, key, value = (_heads(one, cos.shape[-1]) for one in (query, key, value))
    cos, sin, repeats = cos.unsqueeze(1), sin.unsqueeze(1), query.shape[1] // key.shape[1]
    turned = key * cos + _half_turned(key) * sin
    return query * cos + _half_turned(query) * sin, _repeated(turned, repeats), _repeated(value, repeats)


def label_loss_(logits: Tensor, aims: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """(rows,) float32 cross entropy of logits (rows, vocabulary), and its gradient times the row's share."""
    log_shares = functional.log_softmax(logits.float(), dim=-1)
    losses = -log_shares.gather(1, aims[:, None]).squeeze(1)
    d_logits = log_shares.exp_().scatter_add_(1, aims[:, None], -torch.ones_like(losses)[:, None])
    return losses, d_logits.mul_(shares[:, None]).to(logits.dtype)


def times(x: Tensor, pool: Tensor, offsets: Tensor, stride: int) -> Tensor:
    """x (S, L, W) times the factors of the pool that begin for each token at offsets (S, L), in units of `stride`."""
    return x * _stretches(pool, offsets, stride, x)


def add_times_(total: Tensor, x: Tensor, pool: Tensor, offsets: Tensor, stride: int) -> None:
    """Adds `times` to `total`."""
    total.addcmul_(x, _stretches(pool, offsets, stride, x))


def adamw_(
    master: Tensor, working: Tensor | None, grad: Tensor, first: Tensor, second: Tensor, clip: Tensor, numbers: Tensor
) -> None:
    """AdamW on rows (S, W) in place, with the copy to the base's dtype if that is another.

    `clip` (S, 1); `numbers` (S, 3): what decay leaves of a weight, the rate over the first bias correction, and the
    root of the second.
    """
    left, rate, root = numbers.split(1, dim=1)
    stretch = max(1, STRETCH[master.device.type] // len(master))
    for start in range(0, master.shape[1], stretch):
        part = slice(start, start + stretch)
        weight, mean, square = master[:, part], first[:, part], second[:, part]
        clipped = grad[:, part].float() * clip
        mean.mul_(BETA1).add_(clipped, alpha=1 - BETA1)
        square.mul_(BETA2).addcmul_(clipped, clipped, value=1 - BETA2)
        weight.mul_(left).sub_(rate * mean / (square.sqrt() / root + EPSILON))
        if working is not None:
            working[:, part].copy_(weight)


def _stretches(pool: Tensor, offsets: Tensor, stride: int, like: Tensor) -> Tensor:
    width = like.shape[2]
    every = pool.as_strided(((len(pool) - width) // stride + 1, width), (stride, 1))
    return every.index_select(0, offsets.flatten()).view(like.shape)


def _half_turned(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((-second, first), dim=-1)


def _heads(x: Tensor, head: int) -> Tensor:
    made: Tensor = x.unflatten(2, (-1, head)).transpose(1, 2)
    return made


def _repeated(x: Tensor, repeats: int) -> Tensor:
    """Each key and value head once for every query head that reads it."""
    if repeats == 1:
        return x
    made: Tensor = x[:, :, None].expand(-1, -1, repeats, -1, -1).flatten(1, 2)
    return made
