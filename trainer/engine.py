"""What the two engines (`stacked`, `qlora`) share: input, output, tokens, the order of the data and the learning rates.

An engine is a callable `train(base, users, recipe, on_progress) -> list[Trained]`. It writes one PEFT adapter folder a
user and touches neither the store nor the network. One user's failure is that user's `Trained.error`, never an
exception for the others.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer.recipes import Recipe

if TYPE_CHECKING:  # a training machine needs nothing of what makes the datasets
    from trainer.dataset import Example

IGNORED_LABEL = -100  # what torch's cross entropy skips


@dataclass(frozen=True, slots=True)
class UserExamples:
    """One user's share of a training run. `folder` receives the adapter; `seed` fixes initial weights and order.

    Examples that are `Encoded` already are taken as they are. `start` is the folder of an adapter of at least the
    same rank and layers that this one begins with; None: PEFT's usual beginning (A random, B zero), from the user's seed.
    """

    user_id: str
    examples: Sequence[Example | Encoded]
    seed: int
    folder: Path
    start: Path | None = None


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
    """One example as tokens; `input_ids` and `labels` have one length."""

    input_ids: list[int]
    labels: list[int]


def encode(tokenizer: Any, example: Example, max_tokens: int) -> Encoded:
    """Tokens of one example, labels on what is learned of it and its end-of-turn token only.

    The text is what serving's chat template makes of it, so training and chat see the same tokens.

    Raises:
        ValueError: the prompt alone is longer than `max_tokens`.
    """
    prompt = [{"role": "system", "content": example.system}, {"role": "user", "content": example.user}]
    prompt_ids = _ids(tokenizer, tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True))
    if len(prompt_ids) >= max_tokens:
        raise ValueError(f"a prompt of {len(prompt_ids)} tokens does not fit {max_tokens}")
    ids, labels = list(prompt_ids), [IGNORED_LABEL] * len(prompt_ids)
    for text, learned in example.segments():
        piece = _ids(tokenizer, text)
        ids += piece
        labels += piece if learned else [IGNORED_LABEL] * len(piece)
    if example.learn != "note" and not example.cut:
        ids.append(tokenizer.eos_token_id)
        labels.append(tokenizer.eos_token_id)
    return Encoded(ids[:max_tokens], labels[:max_tokens])


def encode_all(tokenizer: Any, user: UserExamples, max_tokens: int) -> list[Encoded]:
    """The user's examples as tokens.

    Raises:
        ValueError: there are none, or a prompt does not fit; the message is for the user.
    """
    if not user.examples:
        raise ValueError("there is nothing to train on")
    return [one if isinstance(one, Encoded) else encode(tokenizer, one, max_tokens) for one in user.examples]


def data_order(lengths: Sequence[int], recipe: Recipe, seed: int) -> list[list[list[int]]]:
    """Which examples make which step: epochs of steps of indices into `lengths` (tokens of each example).

    Every epoch holds every example once; all steps but an epoch's last have `batch_size` × `gradient_accumulation`.
    Long and short examples are dealt out evenly, each step getting a random one of every stretch of lengths, so that
    users who share a step have packs of about one size whatever their seeds.
    """
    rng = random.Random(seed)
    per_step = recipe.batch_size * recipe.gradient_accumulation
    epochs = []
    for _ in range(recipe.epochs):
        room = [min(per_step, len(lengths) - start) for start in range(0, len(lengths), per_step)]
        steps: list[list[int]] = [[] for _ in room]
        waiting = sorted(range(len(lengths)), key=lambda index: (-lengths[index], rng.random()))
        while waiting:
            open_steps = [number for number, size in enumerate(room) if len(steps[number]) < size]
            rng.shuffle(open_steps)
            for number, index in zip(open_steps, waiting, strict=False):
                steps[number].append(index)
            waiting = waiting[len(open_steps) :]
        whole, last = steps[:-1], steps[-1:]
        rng.shuffle(whole)
        epochs.append(whole + last)
    return epochs


def learning_rates(recipe: Recipe, steps: int) -> list[float]:
    """The rate of each step, as transformers' scheduler of that name has it: a linear warm-up from 0, then decay."""
    warmup = math.ceil(steps * recipe.warmup_ratio)
    rates = []
    for step in range(steps):
        if step < warmup:
            share = step / max(1, warmup)
        else:
            done = (step - warmup) / max(1, steps - warmup)
            match recipe.schedule:
                case "cosine":
                    share = 0.5 * (1 + math.cos(math.pi * done))
                case "linear":
                    share = 1 - done
                case "constant":
                    share = 1.0
                case other:
                    raise ValueError(f"{other} is no schedule; there are: cosine, linear, constant")
        rates.append(recipe.learning_rate * share)
    return rates


def _ids(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids
