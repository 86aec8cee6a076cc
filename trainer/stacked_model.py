"""The forward and backward pass of a stack: the frozen base once over all slots' tokens, each slot's LoRA on top.

The decoder of the Llama and Qwen2 families is written out over the base's own weights, because what makes a stack fast
sits between its layers: one autograd node for the projections that read one input (nothing is kept for them but the
input and the r-wide products; LoRA is added into the base's output in place; LoRA's gradients go straight into the
stack's rows), no gradient of the input where nothing below is trained, the last layer and the vocabulary only at tokens
that have labels. S slots, L tokens, H hidden.

Not covered: what lies between the products (`elementwise.py`); where dropout's factors come from (`slot_dropout.py`);
sliding-window attention (examples are shorter than any window).
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from trainer.elementwise import ops
from trainer.lora_stack import Group, LayerGroups, LoraStack
from trainer.packing import Batch
from trainer.slot_dropout import SlotDropout


@dataclass(slots=True)
class Attention:
    """What every layer's attention needs of a batch."""

    mask: Tensor  # (S, 1, L, L) 0 where the token in the row sees the token in the column, else -inf
    cos: Tensor  # (S, L, head)
    sin: Tensor


class StackedModel:
    """Runs batches through `stack.model` with the stack's adapters."""

    def __init__(self, stack: LoraStack, dropout: SlotDropout | None = None, fused: bool = True) -> None:
        self._stack = stack
        self._dropout = dropout
        self._decoder = stack.model.model
        self._first = stack.first_layer
        self._head = stack.model.lm_head
        self._anchor = torch.zeros((), device=stack.master.device, requires_grad=True)  # so that autograd comes by
        self._ops = ops(stack.master.device.type, fused)
        act = stack.model.config.hidden_act
        if act != "silu":
            raise ValueError(f"the base model's activation is {act}; trained is silu")

    def losses(self, batch: Batch) -> Tensor:
        """(S,) each slot's mean loss over its labels."""
        attention = self._attention(batch)
        hidden = self._lower(batch, attention)
        last = len(self._stack.layers) - 1
        delta = None
        for index in range(self._first, last + 1):
            hidden, delta = self._layer(index, hidden, delta, attention, batch.rows if index == last else None)
        _, normed = self._norm(self._decoder.norm, hidden, delta)  # (S, R, H)
        return _LabelLoss.apply(normed, self._head.weight, batch.targets, self._ops)  # type: ignore[no-any-return, no-untyped-call]

    @torch.no_grad()
    def _lower(self, batch: Batch, attention: Attention) -> Tensor:
        """(S, L, H) what goes into the first adapted layer, without a gradient; the same whatever the adapters are."""
        hidden: Tensor = self._decoder.embed_tokens(batch.input_ids)
        delta = None
        for index in range(self._first):
            hidden, delta = self._layer(index, hidden, delta, attention, None)
        return hidden if delta is None else hidden + delta

    @torch.no_grad()
    def _attention(self, batch: Batch) -> Attention:
        like = self._decoder.embed_tokens.weight[:1]
        cos, sin = self._decoder.rotary_emb(like, batch.positions)
        seen = batch.mask()
        mask = torch.zeros(seen.shape, dtype=like.dtype, device=like.device).masked_fill_(~seen, float("-inf"))
        return Attention(mask, cos.contiguous(), sin.contiguous())

    def _layer(
        self, index: int, hidden: Tensor, delta: Tensor | None, attention: Attention, rows: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """One decoder layer. What comes in and goes out is a pair whose sum is meant: the next norm makes the sum.

        `rows` (S, R): only these tokens' outputs are wanted.
        """
        layer, groups = self._decoder.layers[index], self._stack.layers[index]
        hidden, normed = self._norm(layer.input_layernorm, hidden, delta)
        query, key, value = self._ops.for_attention(*self._project(groups, "qkv", normed), attention.cos, attention.sin)
        mask = attention.mask
        if rows is not None:
            query, mask, hidden = _at(query, rows, 2), _at(mask, rows, 2), _at(hidden, rows, 1)
        mixed = _attend(query, key, value, mask, layer.self_attn.scaling)
        (attended,) = self._project(groups, "o", mixed.transpose(1, 2).flatten(2))
        hidden, normed = self._norm(layer.post_attention_layernorm, hidden, attended)
        (out,) = self._project(groups, "down", self._ops.swiglu(*self._project(groups, "gate_up", normed)))
        return hidden, out

    def _project(self, groups: LayerGroups, name: str, x: Tensor) -> tuple[Tensor, ...]:
        group: Group = getattr(groups, name)
        dropout = self._dropout if group.adapted else None
        offsets = dropout.offsets(x.shape[1]) if dropout else None
        made: tuple[Tensor, ...] = _Projections.apply(x, self._anchor, group, dropout, offsets)  # type: ignore[no-untyped-call]
        return made

    def _norm(self, norm: Any, hidden: Tensor, delta: Tensor | None) -> tuple[Tensor, Tensor]:
        """(the sum, its norm)."""
        if delta is None:
            return hidden, functional.rms_norm(hidden, (hidden.shape[-1],), norm.weight, norm.variance_epsilon)
        made: tuple[Tensor, Tensor] = self._ops.add_norm(hidden, delta, norm.weight, norm.variance_epsilon)
        return made


class _Projections(torch.autograd.Function):
    """x (S, L, in) → one (S, L, out) for each projection of the group: base(x) + scale · (dropout(x) A) B."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, _anchor: Tensor, group: Group, dropout: SlotDropout | None, offsets: Tensor | None
    ) -> tuple[Tensor, ...]:
        outs = tuple(
            functional.linear(x, frozen_weight(one.linear, x.dtype), one.linear.bias) for one in group.projections
        )
        ctx.group, ctx.dropout = group, dropout
        if not group.adapted:
            return outs
        slots = x.shape[0]
        if dropout is not None and offsets is not None:
            x = dropout.times(x, offsets)
        inner = torch.bmm(x, group.a[:slots])  # (S, L, r × adapted)
        for one, out in zip(group.projections, outs, strict=True):
            if one.column is not None:
                out.baddbmm_(_columns(inner, one.column, group.rank), one.b[:slots], alpha=group.scale)
        ctx.save_for_backward(x, inner, offsets)
        return outs

    @staticmethod
    def backward(ctx: Any, *d_outs: Tensor) -> tuple[Tensor | None, None, None, None, None]:
        group: Group = ctx.group
        d_outs = tuple(d_out.contiguous() for d_out in d_outs)
        d_x = None
        if ctx.needs_input_grad[0]:
            d_x = _d_input(group, d_outs)
        if not group.adapted:
            return d_x, None, None, None, None
        x, inner, offsets = ctx.saved_tensors
        slots = x.shape[0]
        d_inner = torch.empty_like(inner)
        for one, d_out in zip(group.projections, d_outs, strict=True):
            if one.column is None:
                continue
            columns = _columns(d_inner, one.column, group.rank)
            columns.baddbmm_(d_out, one.b[:slots].transpose(1, 2), beta=0, alpha=group.scale)
            into = _columns(inner, one.column, group.rank).transpose(1, 2)
            one.grad_b[:slots].baddbmm_(into, d_out, beta=0, alpha=group.scale)
        group.grad_a[:slots].baddbmm_(x.transpose(1, 2), d_inner, beta=0)
        if d_x is not None:
            if offsets is None:
                d_x.baddbmm_(d_inner, group.a[:slots].transpose(1, 2))
            else:
                through = torch.bmm(d_inner, group.a[:slots].transpose(1, 2))
                ctx.dropout.add_times_(d_x, through, offsets)
        return d_x, None, None, None, None


def _d_input(group: Group, d_outs: tuple[Tensor, ...]) -> Tensor:
    """(S, L, in) the gradient of the input through the frozen weights: the sum over the group's projections."""
    slots, length = d_outs[0].shape[:2]
    total: Tensor | None = None
    for one, d_out in zip(group.projections, d_outs, strict=True):
        weight = frozen_weight(one.linear, d_out.dtype)
        flat = d_out.view(slots * length, -1)
        total = flat @ weight if total is None else total.addmm_(flat, weight)
    assert total is not None
    return total.view(slots, length, -1)


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
    """(S, heads, queries, head). torch's own kernel takes 2.5 times as long in bfloat16 on a CPU, at packs of 200 tokens."""
    if query.dtype == torch.bfloat16 and query.device.type == "cpu":
        scores = torch.add(mask, query @ key.transpose(-1, -2), alpha=scale)
        return torch.softmax(scores, -1) @ value
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)


