"""Holds every kernel against plain torch, and a training on kernels against one without. Ends with 1 where one differs.

    python -m tests.trainer.kernel_checks                      on a card
    TRITON_INTERPRET=1 python -m tests.trainer.kernel_checks   in Triton's interpreter, on a CPU

Sizes are odd and differ from each other, so that a wrong bound or stride shows. Needs torch, triton and the engine alone.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from trainer import elementwise, elementwise_fused, stacked
from trainer.bench_shapes import SHAPES, random_base, random_users
from trainer.recipes import PAPER
from trainer.slot_dropout import SlotDropout
from trainer.stacked import Options

log = logging.getLogger(__name__)
DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
SLOTS, LENGTH = 3, 7
DTYPES = (torch.float32, torch.bfloat16)


def near(made: Tensor, plain: Tensor, least: float = 1e-6) -> None:
    """Equal to float32's rounding, or to a few of bfloat16's where plain torch rounds more often on the way."""
    rounding = 2e-5 if made.dtype == torch.float32 else 2**-6
    assert made.dtype == plain.dtype
    torch.testing.assert_close(
        made, plain, rtol=rounding, atol=max(least, rounding * float(plain.detach().abs().mean()))
    )


def drawn(dtype: torch.dtype, *shape: int) -> Tensor:
    return torch.randn(*shape, device=DEVICE).to(dtype)


def grown(function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], seed: int = 1) -> list[Tensor]:
    """What the function makes, and its inputs' gradients for random gradients of what it makes."""
    leaves = [one.detach().clone().requires_grad_() for one in inputs]
    made = function(*leaves)
    torch.manual_seed(seed)
    torch.autograd.backward(made, [drawn(one.dtype, *one.shape) for one in made])
    grads = [one.grad for one in leaves]
    return [*made, *(one for one in grads if one is not None)]


def same(
    function: str, inputs: Sequence[Tensor], *more: Tensor | float, pick: Callable[..., Sequence[Tensor]] = tuple
) -> None:
    plain, fused = (
        grown(lambda *leaves, module=module: pick(_tuple(getattr(module, function)(*leaves, *more))), inputs)
        for module in (elementwise, elementwise_fused)
    )
    assert len(fused) == len(plain) > len(inputs), "every input has a gradient"
    for one, other in zip(fused, plain, strict=True):
        near(one, other)


