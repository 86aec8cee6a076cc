"""LoRA adapters of many users over one frozen base: slot s of every tensor is one user's.

All numbers of a slot lie in one row: `master` (slots, P) in float32, which the optimizer changes; `working`, the same
in the base's dtype, which the model computes with; `grad`, which the backward pass fills. Each projection sees its A
(slots, in, r) and B (slots, r, out) as views of those rows. Projections that read the same input (query, key and value;
gate and up) have their A side by side, so that one product serves them all. The base itself is not touched.

PEFT's format is read and written, so that PEFT and vLLM load what leaves here. Not covered: the forward and backward
pass (`stacked_model.py`), the optimizer (`slot_adamw.py`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.fitting import fitted
from trainer.recipes import Recipe

FAMILIES = ("llama", "qwen2")
SAME_INPUT = (
    ("self_attn", ("q_proj", "k_proj", "v_proj")),
    ("self_attn", ("o_proj",)),
    ("mlp", ("gate_proj", "up_proj")),
    ("mlp", ("down_proj",)),
)
ALIGNED = 64  # numbers; every view starts where vector loads may
PINNED_BYTES = 1 << 32  # of main memory, kept for snapshots of slots on a card


@dataclass(slots=True)
class Projection:
    """One frozen linear layer. `column` is where its r columns of the group's A begin; None: it carries no adapter."""

    name: str  # as in the model, model.layers.0.self_attn.q_proj
    linear: Any
    column: int | None = None
    b: Any = None  # (slots, r, out)
    grad_b: Any = None


@dataclass(slots=True)
class Group:
    """The projections that read one input, with their A side by side (None where none carries an adapter)."""

    projections: list[Projection]
    a: Any = None  # (slots, in, r × adapted projections)
    grad_a: Any = None
    scale: float = 1.0
    rank: int = 0

    @property
    def adapted(self) -> list[Projection]:
        return [one for one in self.projections if one.column is not None]


