"""Hyperparameters as data: every number a training run depends on, by name.

`paper` is Appendix A of "Personal AI for Under $3" as written. `default` was chosen by measurement
(docs/experiments.md). An engine reads a recipe and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

ALL_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to train an adapter. Counts are per user; `batch_size` × `gradient_accumulation` examples make a step."""

    name: str
    rank: int = 64
    alpha: int = 128
    dropout: float = 0.05
    target_modules: tuple[str, ...] = ALL_PROJECTIONS
    layers: tuple[int, ...] | None = None  # which decoder layers carry an adapter; None is all
    learning_rate: float = 3e-4
    schedule: str = "cosine"  # cosine | linear | constant, after the warm-up
    warmup_ratio: float = 0.03
    epochs: int = 5
    batch_size: int = 2
    gradient_accumulation: int = 4
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    optimizer: str = "paged_adamw_8bit"  # as transformers names them
    gradient_checkpointing: bool = True
    max_seq_tokens: int = 512


PAPER = Recipe(name="paper")
DEFAULT = replace(
    PAPER,
    name="default",
    dropout=0.0,
    epochs=3,
    optimizer="adamw_torch",
    gradient_checkpointing=False,
    batch_size=8,
    gradient_accumulation=1,
)
RECIPES = {recipe.name: recipe for recipe in (PAPER, DEFAULT)}
