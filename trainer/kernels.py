"""What a step does between its matrix products, as Triton kernels: each reads its inputs once and writes its outputs once.

Arithmetic is in float32 and rounded where it is stored. Places are 64-bit: a stack's rows are long. Loads and stores of
a program lie side by side. Not covered: who calls them (`elementwise_fused.py`); what they are to equal (`elementwise.py`).
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def adamw(
    master,
    working,
    grad,
    first,
    second,
    clip,
    numbers,
    width,
    beta1: tl.constexpr,
    beta2: tl.constexpr,
    epsilon: tl.constexpr,
    copied: tl.constexpr,
    block: tl.constexpr,
):
    """Grid (blocks of a row, slots). `clip` (S), `numbers` (S, 3): the decay that is left, rate, root of the correction."""
    slot = tl.program_id(1).to(tl.int64)
    column = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = column < width
    at = slot * width + column
    left = tl.load(numbers + slot * 3)
    rate = tl.load(numbers + slot * 3 + 1)
    root = tl.load(numbers + slot * 3 + 2)
    clipped = tl.load(grad + at, mask=inside, other=0).to(tl.float32) * tl.load(clip + slot)
    mean = tl.load(first + at, mask=inside, other=0) * beta1 + clipped * (1 - beta1)
    square = tl.load(second + at, mask=inside, other=0) * beta2 + clipped * clipped * (1 - beta2)
    value = tl.load(master + at, mask=inside, other=0) * left - rate * mean / (tl.sqrt(square) / root + epsilon)
    tl.store(first + at, mean, mask=inside)
    tl.store(second + at, square, mask=inside)
    tl.store(master + at, value, mask=inside)
    if copied:
        tl.store(working + at, value.to(working.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["offsets_row"])
def times(made, x, pool, offsets, offsets_row, width, stride: tl.constexpr, added: tl.constexpr, block: tl.constexpr):
    """Grid (blocks of a row, tokens, slots). made (+)= x · keep factors, which begin for each token at its offset."""
    token, slot = tl.program_id(1), tl.program_id(2).to(tl.int64)
    column = tl.program_id(0) * block + tl.arange(0, block)
    inside = column < width
    at = (slot * tl.num_programs(1) + token) * width + column
    begin = tl.load(offsets + slot * offsets_row + token) * stride
    value = tl.load(x + at, mask=inside, other=0).to(tl.float32)
    value = value * tl.load(pool + begin + column, mask=inside, other=0).to(tl.float32)
    if added:
        value += tl.load(made + at, mask=inside, other=0).to(tl.float32)
    tl.store(made + at, value.to(made.dtype.element_ty), mask=inside)


@triton.jit
def swiglu(made, gate, up, count, block: tl.constexpr):
    """Grid (blocks)."""
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = at < count
    x = tl.load(gate + at, mask=inside, other=0).to(tl.float32)
    value = x * tl.sigmoid(x) * tl.load(up + at, mask=inside, other=0).to(tl.float32)
    tl.store(made + at, value.to(made.dtype.element_ty), mask=inside)


@triton.jit
def swiglu_backward(d_gate, d_up, d_made, gate, up, count, block: tl.constexpr):
    """Grid (blocks)."""
    at = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = at < count
    x = tl.load(gate + at, mask=inside, other=0).to(tl.float32)
    share = tl.sigmoid(x)
    d = tl.load(d_made + at, mask=inside, other=0).to(tl.float32)
    by_gate = d * tl.load(up + at, mask=inside, other=0).to(tl.float32) * share * (1 + x * (1 - share))
    tl.store(d_gate + at, by_gate.to(d_gate.dtype.element_ty), mask=inside)
    tl.store(d_up + at, (d * x * share).to(d_up.dtype.element_ty), mask=inside)


@triton.jit
def add_norm(total, normed, hidden, delta, weight, width, epsilon, block: tl.constexpr):
    """Grid (rows). total = hidden + delta, normed = RMSNorm(total)."""
    column = tl.arange(0, block)
    inside = column < width
    at = tl.program_id(0).to(tl.int64) * width + column
    x = tl.load(hidden + at, mask=inside, other=0).to(tl.float32)
    x += tl.load(delta + at, mask=inside, other=0).to(tl.float32)
    rounded = x.to(total.dtype.element_ty)
    tl.store(total + at, rounded, mask=inside)
    x = rounded.to(tl.float32)
    scale = 1 / tl.sqrt(tl.sum(x * x, axis=0) / width + epsilon)
    value = x * scale * tl.load(weight + column, mask=inside, other=0).to(tl.float32)
    tl.store(normed + at, value.to(normed.dtype.element_ty), mask=inside)


@triton.jit
def add_norm_backward(d_x, d_total, d_normed, total, weight, width, epsilon, added: tl.constexpr, block: tl.constexpr):
    """Grid (rows). The gradient of hidden, which is that of delta too: through the norm, and d_total if `added`."""
    column = tl.arange(0, block)
    inside = column < width
    at = tl.program_id(0).to(tl.int64) * width + column
    x = tl.load(total + at, mask=inside, other=0).to(tl.float32)
    scale = 1 / tl.sqrt(tl.sum(x * x, axis=0) / width + epsilon)
    x = x * scale
    d = tl.load(d_normed + at, mask=inside, other=0).to(tl.float32)
    d = d * tl.load(weight + column, mask=inside, other=0).to(tl.float32)
    d = (d - x * (tl.sum(d * x, axis=0) / width)) * scale
    if added:
        d += tl.load(d_total + at, mask=inside, other=0).to(tl.float32)
    tl.store(d_x + at, d.to(d_x.dtype.element_ty), mask=inside)


@triton.jit
def turned(
    query, key, value, from_query, from_key, from_value, cos, sin,
    heads: tl.constexpr, repeats: tl.constexpr, half: tl.constexpr, head_block: tl.constexpr, half_block: tl.constexpr,
):  # fmt: skip
    """Grid (tokens). Rotary positions; keys and values once for every query head. Rows are (heads, 2 · half)."""
    token = tl.program_id(0).to(tl.int64)
    head, place = tl.arange(0, head_block)[:, None], tl.arange(0, half_block)[None, :]
    inside = (head < heads) & (place < half)
    angle = token * 2 * half + place
    cos1 = tl.load(cos + angle, mask=place < half, other=0).to(tl.float32)
    cos2 = tl.load(cos + angle + half, mask=place < half, other=0).to(tl.float32)
    sin1 = tl.load(sin + angle, mask=place < half, other=0).to(tl.float32)
    sin2 = tl.load(sin + angle + half, mask=place < half, other=0).to(tl.float32)
    to = (token * heads + head) * 2 * half + place
    shared = (token * (heads // repeats) + head // repeats) * 2 * half + place
    kind = query.dtype.element_ty

    one = tl.load(from_query + to, mask=inside, other=0).to(tl.float32)
    two = tl.load(from_query + to + half, mask=inside, other=0).to(tl.float32)
    tl.store(query + to, (one * cos1 - two * sin1).to(kind), mask=inside)
    tl.store(query + to + half, (two * cos2 + one * sin2).to(kind), mask=inside)
    one = tl.load(from_key + shared, mask=inside, other=0).to(tl.float32)
    two = tl.load(from_key + shared + half, mask=inside, other=0).to(tl.float32)
    tl.store(key + to, (one * cos1 - two * sin1).to(kind), mask=inside)
    tl.store(key + to + half, (two * cos2 + one * sin2).to(kind), mask=inside)
    tl.store(value + to, tl.load(from_value + shared, mask=inside, other=0), mask=inside)
    tl.store(value + to + half, tl.load(from_value + shared + half, mask=inside, other=0), mask=inside)


@triton.jit
def turned_back(
    d_query, d_key, d_value, by_query, by_key, by_value, cos, sin,
    heads: tl.constexpr, repeats: tl.constexpr, half: tl.constexpr,
    head_block: tl.constexpr, key_block: tl.constexpr, half_block: tl.constexpr,
):  # fmt: skip
    """Grid (tokens). `turned` backward: the gradient of a key or value is the sum over the query heads that read it."""
    token = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, half_block)[None, :]
    angle = token * 2 * half + place
    cos1 = tl.load(cos + angle, mask=place < half, other=0).to(tl.float32)
    cos2 = tl.load(cos + angle + half, mask=place < half, other=0).to(tl.float32)
    sin1 = tl.load(sin + angle, mask=place < half, other=0).to(tl.float32)
    sin2 = tl.load(sin + angle + half, mask=place < half, other=0).to(tl.float32)
    kind = d_query.dtype.element_ty

    head = tl.arange(0, head_block)[:, None]
    inside = (head < heads) & (place < half)
    at = (token * heads + head) * 2 * half + place
    one = tl.load(by_query + at, mask=inside, other=0).to(tl.float32)
    two = tl.load(by_query + at + half, mask=inside, other=0).to(tl.float32)
    tl.store(d_query + at, (one * cos1 + two * sin2).to(kind), mask=inside)
    tl.store(d_query + at + half, (two * cos2 - one * sin1).to(kind), mask=inside)

    group = tl.arange(0, key_block)[:, None]
    inside = (group < heads // repeats) & (place < half)
    at = (token * heads + group * repeats) * 2 * half + place
    one = tl.zeros((key_block, half_block), tl.float32)
    two = tl.zeros((key_block, half_block), tl.float32)
    value_one = tl.zeros((key_block, half_block), tl.float32)
    value_two = tl.zeros((key_block, half_block), tl.float32)
    for _ in range(repeats):
        one += tl.load(by_key + at, mask=inside, other=0).to(tl.float32)
        two += tl.load(by_key + at + half, mask=inside, other=0).to(tl.float32)
        value_one += tl.load(by_value + at, mask=inside, other=0).to(tl.float32)
        value_two += tl.load(by_value + at + half, mask=inside, other=0).to(tl.float32)
        at += 2 * half
    to = (token * (heads // repeats) + group) * 2 * half + place
    tl.store(d_key + to, (one * cos1 + two * sin2).to(kind), mask=inside)
    tl.store(d_key + to + half, (two * cos2 - one * sin1).to(kind), mask=inside)
    tl.store(d_value + to, value_one.to(kind), mask=inside)
    tl.store(d_value + to + half, value_two.to(kind), mask=inside)


@triton.jit
def label_loss(losses, logits, aims, shares, width, block: tl.constexpr):
    """Grid (rows). Cross entropy of each row; its gradient times the row's share takes the logits' place."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, block)
    logits += row * width
    aim = tl.load(aims + row)
    share = tl.load(shares + row)
    aimed = tl.load(logits + aim).to(tl.float32)  # before the first reduction, behind which logits are written over
    lowest = -1e30
    top = tl.full((block,), lowest, tl.float32)
    summed = tl.zeros((block,), tl.float32)
    for start in range(0, width, block):
        x = tl.load(logits + start + column, mask=start + column < width, other=lowest).to(tl.float32)
        higher = tl.maximum(top, x)
        summed = summed * tl.exp(top - higher) + tl.exp(x - higher)
        top = higher
    highest = tl.max(top, axis=0)
    total = tl.sum(summed * tl.exp(top - highest), axis=0)
    tl.store(losses + row, tl.log(total) + highest - aimed)
    for start in range(0, width, block):
        inside = start + column < width
        x = tl.load(logits + start + column, mask=inside, other=lowest).to(tl.float32)
        d = tl.exp(x - highest) / total - tl.where(start + column == aim, 1.0, 0.0)
        tl.store(logits + start + column, (d * share).to(logits.dtype.element_ty), mask=inside)
