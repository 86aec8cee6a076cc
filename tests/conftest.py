"""What many tests share: settings apart from this machine's, a store, the bundled base model, one real vLLM server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bot.memory import Memory
from bot.settings import BotSettings
from serving.base_model import BaseModel, prepare
from serving.settings import ServingSettings
from tests.vllm_server import ModelServer, fresh_data_dir, running_model_server
from trainer.settings import TrainerSettings

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def settings_of_this_machine_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads the developer's `.env` or environment."""
    for name in list(os.environ):
        if name.startswith(("BOT_", "TRAINER_", "SERVING_", "HIPPO_")):
            monkeypatch.delenv(name)
    for settings in (BotSettings, TrainerSettings, ServingSettings):
        monkeypatch.setitem(settings.model_config, "env_file", None)


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    return tmp_path / "hippo.db"


@pytest.fixture
def memory(store_path: Path) -> Iterator[Memory]:
    with closing(Memory.open(store_path)) as memory:
        yield memory


@pytest.fixture(scope="session")
def base_model() -> BaseModel:
    """The bundled base model, converted once into the checkout's data folder."""
    return prepare(ServingSettings(data_dir=ROOT / "data", _env_file=None))


@pytest.fixture
def data_dir(tmp_path: Path, base_model: BaseModel) -> Path:
    """An empty data folder with the base model in it."""
    return fresh_data_dir(tmp_path / "data", base_model)


@pytest.fixture(scope="session")
def model_server(tmp_path_factory: pytest.TempPathFactory, base_model: BaseModel) -> Iterator[ModelServer]:
    """A real vLLM with the bundled base model, started once for all tests (25 to 60 s on 2 cores)."""
    data_dir = fresh_data_dir(tmp_path_factory.mktemp("served") / "data", base_model)
    with running_model_server(data_dir) as server:
        yield server


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory, base_model: BaseModel) -> Path:
    """A base model of two thin layers with random weights and the bundled tokenizer: trains in seconds."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny") / "base"
    tokenizer = AutoTokenizer.from_pretrained(base_model.path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