@dataclass(slots=True)
class LayerGroups:
    """A decoder layer's groups in the order in which they run."""

    qkv: Group
    o: Group
    gate_up: Group
    down: Group


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One slot's numbers in main memory, in the base's dtype: of each projection A (r, in), then B (out, r)."""

    row: Any
    copied: Any = None  # the card's event after which they are there; None: they are


@dataclass(slots=True)
class LoraStack:
    """Adapters of `slots` users over `model`, a causal LM of transformers (`FAMILIES`)."""

    model: Any
    recipe: Recipe
    slots: int
    layers: list[LayerGroups] = field(init=False)
    master: Any = field(init=False)  # (slots, P) float32
    working: Any = field(init=False)  # (slots, P) in the base's dtype; the same tensor as `master` if that is float32
    grad: Any = field(init=False)  # (slots, P) in the base's dtype
    _pinned: deque[Any] = field(init=False, default_factory=deque)  # rows for snapshots that no snapshot uses

    def __post_init__(self) -> None:
        import torch

        self.layers = self._groups()
        size = 0
        for group in self._adapted_groups():
            size += sum(_aligned(count) for count in _sizes(group))
        if not size:
            raise ValueError(f"recipe {self.recipe.name} puts an adapter on none of the model's layers")
        device, dtype = self.model.device, self.model.get_input_embeddings().weight.dtype
        self.master = torch.zeros(self.slots, size, dtype=torch.float32, device=device)
        self.working = self.master if dtype == torch.float32 else self.master.to(dtype)
        self.grad = torch.zeros_like(self.working)
        start = 0
        for group in self._adapted_groups():
            shapes = _shapes(group)
            (group.a, group.grad_a), start = self._views(start, shapes[0])
            for one, shape in zip(group.adapted, shapes[1:], strict=True):
                (one.b, one.grad_b), start = self._views(start, shape)

    @property
    def parameters_per_slot(self) -> int:
        return sum(sum(_sizes(group)) for group in self._adapted_groups())

    @property
    def first_layer(self) -> int:
        """The lowest decoder layer that carries an adapter: nothing below it ever needs a gradient."""
        return next(index for index, layer in enumerate(self.layers) if any(group.adapted for group in _of(layer)))

    def init_slot(self, slot: int, seed: int) -> None:
        """PEFT's beginning, A uniform within ±1/sqrt(in) and B zero, from the user's own seed."""
        import torch

        generator = torch.Generator(self.master.device).manual_seed(seed)
        self.master[slot].zero_()
        for _, a, _ in self.factors(slot):
            bound = 1 / math.sqrt(a.shape[0])
            drawn = torch.empty(a.shape[1], a.shape[0], device=a.device).uniform_(-bound, bound, generator=generator)
            a.copy_(drawn.T)
        self.refresh(slot)

    def load_slot(self, slot: int, folder: Path) -> None:
        """Reads an adapter in PEFT's format; one that has more than the recipe is brought to its shape.

        Raises:
            ValueError: it does not fit.
        """
        held = fitted(folder, self.recipe)
        self.master[slot].zero_()
        for name, value in _by_peft_name(self.factors(slot)):
            read = held.get(name)
            if read is None or read.T.shape != value.shape:
                raise ValueError(f"the adapter in {folder.name} does not fit the recipe at {name}")
            value.copy_(read.T)
        self.refresh(slot)

    def save_slot(self, slot: int, folder: Path, ref: str) -> None:
        """Writes the slot in PEFT's format, in the base's dtype. `ref` is what the adapter names as its base."""
        self.write(self.snapshot(slot), folder, ref)

    def snapshot(self, slot: int) -> Snapshot:
        """The slot's numbers out of the stack and off the card. From a card it does not wait for the copy."""
        import torch

        row = self.working.new_empty(self.parameters_per_slot)
        for (_, value), piece in zip(
            _by_peft_name(self._factors_of(self.working[slot])), self._pieces(row), strict=True
        ):
            piece.copy_(value.T)
        if row.device.type == "cpu":
            return Snapshot(row)
        held = self._pinned.popleft() if self._pinned else torch.empty_like(row, device="cpu", pin_memory=True)
        held.copy_(row, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record()
        return Snapshot(held, copied)

    def pin(self) -> None:
        """Makes main memory ready for snapshots, which takes a while and may be done in a thread."""
        import torch

        row = self.working[0, : self.parameters_per_slot]
        if row.device.type == "cuda":
            for _ in range(min(self.slots, PINNED_BYTES // row.nbytes)):
                self._pinned.append(torch.empty_like(row, device="cpu", pin_memory=True))

    def write(self, snapshot: Snapshot, folder: Path, ref: str) -> None:
        """`save_slot` of a snapshot taken before; needs not the slot, so it may run in a thread."""
        from peft import LoraConfig
        from safetensors.torch import save_file

        if snapshot.copied is not None:
            snapshot.copied.synchronize()
        names = (name for name, _ in _by_peft_name(self.factors(0)))
        tensors = dict(zip(names, self._pieces(snapshot.row), strict=True))
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})
        config = peft_config(self.recipe, LoraConfig)
        config.base_model_name_or_path = ref
        config.inference_mode = True
        config.save_pretrained(str(folder))
        if snapshot.copied is not None:
            self._pinned.append(snapshot.row)

    def move_slot(self, source: int, target: int) -> None:
        """Copies a slot's numbers over another's."""
        self.master[target].copy_(self.master[source])
        self.refresh(target)

    def factors(self, slot: int) -> Iterator[tuple[str, Any, Any]]:
        """Name, A (in, r) and B (r, out) of every adapted projection: views of the slot's float32 row."""
        return self._factors_of(self.master[slot])

    def _factors_of(self, row: Any) -> Iterator[tuple[str, Any, Any]]:
        start = 0
        for group in self._adapted_groups():
            shapes = _shapes(group)
            a = row[start : start + math.prod(shapes[0])].view(shapes[0])
            start += _aligned(math.prod(shapes[0]))
            for one, shape in zip(group.adapted, shapes[1:], strict=True):
                assert one.column is not None
                b = row[start : start + math.prod(shape)].view(shape)
                start += _aligned(math.prod(shape))
                yield one.name, a[:, one.column : one.column + group.rank], b

    def _pieces(self, row: Any) -> Iterator[Any]:
        """A snapshot's row as what PEFT stores, in the order of `factors`: (r, in) and (out, r) of each projection."""
        start = 0
        for _, value in _by_peft_name(self.factors(0)):
            yield row[start : start + value.numel()].view(value.T.shape)
            start += value.numel()

    def refresh(self, slot: int) -> None:
        """Brings what the model computes with up to `master`, after a change of that."""
        if self.working is not self.master:
            self.working[slot].copy_(self.master[slot])

    def _views(self, start: int, shape: tuple[int, int]) -> tuple[tuple[Any, Any], int]:
        size = math.prod(shape)
        views = tuple(held[:, start : start + size].unflatten(1, shape) for held in (self.working, self.grad))
        return (views[0], views[1]), start + _aligned(size)

    def _adapted_groups(self) -> Iterator[Group]:
        for layer in self.layers:
            yield from (group for group in _of(layer) if group.adapted)

    def _groups(self) -> list[LayerGroups]:
        config, recipe = self.model.config, self.recipe
        if config.model_type not in FAMILIES:
            raise ValueError(f"the base model is of the family {config.model_type}; trained are {', '.join(FAMILIES)}")
        known = {name for _, names in SAME_INPUT for name in names}
        if unknown := set(recipe.target_modules) - known:
            raise ValueError(f"recipe {recipe.name} names {min(unknown)}; there are: {', '.join(sorted(known))}")
        layers = []
        for index, decoder_layer in enumerate(self.model.model.layers):
            adapted = recipe.layers is None or index in recipe.layers
            groups = []
            for part, names in SAME_INPUT:
                group = Group([], scale=recipe.alpha / recipe.rank, rank=recipe.rank)
                for name in names:
                    linear = getattr(getattr(decoder_layer, part), name)
                    one = Projection(f"model.layers.{index}.{part}.{name}", linear)
                    if adapted and name in recipe.target_modules:
                        one.column = recipe.rank * len(group.adapted)
                    group.projections.append(one)
                groups.append(group)
            layers.append(LayerGroups(*groups))
        return layers


def peft_config(recipe: Recipe, lora_config: Any) -> Any:
    """The recipe's adapter as PEFT's `LoraConfig` (given, so that PEFT is imported where it is used)."""
    return lora_config(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=list(recipe.target_modules),
        layers_to_transform=list(recipe.layers) if recipe.layers is not None else None,
        bias="none",
        task_type="CAUSAL_LM",
    )


def _of(layer: LayerGroups) -> tuple[Group, Group, Group, Group]:
    return layer.qkv, layer.o, layer.gate_up, layer.down


def _shapes(group: Group) -> list[tuple[int, int]]:
    """Of the group's A (in, r × adapted), then of each adapted projection's B (r, out)."""
    adapted = group.adapted
    into = adapted[0].linear.in_features
    return [(into, group.rank * len(adapted)), *((group.rank, one.linear.out_features) for one in adapted)]


def _sizes(group: Group) -> list[int]:
    return [math.prod(shape) for shape in _shapes(group)]


def _aligned(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


def _by_peft_name(factors: Iterator[tuple[str, Any, Any]]) -> Iterator[tuple[str, Any]]:
    """Each factor under the name that it has in PEFT's file, which holds it transposed."""
    for name, a, b in factors:
        yield f"base_model.model.{name}.lora_A.weight", a
        yield f"base_model.model.{name}.lora_B.weight", b
