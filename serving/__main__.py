"""`python -m serving`: the base model made ready, then vLLM in this very process.

`prepare` does the first half only; `wait` returns once the server answers.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
from typing import Annotated

import httpx
import typer
from rich.console import Console

from serving import launch
from serving.base_model import BaseModel, prepare
from serving.errors import ServingError
from serving.settings import ServingSettings

START_SECONDS = 600.0  # a large model from a slow disk

app = typer.Typer(add_completion=False, help="Serves the base model and everybody's adapters with vLLM.")
console = Console(stderr=True, soft_wrap=True)


@app.callback(invoke_without_command=True)
def serve(context: typer.Context) -> None:
    """Starts the model server (CPU or CUDA, by what is there)."""
    if context.invoked_subcommand:
        return
    settings = ServingSettings()
    base = _prepared(settings)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is taken: is another Hippo running? Else set SERVING_PORT" if taken else f"cannot be used ({error})"
            console.print(f"Port {settings.port} on {settings.host} {why}.")
            raise typer.Exit(1) from error
    console.print(f"Starting vLLM with {settings.base_model} on {settings.url} ({launch.device(settings)}) …")
    subprocess.Popen([sys.executable, "-m", "serving", "wait", "--pid", str(os.getpid())])  # says when it is up
    launch.exec_server(settings, base)


@app.command()
def wait(
    pid: Annotated[int, typer.Option(help="give up when this process is gone")] = 0,
    timeout_seconds: Annotated[float, typer.Option(help="give up after so long")] = START_SECONDS,
) -> None:
    """Returns once the model server answers; fails when it does not in time."""
    settings = ServingSettings()
    started = time.monotonic()
    while time.monotonic() - started < timeout_seconds and (not pid or os.getppid() == pid):
        try:
            if httpx.get(f"{settings.url}/health", timeout=2.0).status_code == httpx.codes.OK:
                console.print(f"Model server is up on {settings.url} after {time.monotonic() - started:.0f} s.")
                return
        except httpx.HTTPError:
            pass  # not yet
        time.sleep(0.5)
    if not pid or os.getppid() == pid:
        console.print(f"The model server does not answer on {settings.url}. Start it with: python -m serving")
    raise typer.Exit(1)


@app.command("prepare")
def prepare_command(
    quiet: Annotated[bool, typer.Option(help="say nothing when it is there already")] = False,
) -> None:
    """Makes the base model ready: converts the bundled one or downloads one from the hub."""
    settings = ServingSettings()
    base = _prepared(settings)
    if not quiet:
        console.print(f"Base model ready: {base.path}")


def _prepared(settings: ServingSettings) -> BaseModel:
    try:
        with console.status(f"Preparing the base model ({settings.base_model}) …"):
            return prepare(settings)
    except ServingError as error:
        console.print(str(error), style="red", markup=False)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
