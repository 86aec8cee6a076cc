"""`python -m trainer`: the worker, and the nightly run at the hour set. `once` does what is due now and ends.

Stops cleanly on SIGTERM and SIGINT: the batch in hand is handed back, and taken up at the next start. The other
commands (`ELSEWHERE`) are imported when they are asked for.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING, Any

import typer
from filelock import FileLock, Timeout
from pydantic import ValidationError
from rich.console import Console
from typer._click import Command, Context
from typer.core import TyperGroup

from bot.memory import Memory
from serving.base_model import prepare
from serving.errors import ServingError
from serving.settings import ServingSettings
from trainer import schedule
from trainer.nightly import hold_if_due
from trainer.recipes import RECIPES
from trainer.settings import TrainerSettings

if TYPE_CHECKING:
    from trainer.worker import Worker

ELSEWHERE = {  # command → the module whose `command` it is
    "average": "averaging",
    "bench": "bench",
    "demo": "demo",
    "evaluate": "evaluate",
    "many": "many",
    "phrasings": "phrasings_report",
    "prime": "prime",
    "vary": "vary",
}

console = Console(stderr=True, soft_wrap=True)
log = logging.getLogger("trainer")


class LazyGroup(TyperGroup):
    """Adds the commands that live in modules of their own, without importing them before they are used."""

    def list_commands(self, ctx: Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *ELSEWHERE])

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        single = typer.Typer(add_completion=False)
        single.command(cmd_name)(importlib.import_module(f"trainer.{ELSEWHERE[cmd_name]}").command)
        return typer.main.get_command(single)

    def invoke(self, ctx: Context) -> Any:
        try:
            return super().invoke(ctx)
        except ServingError as error:
            raise _exit(str(error)) from error


app = typer.Typer(add_completion=False, cls=LazyGroup, help="Learns users' facts into their adapters.")


@app.callback(invoke_without_command=True)
def run(context: typer.Context) -> None:
    """Works on training jobs as they come, and queues everybody's at the nightly hour."""
    if context.invoked_subcommand:
        return
    stop = _stop_on_signals()
    with _at_work(stop) as (worker, settings):
        scheduler = schedule.start(settings)
        console.print(f"Trainer at work; nightly run at {settings.nightly_at:%H:%M} {settings.timezone}.")
        try:
            worker.run()
        finally:
            scheduler.shutdown(wait=True)
    console.print("Trainer stopped.")


@app.command()
def once() -> None:
    """Holds the nightly run if it is due, does the jobs that are waiting, and ends."""
    stop = _stop_on_signals()
    with _at_work(stop) as (worker, settings), closing(Memory.open(settings.store_path)) as memory:
        hold_if_due(memory, datetime.now(UTC), settings.nightly_at, settings.timezone)
        jobs = 0
        while not stop.is_set() and (done := worker.work_once()):
            jobs += done
        worker.tidy_up()
        console.print(f"{jobs} jobs done.")


@contextmanager
def _at_work(stop: threading.Event) -> Iterator[tuple[Worker, TrainerSettings]]:
    """The one worker of a data folder, with what a killed one left cleared away."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings, serving = TrainerSettings(), ServingSettings()
    except ValidationError as error:
        raise _exit(f"A setting cannot be used: {error}") from error
    rank = RECIPES[settings.recipe].rank
    if rank > serving.max_lora_rank:
        raise _exit(
            f"TRAINER_RECIPE={settings.recipe} makes adapters of rank {rank}, and the model server takes up to "
            f"{serving.max_lora_rank}: set SERVING_MAX_LORA_RANK={rank} for both."
        )
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(str(settings.data_dir / "trainer.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise _exit(f"A trainer is at work in {settings.data_dir.resolve()} already; one is enough.") from error
    try:
        with console.status(f"Preparing the base model ({serving.base_model}) …"):
            model = prepare(serving)
        os.environ["HF_HUB_OFFLINE"] = "1"  # the base model is here; nobody's adapter is looked up on the hub
        from trainer.worker import Worker  # torch and transformers: seconds that the checks above need not wait for

        with closing(Memory.open(settings.store_path)) as memory:
            worker = Worker(memory, settings, serving, model, stop)
            worker.recover()
            yield worker, settings
    finally:
        lock.release()


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    return stop


def _exit(message: str) -> typer.Exit:
    console.print(message, style="red", markup=False)
    return typer.Exit(1)


if __name__ == "__main__":
    app()
