"""The frozen base model in memory, as every engine, check and evaluation uses it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from serving.errors import BaseModelMissing
from serving.primers import BUNDLED_REF, END_OF_TURN

Device = Literal["auto", "cpu", "cuda"]
Quantization = Literal["none", "nf4"]


@dataclass(slots=True)
class LoadedBase:
    """`model` is a causal LM of transformers without gradients; `ref` is what adapters name as their base."""

    model: Any
    tokenizer: Any
    device: str  # cpu | cuda
    ref: str
    path: Path


def pick_device(device: Device) -> str:
    """The device asked for; `auto` is CUDA where torch sees a card."""
    import torch

    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def fast_dtype(device: Device) -> str:
    """The torch name of the dtype in which the base trains fastest: bfloat16 on a card and on CPUs with AVX512-BF16 (1.6 times as
    fast as float32), float32 on other CPUs (bfloat16 takes 30 times as long there). What is trained is kept in float32 either way."""
    import torch

    native = pick_device(device) == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)
    return "bfloat16" if native else "float32"


def load(
    path: Path, *, ref: str, device: Device = "auto", quantization: Quantization = "none", dtype: str = ""
) -> LoadedBase:
    """Loads a folder saved by transformers.

    `dtype` is a torch name; "" is bfloat16 on CUDA and float32 on a CPU, where bfloat16 is slower than it looks.
    `quantization="nf4"` keeps the linear layers in 4 bits (bitsandbytes, double quantisation), on either device.

    Raises:
        BaseModelMissing: it is a bundled base whose tokenizer ends turns otherwise than its chat template, so that replies would run on.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(path))
    if ref == BUNDLED_REF and tokenizer.eos_token != END_OF_TURN:
        raise BaseModelMissing(
            f"The base model in {path} ends turns with {tokenizer.eos_token}, not {END_OF_TURN}: it was converted wrongly. "
            "Delete that folder and run `python -m serving prepare`."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    on = pick_device(device)
    if on == "cuda":
        few_fragments()
    torch_dtype = getattr(torch, dtype or ("bfloat16" if on == "cuda" else "float32"))
    extra = nf4_arguments(on, torch_dtype) if quantization == "nf4" else {}
    model = AutoModelForCausalLM.from_pretrained(str(path), dtype=torch_dtype, **extra)
    if quantization == "none":
        model = model.to(on)
    freeze(model)
    return LoadedBase(model, tokenizer, on, ref, path)


def nf4_arguments(device: str, compute_dtype: Any) -> dict[str, Any]:
    """What `from_pretrained` needs for the paper's 4-bit weights: NF4, double quantisation."""
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
    )
    return {"quantization_config": config, "device_map": {"": device}}


def few_fragments() -> None:
    """Before torch first takes memory of the card: packs differ in length, and this keeps gaps between them usable."""
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")


def freeze(model: Any) -> None:
    """Makes a model ready to be a base: no gradients, no dropout of its own, 4-bit weights trainable on a CPU too."""
    model.requires_grad_(False)
    model.eval()
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):  # else the first reply repacks them for inference alone
            module.support_avx512bf16_for_cpu = False


def release_memory() -> None:
    """Gives back a card's memory that nothing uses any more, for other processes to take."""
    import gc

    import torch

    gc.collect()
    torch.cuda.empty_cache()
