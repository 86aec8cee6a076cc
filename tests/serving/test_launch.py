"""vLLM's command line and environment, and how `python -m serving` refuses to start."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from serving import launch
from serving.base_model import BUNDLED_REF, BaseModel
from serving.settings import BASE_NAME, BUNDLED, DEFAULT_NAME, ServingSettings
from tests.vllm_server import ROOT, environment

BASE = BaseModel("/somewhere/data/base/bundled", BUNDLED_REF)


def flags(settings: ServingSettings) -> dict[str, str]:
    args = launch.command(settings, BASE, None)[3:]
    return {
        arg: args[index + 1] if index + 1 < len(args) and not args[index + 1].startswith("--") else ""
        for index, arg in enumerate(args)
        if arg.startswith("--")
    }


def test_base_is_named_as_adapters_name_it_and_runs_from_the_data_folder(tmp_path: Path) -> None:
    settings = ServingSettings(data_dir=tmp_path, device="cpu")
    assert flags(settings)["--model"] == "base/bundled"
    assert launch.working_folder(settings) == tmp_path.resolve()
    assert flags(settings)["--served-model-name"] == BASE_NAME


def test_chat_without_an_adapter_meets_the_primer_or_else_the_bare_base(tmp_path: Path) -> None:
    settings = ServingSettings(data_dir=tmp_path, device="cpu")
    with_primer, without = launch.command(settings, BASE, tmp_path), launch.command(settings, BASE, None)
    assert f"{DEFAULT_NAME}={tmp_path}" in with_primer
    assert DEFAULT_NAME not in with_primer
    names = without[without.index("--served-model-name") + 1 :][:2]
    assert names == [BASE_NAME, DEFAULT_NAME]
    assert "--lora-modules" not in without


def test_server_listens_on_loopback_and_takes_adapters_of_the_rank_set(tmp_path: Path) -> None:
    settings = ServingSettings(data_dir=tmp_path, device="cpu", max_lora_rank=32, max_loras=3, max_cpu_loras=2)
    said = flags(settings)
    assert said["--host"] == "127.0.0.1"
    assert "--enable-lora" in said
    assert said["--max-lora-rank"] == "32"
    assert said["--max-loras"] == "3"
    assert said["--max-cpu-loras"] == "3"  # never fewer than fit in a batch: vLLM would refuse to start


def test_key_is_in_the_environment_and_never_on_the_command_line(tmp_path: Path) -> None:
    settings = ServingSettings(data_dir=tmp_path, device="cpu")
    key = settings.key()
    assert len(key) > 30
    assert not [arg for arg in launch.command(settings, BASE, None) if key in arg]
    assert launch.environment(settings, {})["VLLM_API_KEY"] == key


def test_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    first, again = (ServingSettings(data_dir=tmp_path).key() for _ in range(2))
    assert first == again
    assert stat.S_IMODE((tmp_path / "serving.key").stat().st_mode) == 0o600
    assert ServingSettings(data_dir=tmp_path, api_key="mine").key() == "mine"
    assert ServingSettings(data_dir=tmp_path, api_key="").key() == first


def test_adapters_are_resolved_by_name_from_the_adapters_folder(tmp_path: Path) -> None:
    env = launch.environment(ServingSettings(data_dir=tmp_path, device="cpu"), {})
    assert env["VLLM_PLUGINS"] == "lora_filesystem_resolver"
    assert env["VLLM_LORA_RESOLVER_CACHE_DIR"] == str((tmp_path / "adapters").resolve())
    assert env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "True"


def test_nothing_is_sent_to_anyone_and_nothing_is_imported_from_the_data_folder(tmp_path: Path) -> None:
    env = launch.environment(ServingSettings(data_dir=tmp_path, device="cpu"), {"PATH": "/bin", "HF_HUB_OFFLINE": "0"})
    assert env["HF_HUB_OFFLINE"] == "1"
    assert env["VLLM_NO_USAGE_STATS"] == "1"
    assert env["DO_NOT_TRACK"] == "1"
    assert env["PYTHONSAFEPATH"] == "1"
    assert env["PATH"] == "/bin"


def test_cpu_and_gpu_get_what_they_need(tmp_path: Path) -> None:
    on_cpu = ServingSettings(data_dir=tmp_path, device="cpu", cpu_kv_cache_gib=2)
    on_gpu = ServingSettings(data_dir=tmp_path, device="cuda", gpu_memory_share=0.5)
    assert "--enforce-eager" in flags(on_cpu)
    assert launch.environment(on_cpu, {})["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert flags(on_gpu)["--gpu-memory-utilization"] == "0.5"
    assert "--enforce-eager" not in flags(on_gpu)
    assert "VLLM_CPU_KVCACHE_SPACE" not in launch.environment(on_gpu, {})


@pytest.mark.slow
def test_port_in_use_is_a_sentence_that_names_the_setting(data_dir: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "serving"],
            cwd=ROOT,
            env=environment(HIPPO_DATA_DIR=data_dir, SERVING_PORT=port, SERVING_DEVICE="cpu"),
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.returncode == 1
    assert f"Port {port}" in ended.stderr
    assert "SERVING_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_waiting_for_a_server_that_is_not_there_ends_with_how_to_start_it(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "serving", "wait", "--timeout-seconds", "0.2"],
        cwd=ROOT,
        env=environment(HIPPO_DATA_DIR=tmp_path, SERVING_PORT=1),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "python -m serving" in ended.stderr


def test_bundled_is_the_default() -> None:
    assert ServingSettings().base_model == BUNDLED
