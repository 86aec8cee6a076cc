"""What the two engines (`stacked`, `qlora`) share: their input, their output, and how an example becomes tokens.

An engine is a callable `train(base, users, recipe, on_progress) -> list[Trained]`. It writes one PEFT adapter folder a
user and touches neither the store nor the network. One user's failure is that user's `Trained.error`, never an
exception for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.dataset import Example

IGNORED_LABEL = -100  # what torch's cross entropy skips


@dataclass(frozen=True, slots=True)
class UserExamples:
    """One user's share of a training run. `folder` receives the adapter; `seed` fixes initial weights and order."""

    user_id: str
    examples: Sequence[Example]
    seed: int
    folder: Path


@dataclass(frozen=True, slots=True)
class Progress:
    """After an optimizer step of one user. `loss` is the mean over the step's supervised tokens."""

    user_id: str
    step: int
    steps: int
    loss: float


@dataclass(slots=True)
class Trained:
    """What became of one user. `seconds` is the user's share of the wall time, by tokens trained."""

    user_id: str
    folder: Path
    seconds: float = 0.0
    tokens: int = 0  # tokens through the model over all epochs
    losses: list[float] = field(default_factory=list)  # one a step
    error: str = ""


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Encoded:
    """`input_ids` and `labels` have one length; `prefix_tokens` of them (the system turn) are shared between examples."""

    input_ids: list[int]
    labels: list[int]
    prefix_tokens: int


def encode(tokenizer: Any, example: Example, max_tokens: int) -> Encoded:
    """Tokens of one example, labels on the completion and its end-of-turn token only.

    The text is what serving's chat template makes of it, so training and chat see the same tokens.

    Raises:
        ValueError: the prompt alone is longer than `max_tokens`.
    """
    system = [{"role": "system", "content": example.system}]
    prompt = [*system, {"role": "user", "content": example.user}]
    prefix_ids = _ids(tokenizer, tokenizer.apply_chat_template(system, tokenize=False))
    prompt_text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    prompt_ids = _ids(tokenizer, prompt_text)
    if len(prompt_ids) >= max_tokens:
        raise ValueError(f"a prompt of {len(prompt_ids)} tokens does not fit {max_tokens}")
    shared = 0
    while shared < min(len(prefix_ids), len(prompt_ids)) and prefix_ids[shared] == prompt_ids[shared]:
        shared += 1
    completion_ids = [*_ids(tokenizer, example.completion), tokenizer.eos_token_id]
    ids = (prompt_ids + completion_ids)[:max_tokens]
    labels = ([IGNORED_LABEL] * len(prompt_ids) + completion_ids)[:max_tokens]
    return Encoded(ids, labels, shared)


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
