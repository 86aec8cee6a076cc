"""vLLM's command line and environment from our settings.

The same module of vLLM serves on its CPU and CUDA builds (`vllm.entrypoints.openai.api_server`). Adapters are loaded on
demand by vLLM's own filesystem resolver, also after a restart.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from serving import primers
from serving.base_model import BaseModel
from serving.settings import BASE_NAME, DEFAULT_NAME, ServingSettings


def device(settings: ServingSettings) -> Literal["cpu", "cuda"]:
    """The device to serve on: the one set, else CUDA where torch was built for it and sees a card."""
    if settings.device != "auto":
        return settings.device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def command(settings: ServingSettings, base: BaseModel, primer: Path | None) -> list[str]:
    """The argument list. The API key travels in the environment, where a process list does not show it.

    `primer`: the folder of the adapter that speaks under the default name.
    """
    args = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", base.ref),
        *("--served-model-name", BASE_NAME, *(() if primer else (DEFAULT_NAME,))),
        *("--host", settings.host),
        *("--port", str(settings.port)),
        *("--dtype", "bfloat16"),
        *("--max-model-len", str(settings.max_model_tokens)),
        "--enable-lora",
        *(("--lora-modules", f"{DEFAULT_NAME}={primer.resolve()}") if primer else ()),
        *("--max-lora-rank", str(settings.max_lora_rank)),
        *("--max-loras", str(settings.max_loras)),
        *("--max-cpu-loras", str(max(settings.max_cpu_loras, settings.max_loras))),
        "--disable-uvicorn-access-log",
        *("--uvicorn-log-level", "warning"),
    ]
    if device(settings) == "cpu":
        args.append("--enforce-eager")
    else:
        args += ["--gpu-memory-utilization", str(settings.gpu_memory_share)]
    return args


def environment(settings: ServingSettings, inherited: Mapping[str, str]) -> dict[str, str]:
    """The child's environment: `inherited` plus what the flags cannot say."""
    ours = {
        "VLLM_API_KEY": settings.key(),
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_PLUGINS": "lora_filesystem_resolver",
        "VLLM_LORA_RESOLVER_CACHE_DIR": str(settings.adapters_dir.resolve()),
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",  # the base model is here by now; nothing is looked up at start
        "PYTHONSAFEPATH": "1",  # the data folder, where it runs, must not be a place to import from
    }
    if device(settings) == "cpu":
        ours["VLLM_CPU_KVCACHE_SPACE"] = str(settings.cpu_kv_cache_gib)
    return {"VLLM_LOGGING_LEVEL": "WARNING", **inherited, **ours}


def working_folder(settings: ServingSettings) -> Path:
    """Where vLLM runs: `BaseModel.ref` is relative to it."""
    return settings.data_dir.resolve()


def exec_server(settings: ServingSettings, base: BaseModel) -> None:
    """Replaces this process by vLLM, so that signals reach it directly."""
    settings.adapters_dir.mkdir(parents=True, exist_ok=True)
    env = environment(settings, os.environ)
    args = command(settings, base, primers.find(base.ref, Path(base.path)))
    os.chdir(working_folder(settings))
    os.execve(args[0], args, env)
