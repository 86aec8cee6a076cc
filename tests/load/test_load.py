"""The load test in small, so that its own code and the bot's way with many people stay in order.

Not covered: the figures in docs/load.md, for which `python -m tests.load` needs an idle machine.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.load.measure import COMMAND_P99_MS, MEMORY_MB, Chatting, Report, Times, measure, over

MACHINE_IS_BUSY = 4.0  # how much slower than alone the tests may run


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["discord", "telegram"])
async def test_nobody_is_dropped_or_mixed_up_and_commands_are_quick(tmp_path: Path, platform: str) -> None:
    report = await measure(platform, tmp_path, people=400, facts_each=30, commands=150, chatting=200)
    assert report.facts == 12_000
    assert report.chatting.messages == 600
    assert over(replace(report, commands=replace(report.commands, p99=0.0))) == []
    assert report.commands.count + report.chat_message.count == 150
    assert report.commands.p50 <= MACHINE_IS_BUSY * COMMAND_P99_MS / 2
    assert report.memory_mb > 50


def test_what_is_over_its_limit_is_named() -> None:
    good = Chatting(people=1, messages=3, seconds=1.0, dropped=0, doubled=0, out_of_order=0, mixed_up=0)
    times = Times(count=1, p50=1.0, p99=COMMAND_P99_MS, most=99.0)
    report = Report("here", "discord", 1, 30, times, {}, times, good, MEMORY_MB)
    assert over(report) == []
    bad = replace(
        report,
        commands=replace(times, p99=25.1),
        memory_mb=500.1,
        chatting=replace(good, dropped=1, doubled=2, out_of_order=3, mixed_up=4),
    )
    assert len(over(bad)) == 6
