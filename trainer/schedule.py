"""APScheduler around the nightly run: at the hour set, and once at start for a night that was missed."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger

from bot.memory import Memory
from trainer.nightly import hold_if_due
from trainer.settings import TrainerSettings


def start(settings: TrainerSettings) -> BackgroundScheduler:
    """Starts the scheduler's thread; the caller shuts it down."""

    def hold() -> None:
        with closing(Memory.open(settings.store_path)) as memory:
            hold_if_due(memory, datetime.now(UTC), settings.nightly_at, settings.timezone)

    at = settings.nightly_at
    scheduler = BackgroundScheduler(timezone=settings.timezone)
    trigger = CronTrigger(hour=at.hour, minute=at.minute, second=at.second, timezone=settings.timezone)
    scheduler.add_job(hold, trigger, id="nightly", coalesce=True, misfire_grace_time=None)
    scheduler.add_job(hold, id="catch-up")
    scheduler.start()
    return scheduler