def _tuple(made: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return made if isinstance(made, tuple) else (made,)


def check_adamw(dtype: torch.dtype) -> None:
    width = 2 * elementwise_fused.UPDATED + 37
    start = [torch.randn(SLOTS, width, device=DEVICE) for _ in range(2)]
    start += [torch.rand(SLOTS, width, device=DEVICE), drawn(dtype, SLOTS, width)]
    clip = torch.tensor([[1.0], [0.3], [0.01]], device=DEVICE)
    numbers = torch.tensor([[0.99, 1e-3, 0.1], [1.0, 0.5, 0.9], [0.5, 0.0, 1.0]], device=DEVICE)
    after = []
    for module in (elementwise, elementwise_fused):
        master, first, second, grad = (one.clone() for one in start)
        working = None if dtype == torch.float32 else torch.zeros_like(grad)
        module.adamw_(master, working, grad, first, second, clip, numbers)
        after.append((master, first, second, *(() if working is None else (working,))))
    for plain, fused in zip(*after, strict=True):
        near(fused, plain)
    assert not torch.equal(after[1][0][0], start[0][0])
    assert torch.equal(after[1][0][2], start[0][2] * 0.5), "a rate of 0 leaves the decay alone"


def check_dropout(dtype: torch.dtype) -> None:
    width = elementwise_fused.ROW + 33
    dropout = SlotDropout(0.2, width, 3, torch.device(DEVICE), dtype)
    dropout.begin(dropout.draw([1, 2, 3], LENGTH + 2))  # a step may be shorter than its draws
    dropout.offsets(LENGTH)
    pool, offsets = dropout._pool, dropout.offsets(LENGTH)
    x, total = drawn(dtype, SLOTS, LENGTH, width), drawn(dtype, SLOTS, LENGTH, width)
    plain = elementwise.times(x, pool, offsets, 8)
    near(elementwise_fused.times(x, pool, offsets, 8), plain)
    assert 0.1 < float((plain == 0).float().mean()) < 0.3
    sums = total.clone(), total.clone()
    elementwise.add_times_(sums[0], x, pool, offsets, 8)
    elementwise_fused.add_times_(sums[1], x, pool, offsets, 8)
    near(sums[1], sums[0])


def check_swiglu(dtype: torch.dtype) -> None:
    same("swiglu", [drawn(dtype, SLOTS, LENGTH, 133) for _ in range(2)])


def check_add_norm(dtype: torch.dtype) -> None:
    inputs = [drawn(dtype, SLOTS, LENGTH, 133) for _ in range(2)]
    weight = drawn(dtype, 133)
    same("add_norm", inputs, weight, 1e-6)
    same("add_norm", inputs, weight, 1e-6, pick=lambda made: made[1:])
    same("add_norm", inputs, weight, 1e-6, pick=lambda made: made[:1])


def check_for_attention(dtype: torch.dtype) -> None:
    for heads, keys, head in ((6, 2, 12), (3, 3, 16), (5, 1, 8)):
        inputs = [drawn(dtype, SLOTS, LENGTH, count * head) for count in (heads, keys, keys)]
        angles = torch.rand(SLOTS, LENGTH, head, device=DEVICE) * 6
        same("for_attention", inputs, angles.cos().to(dtype), angles.sin().to(dtype))


def check_label_loss(dtype: torch.dtype) -> None:
    for width in (50, elementwise_fused.LOGITS + 77):
        logits = drawn(dtype, 5, width) * 3
        aims = torch.randint(width, (5,), device=DEVICE)
        aims[0], aims[1] = 0, width - 1
        shares = torch.tensor([0.5, 0.0, 1.0, 0.1, 0.2], device=DEVICE)
        losses, d_logits = elementwise.label_loss_(logits.clone(), aims, shares)
        fused_losses, d_fused = elementwise_fused.label_loss_(logits.clone(), aims, shares)
        near(fused_losses, losses)
        near(d_fused, d_logits, least=1e-8)
        assert not d_fused[1].any()


def check_training(dtype: torch.dtype) -> None:
    """Two users, two steps with dropout, then the losses; kernels run wherever the engine has them."""
    base = random_base("tiny", DEVICE, str(dtype).removeprefix("torch."), "none")
    recipe = replace(PAPER, rank=4, dropout=0.1, epochs=1, batch_size=2, gradient_accumulation=1, warmup_ratio=0.0)
    calls = []
    kept, elementwise.FUSED_ON = elementwise.FUSED_ON, DEVICE
    adamw = elementwise_fused.adamw_
    elementwise_fused.adamw_ = lambda *tensors: calls.append(1) or adamw(*tensors)
    results = []
    try:
        for fused in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                users = random_users(2, SHAPES["tiny"]["vocab_size"], Path(folder))
                users = [replace(user, examples=user.examples[:4]) for user in users]
                results.append(stacked.train(base, users, recipe, lambda _: None, Options(2, fused=fused)))
    finally:
        elementwise.FUSED_ON, elementwise_fused.adamw_ = kept, adamw
    assert len(calls) == 2
    for plain, fused in zip(*results, strict=True):
        torch.testing.assert_close(
            torch.tensor(fused.losses),
            torch.tensor(plain.losses),
            rtol=1e-5 if dtype == torch.float32 else 2e-2,
            atol=0,
        )


CHECKS = [value for name, value in globals().items() if name.startswith("check_")]


def main() -> None:
    wanted = sys.argv[1:]
    failed = []
    for check in CHECKS:
        name = check.__name__.removeprefix("check_")
        if wanted and name not in wanted:
            continue
        for dtype in DTYPES:
            torch.manual_seed(0)
            try:
                check(dtype)
            except Exception:
                failed.append(name)
                log.exception("%s %s", name, dtype)
            else:
                print(f"{name} {dtype}: as plain torch", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
