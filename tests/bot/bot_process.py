"""The bot as a process of its own, `python -m bot run`, on the stand-ins for Telegram, for Discord, or for both."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bot.discord_server import DiscordServer
from tests.bot.model_server import ModelServer
from tests.bot.telegram_server import TelegramServer

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0
LOOK_SECONDS = 60.0
LOOKED_FOR = 500  # times, before it is asked again


class BotProcess:
    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._folder = folder

    def memory_mb(self) -> float:
        """The most it ever held (resident, from the kernel)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024

    def running(self) -> bool:
        return self._process.returncode is None

    async def kill(self) -> None:
        """Without a chance to tidy up."""
        self._process.kill()
        await self._process.wait()

    async def holders(self, words: str) -> list[str]:
        """What in the process's memory holds the words (`bot_on_stand_ins.py`)."""
        asked, told = self._folder / "look-for", self._folder / "holders"
        told.unlink(missing_ok=True)
        asked.write_text(words)
        async with asyncio.timeout(LOOK_SECONDS):
            for at in itertools.count():
                if told.exists():
                    break
                if at % LOOKED_FOR == 0:
                    self._process.send_signal(signal.SIGUSR1)  # again where a look came to nothing
                await asyncio.sleep(0.02)
        return told.read_text().splitlines()


@asynccontextmanager
async def bot_process(
    folder: Path,
    model: ModelServer,
    *,
    telegram: TelegramServer | None = None,
    discord: DiscordServer | None = None,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[BotProcess]:
    """Started, and stopped at the end; what it wrote to its log is shown if it ended badly."""
    given = {
        "HIPPO_DATA_DIR": str(folder),
        "BOT_MESSAGES_PER_MINUTE": "1000000",
        "SERVING_PORT": model.url.rpartition(":")[2],
        "PYTHONPATH": str(ROOT),
        **(settings or {}),
    }
    if telegram:
        given |= {"BOT_TELEGRAM_TOKEN": telegram.token, "BOT_TELEGRAM_API_URL": telegram.url}
    if discord:
        given |= {
            "BOT_DISCORD_TOKEN": discord.token,
            "DISCORD_API": discord.api,
            "DISCORD_GATEWAY": discord.gateway.url,
        }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BOT_", "SERVING_"))}
    polls = len(telegram.calls_of("getUpdates")) if telegram else 0

    def connected() -> bool:
        polled = telegram is None or len(telegram.calls_of("getUpdates")) > polls
        return polled and (discord is None or discord.gateway.connected.is_set())

    log = folder / "bot.log"
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.bot.bot_on_stand_ins", "run"), cwd=folder, env=kept | given, stderr=written
        )
    bot = BotProcess(process, folder)
    try:
        ends = time.monotonic() + START_SECONDS
        while not connected() and bot.running() and time.monotonic() < ends:
            await asyncio.sleep(0.05)
        yield bot
    finally:
        if bot.running():
            process.terminate()
        if await process.wait() > 0:
            sys.stderr.write(log.read_text())
