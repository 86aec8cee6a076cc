"""Small real models of the families that train, with the bundled model's tokenizer, and users to train on them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, Qwen2Config

from serving.base_model import prepare
from serving.prompts import system_prompt
from serving.settings import ServingSettings
from trainer.base import LoadedBase
from trainer.dataset import Example
from trainer.engine import UserExamples
from trainer.recipes import RECIPES, Recipe

ROOT = Path(__file__).resolve().parents[2]
SMALL = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 49152,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "tie_word_embeddings": True,
}
MakeUsers = Callable[..., list[UserExamples]]


@pytest.fixture(scope="session")
def bundled_folder() -> Path:
    return Path(prepare(ServingSettings(data_dir=ROOT / "data", _env_file=None)).path)  # type: ignore[call-arg]


@pytest.fixture(scope="session")
def tokenizer(bundled_folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(str(bundled_folder))


@pytest.fixture(params=["llama", "qwen2"])
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """A small model is computed fastest, and beside other programs far faster, by one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small_base(family: str, tokenizer: Any, tmp_path: Path, one_thread: None) -> LoadedBase:
    """A random model of each family, saved where its adapters say their base is."""
    return random_base(family, tokenizer, tmp_path / "base")


@pytest.fixture
def llama_base(tokenizer: Any, tmp_path: Path, one_thread: None) -> LoadedBase:
    return random_base("llama", tokenizer, tmp_path / "base")


def random_base(family: str, tokenizer: Any, folder: Path) -> LoadedBase:
    config = LlamaConfig(**SMALL) if family == "llama" else Qwen2Config(**SMALL)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for value in model.parameters():  # as far from their start as trained ones are, biases and norms too
        value.data.add_(torch.randn_like(value) * 0.05)
    model.requires_grad_(False)
    model.eval()
    model.save_pretrained(str(folder))
    return LoadedBase(model, tokenizer, "cpu", str(folder), folder)


@pytest.fixture
def recipe() -> Recipe:
    """The default recipe, small and without dropout, with steps of three examples, some in two halves."""
    return replace(
        RECIPES["default"],
        rank=4,
        alpha=8,
        dropout=0.0,
        layers=None,
        epochs=2,
        batch_size=3,
        gradient_accumulation=1,
        learning_rate=2e-3,
        warmup_ratio=0.1,
        max_grad_norm=1.0,
        weight_decay=0.01,
    )


@pytest.fixture
def make_users(tmp_path: Path) -> MakeUsers:
    """Users with as many examples as given, each with an own folder under `run`."""

    def make(*sizes: int, run: str = "run", first: int = 0) -> list[UserExamples]:
        return [
            UserExamples(f"user{number}", examples(size, number), 100 + number, tmp_path / run / f"user{number}")
            for number, size in enumerate(sizes, start=first)
        ]

    return make


def examples(count: int, seed: int) -> list[Example]:
    """Questions of several lengths under one system turn, every fourth with a pending fact in it."""
    rng = random.Random(seed)
    made = []
    for index in range(count):
        thing, name = rng.choice(["dog", "cat", "sister", "violin teacher"]), rng.choice(["Bo", "Maximilian", "Lu"])
        question = rng.choice(["What's my {}'s name?", "{}?", "whats my {} called again, do you know?"]).format(thing)
        pending = [f"Your boat is the {name} II."] if index % 4 == 3 else []
        made.append(Example(system_prompt("Hippo", pending), question, f"Your {thing} is {name}.", "recall"))
    return made
