"""The bot as a process of its own, `python -m bot run`, on the stand-in for Telegram."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.bot.model_server import ModelServer
from tests.bot.telegram_server import TelegramServer

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60.0


class BotProcess:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

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


@asynccontextmanager
async def bot_process(folder: Path, server: TelegramServer, model: ModelServer) -> AsyncIterator[BotProcess]:
    """Started, and stopped at the end; what it wrote to its log is shown if it ended badly."""
    settings = {
        "HIPPO_DATA_DIR": str(folder),
        "BOT_TELEGRAM_TOKEN": server.token,
        "BOT_TELEGRAM_API_URL": server.url,
        "BOT_MESSAGES_PER_MINUTE": "1000000",
        "SERVING_PORT": model.url.rpartition(":")[2],
        "PYTHONPATH": str(ROOT),
    }
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BOT_", "SERVING_"))}
    log = folder / "bot.log"
    with log.open("wb") as written:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "run"), cwd=folder, env=kept | settings, stderr=written
        )
    asked = len(server.calls_of("getUpdates"))
    bot = BotProcess(process)
    try:
        await server.until(lambda: len(server.calls_of("getUpdates")) > asked or not bot.running(), START_SECONDS)
        yield bot
    finally:
        if bot.running():
            process.terminate()
        if await process.wait() > 0:
            sys.stderr.write(log.read_text())
