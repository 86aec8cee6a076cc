"""What the tests of the bot share: a stand-in model server, and a running core over a fresh store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bot.model_server import ModelServer
from tests.bot.talk import Talk, talking


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def talk(tmp_path: Path, model: ModelServer) -> AsyncIterator[Talk]:
    async with talking(tmp_path, model) as running:
        yield running
