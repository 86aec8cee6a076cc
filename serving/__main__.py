"""`python -m serving`: the base model made ready, then vLLM in this very process. `prepare` does the first half only."""

from __future__ import annotations

import errno
import socket
from typing import Annotated

import typer
from rich.console import Console

from serving import launch
from serving.base_model import BaseModel, prepare
from serving.errors import ServingError
from serving.settings import ServingSettings

app = typer.Typer(add_completion=False, help="Serves the base model and everybody's adapters with vLLM.")
console = Console(stderr=True)


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
    console.print(f"Serving {settings.base_model} on {settings.url} ({launch.device(settings)}).")
    launch.exec_server(settings, base)


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
