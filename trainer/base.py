"""The frozen base model in memory, as every engine, check and evaluation uses it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Device = Literal["auto", "cpu", "cuda"]
Quantization = Literal["none", "nf4"]


@dataclass(slots=True)
class LoadedBase:
    """`model` is a causal LM of transformers whose weights need no gradient; `ref` is what adapters name as their base."""

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


def load(
    path: Path, *, ref: str, device: Device = "auto", quantization: Quantization = "none", dtype: str = ""
) -> LoadedBase:
    """Loads a folder saved by transformers.

    `dtype` is a torch name; "" is bfloat16 on CUDA and float32 on a CPU, where bfloat16 is slower than it looks.
    `quantization="nf4"` keeps the linear layers in 4 bits (bitsandbytes, double quantisation), on either device.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

    on = pick_device(device)
    torch_dtype = getattr(torch, dtype or ("bfloat16" if on == "cuda" else "float32"))
    extra: dict[str, Any] = {}
    if quantization == "nf4":
        extra["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch_dtype,
        )
        extra["device_map"] = {"": on}
    model = AutoModelForCausalLM.from_pretrained(str(path), dtype=torch_dtype, **extra)
    if quantization == "none":
        model = model.to(on)
    elif on == "cpu":
        _keep_trainable(model)
    model.requires_grad_(False)
    model.eval()
    tokenizer = AutoTokenizer.from_pretrained(str(path))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return LoadedBase(model, tokenizer, on, ref, path)


def _keep_trainable(model: Any) -> None:
    """Stops bitsandbytes from repacking 4-bit weights for inference on first use, after which nothing can train on them."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