class _LabelLoss(torch.autograd.Function):
    """hidden (S, R, H), targets (S, R) → (S,) mean cross entropy over each slot's labels.

    The gradient is made along with the loss, some rows at a time, so that logits are never held for all of them.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, ops: ModuleType) -> Tensor:
        labelled = targets >= 0
        counts = labelled.sum(1).clamp(min=1)
        share = (labelled / counts[:, None]).flatten()  # what a row's loss weighs in its slot's mean
        rows, aims = hidden.flatten(0, 1), targets.clamp(min=0).flatten()
        losses = torch.empty(len(rows), dtype=torch.float32, device=hidden.device)
        d_hidden = torch.empty_like(rows) if hidden.requires_grad else None
        for start in range(0, len(rows), ops.LOGIT_ROWS):
            part = slice(start, start + ops.LOGIT_ROWS)
            losses[part], d_logits = ops.label_loss_(functional.linear(rows[part], weight), aims[part], share[part])
            if d_hidden is not None:
                torch.mm(d_logits, weight, out=d_hidden[part])
        ctx.save_for_backward(d_hidden)
        return (losses * share).view_as(targets).sum(1)

    @staticmethod
    def backward(ctx: Any, d_losses: Tensor) -> tuple[Tensor, None, None, None]:
        (d_hidden,) = ctx.saved_tensors
        d_rows = d_hidden.view(len(d_losses), -1, d_hidden.shape[-1]) * d_losses[:, None, None].to(d_hidden.dtype)
        return d_rows, None, None, None


def frozen_weight(linear: Any, dtype: torch.dtype) -> Tensor:
    """(out, in) the layer's weight, brought back from 4 bits where it is kept so."""
    weight = linear.weight
    state = getattr(weight, "quant_state", None)
    if state is None:
        plain: Tensor = weight
        return plain
    from bitsandbytes.functional import dequantize_4bit

    made: Tensor = dequantize_4bit(weight.data, state).to(dtype)
    return made


def _at(x: Tensor, rows: Tensor, dim: int) -> Tensor:
    """Picks (S, R) places along `dim` of x (S, …)."""
    shape = list(x.shape)
    shape[dim] = rows.shape[1]
    index = rows.view(rows.shape[0], *[1] * (dim - 1), rows.shape[1], *[1] * (x.dim() - dim - 1)).expand(shape)
    return x.gather(dim, index)


def _columns(x: Tensor, start: int, count: int) -> Tensor:
    made: Tensor = x[:, :, start : start + count]
    return made
