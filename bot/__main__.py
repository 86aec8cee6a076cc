"""`python -m bot`: `run` starts every platform whose token is set, `chat` talks in this terminal."""

from __future__ import annotations

import asyncio
import gc
import importlib
import logging
import signal

import typer
from pydantic import ValidationError
from rich.console import Console

from bot import terminal
from bot.assembly import assembled
from bot.errors import BotError
from bot.settings import BotSettings
from serving.settings import ServingSettings

# setting of the token → module with `async def run(settings, conversation, stop)`, which raises a BotError where the
# platform refuses to start
PLATFORMS = {"discord_token": "bot.discord_app", "telegram_token": "bot.telegram_app"}
NO_TOKEN = (
    "No platform to start: put BOT_DISCORD_TOKEN or BOT_TELEGRAM_TOKEN (or both) into .env; .env.example says where "
    "they come from. To talk in this terminal without either: python -m bot chat"
)

app = typer.Typer(add_completion=False, no_args_is_help=True, help="A personal AI in your chat.")
console = Console(stderr=True, soft_wrap=True)


@app.command()
def run() -> None:
    """Serves Discord and Telegram, each if its token is set, until it is stopped."""
    settings, serving = _settings()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for every request otherwise
    modules = [module for token, module in PLATFORMS.items() if _given(settings, token)]
    if not modules:
        raise _exit(NO_TOKEN)
    try:
        asyncio.run(_serve(settings, serving, modules))
    except* BotError as errors:
        raise _exit("\n".join(str(error) for error in errors.exceptions)) from None


@app.command()
def chat() -> None:
    """Talks with you in this terminal, with all commands; /help lists them, /quit ends."""
    settings, serving = _settings()
    logging.basicConfig(level=logging.ERROR, format="%(name)s: %(message)s")
    asyncio.run(terminal.chat(settings, serving))


async def _serve(settings: BotSettings, serving: ServingSettings, modules: list[str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    apps = [importlib.import_module(module) for module in modules]
    async with assembled(settings, serving) as parts, asyncio.TaskGroup() as platforms:
        gc.collect()
        gc.freeze()  # what is loaded by now stays; collections would stop everybody for 0.1 s to look through it
        for app in apps:
            platforms.create_task(app.run(settings, parts.conversation, stop), name=app.__name__)


def _settings() -> tuple[BotSettings, ServingSettings]:
    try:
        return BotSettings(), ServingSettings()
    except ValidationError as error:
        raise _exit(f"A setting cannot be used: {error}") from error


def _given(settings: BotSettings, token: str) -> bool:
    secret = getattr(settings, token)
    return secret is not None and bool(secret.get_secret_value().strip())


def _exit(message: str) -> typer.Exit:
    console.print(message, style="red", markup=False)
    return typer.Exit(1)


if __name__ == "__main__":
    app()
