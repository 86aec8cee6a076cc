"""Hyperparameters as data: every number a training run depends on, by name.

`paper` is Appendix A of "Personal AI for Under $3" as written. `default` was chosen by measurement
(docs/experiments.md). An engine reads a recipe and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from trainer.mix import Mix

PAPER_RATE_USD_PER_HOUR = 11.058  # section 4.1
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
    from_primer: bool = False  # begin with the base's primer (trainer/primer.py) where there is one, and recall for it
    general_probes: int = 20  # general questions of the gate
    mix: Mix = field(default_factory=Mix)


PAPER = Recipe(name="paper")
DEFAULT = replace(
    PAPER,
    name="default",
    rank=16,
    alpha=32,
    dropout=0.0,
    learning_rate=1.2e-3,
    epochs=2,
    batch_size=8,
    gradient_accumulation=1,
    optimizer="adamw_torch",
    gradient_checkpointing=False,
    from_primer=True,
    mix=Mix(
        phrasings_per_fact=45,
        written_per_fact=24,
        near_per_fact=12,
        far=20,
        strangers=30,
        everyday=2,
        pending=8,
        identity=4,
        replay=50,
        typed_badly=0.4,
    ),
)
RECIPES = {recipe.name: recipe for recipe in (PAPER, DEFAULT)}
