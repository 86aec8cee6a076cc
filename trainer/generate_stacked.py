"""Greedy replies of many adapters in one batch: each slot of a stack answers its own user's questions.

The base's generation runs once over all of them; hooks add each slot's LoRA to the outputs of the base's linear layers.
Not covered: one adapter alone (`generate.py`, which adds it to the weights).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from serving import primers
from trainer.base import LoadedBase
from trainer.decoding import Conversation, continued, prompt
from trainer.generate import Raw, recollected, settled
from trainer.lora_stack import Group, LoraStack, Projection

BATCH_SIZE = {"cpu": 16, "cuda": 1024}


def generate_stacked(
    base: LoadedBase, stack: LoraStack, asked: Sequence[Sequence[Conversation]], max_new_tokens: int, ask_base: bool = True
) -> list[list[str]]:
    """Replies to `asked[s]` by slot s, in order. `ask_base` as in `generate`."""
    reader = primers.find(base.ref, base.path)
    raw = _raw(base, stack, asked, max_new_tokens, to_note=reader is not None)
    said = iter(settled(base, list(chain(*asked)), list(chain(*raw)), max_new_tokens, reader, ask_base))
    return [[next(said) for _ in own] for own in asked]


def _raw(
    base: LoadedBase, stack: LoraStack, asked: Sequence[Sequence[Conversation]], max_new_tokens: int, *, to_note: bool
) -> list[list[Raw]]:
    texts = [sorted((prompt(base, one), at) for at, one in enumerate(own)) for own in asked]
    for own in texts:
        own.sort(key=lambda one: len(one[0]))  # so that little is padding
    replies = [[Raw("")] * len(own) for own in asked]
    most = max(map(len, texts))
    each = max(1, BATCH_SIZE[base.device] // len(asked))
    with _with_stack(stack):
        for start in range(0, most, each):
            parts = [own[start : start + each] for own in texts]
            width = max(map(len, parts))
            rows = [part[at][0] if at < len(part) else base.tokenizer.eos_token for part in parts for at in range(width)]
            if to_note:
                made = recollected(base, base.model, rows, max_new_tokens, in_rows=True)
            else:
                made = [Raw(one) for one in continued(base, base.model, rows, max_new_tokens)]
            for slot, part in enumerate(parts):
                for at, (_, place) in enumerate(part):
                    replies[slot][place] = made[slot * width + at]
    return replies


@contextmanager
def _with_stack(stack: LoraStack) -> Iterator[None]:
    """The base's linear layers with the stack's LoRA: a batch's rows are the slots', in turn equally many of each."""
    hooks = [
        one.linear.register_forward_hook(_hook(stack, group, one))
        for layer in stack.layers
        for group in (layer.qkv, layer.o, layer.gate_up, layer.down)
        for one in group.adapted
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _hook(stack: LoraStack, group: Group, one: Projection) -> Any:
    assert one.column is not None
    a, b = group.a[:, :, one.column : one.column + group.rank], one.b

    def add(_: Any, inputs: tuple[Any, ...], out: Any) -> Any:
        inner = inputs[0].reshape(stack.slots, -1, a.shape[1]) @ a
        return out + (inner @ b * group.scale).view_as(out)

    return add
