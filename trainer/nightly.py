"""The nightly run: whose facts are not in their adapter, and queueing a job for each, once a night.

A night is named by the moment it was due. It is noted and its jobs are queued in one transaction, so a run is never
lost half-way and never held twice; a run missed while the trainer was down is held when it is back.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.memory import Memory

log = logging.getLogger(__name__)


def last_due(now: datetime, at: time, timezone: str) -> datetime:
    """The newest moment not after `now` at which the clock in `timezone` showed `at`."""
    local = now.astimezone(ZoneInfo(timezone))
    due = datetime.combine(local.date(), at, local.tzinfo)
    if due > local:
        due = datetime.combine(local.date() - timedelta(days=1), at, local.tzinfo)
    return due


def hold_if_due(memory: Memory, now: datetime, at: time, timezone: str) -> int | None:
    """Queues the jobs of the night that is due; returns how many, or None where there is nothing to hold.

    The first call ever only notes the time: who installs Hippo at noon is not sent to bed at once.
    """
    due = last_due(now, at, timezone).astimezone(UTC).isoformat(timespec="seconds")
    with memory.transaction():
        last = memory.jobs.last_night()
        users = memory.jobs.users_to_train() if last is not None else []
        if last is not None and last >= due:
            return None
        memory.jobs.start_night(due, len(users))
        for user_id in users:
            memory.jobs.add(user_id, "nightly")
    if last is None:
        return None
    log.info("nightly run due %s: %d users", due, len(users))
    return len(users)
