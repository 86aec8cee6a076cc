"""`python -m bot` with discord.py addressed to a stand-in, and with a look into its memory on SIGUSR1.

    DISCORD_API=http://127.0.0.1:… DISCORD_GATEWAY=ws://127.0.0.1:… python -m tests.bot.bot_on_stand_ins run

On the signal it reads words from the file look-for in its folder and writes a line to the file holders for everything
that holds them: each container of Python objects, and spaCy's vocabulary. Not covered: memory that is free already.
A look that fails writes why there: the event loop would only log it.
"""

from __future__ import annotations

import gc
import os
import signal
import traceback
from pathlib import Path

import discord.gateway
import discord.http
import yarl

from bot.__main__ import app
from bot.language import pipeline


def holders(words: str) -> list[str]:
    gc.unfreeze()
    gc.collect()
    found = []
    for container in gc.get_objects():
        texts = [held for held in gc.get_referents(container) if isinstance(held, str | bytes)]
        for text in texts:
            if words in (text if isinstance(text, str) else text.decode(errors="ignore")):
                found.append(f"{type(container).__name__}: {shown(container)}")
        del texts
    return found + [f"spaCy's vocabulary: {word}" for word in words.split() if word in pipeline().vocab.strings]


def shown(container: object) -> str:
    try:
        return repr(str(container)[:200])
    except Exception as error:  # noqa: BLE001 – an object that is still being made
        return f"cannot be shown, {error!r}"


def look(_signal: int, _frame: object) -> None:
    try:
        found = holders(Path("look-for").read_text())
    except Exception:  # noqa: BLE001 – whatever it is, the test is to show it
        found = traceback.format_exc().splitlines()
    Path("holders.part").write_text("\n".join(found))
    Path("holders.part").rename("holders")


if __name__ == "__main__":
    if api := os.environ.get("DISCORD_API"):
        discord.http.Route.BASE = api
        discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(os.environ["DISCORD_GATEWAY"])
    signal.signal(signal.SIGUSR1, look)
    app()
