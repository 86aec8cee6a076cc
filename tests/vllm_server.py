"""Starts `python -m serving` for tests, on a free port and in a data folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from serving.base_model import BaseModel
from serving.client import ServingClient
from serving.settings import ServingSettings

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class ModelServer:
    settings: ServingSettings
    process: subprocess.Popen[bytes]
    log: Path

    def client(self, answer_timeout_seconds: float = 60.0) -> ServingClient:
        return ServingClient(self.settings.url, self.settings.key(), answer_timeout_seconds)

    def kill(self) -> None:
        """SIGKILL to the server and what it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def fresh_data_dir(data_dir: Path, base_model: BaseModel) -> Path:
    """A data folder with nothing in it but the base model, which is shared."""
    data_dir.mkdir(parents=True)
    (data_dir / "base").symlink_to(Path(base_model.path).parent)
    return data_dir


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**settings: object) -> dict[str, str]:
    """This process's environment with Hippo's settings replaced."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BOT_", "TRAINER_", "SERVING_", "HIPPO_"))
    }
    return {**kept, "PYTHONPATH": str(ROOT), **{name: str(value) for name, value in settings.items()}}


@contextmanager
def running_model_server(data_dir: Path, port: int = 0) -> Iterator[ModelServer]:
    port = port or free_port()
    settings = ServingSettings(data_dir=data_dir, port=port, _env_file=None)
    log = data_dir / "serving.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "serving"],
            cwd=ROOT,
            env=environment(HIPPO_DATA_DIR=data_dir, SERVING_PORT=port),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = ModelServer(settings, process, log)
    try:
        _wait_until_up(server)
        yield server
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_until_up(server: ModelServer) -> None:
    started = time.monotonic()
    while time.monotonic() - started < START_SECONDS:
        if server.process.poll() is not None:
            break
        try:
            if httpx.get(f"{server.settings.url}/health", timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass  # not yet
        time.sleep(0.5)
    raise AssertionError(f"the model server did not start:\n{server.log.read_text(errors='replace')[-3000:]}")
