"""The nightly run: due at the hour set, caught up after downtime, never held twice, also when clocks change."""

from __future__ import annotations

import time as clock
from contextlib import closing
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from threading import Thread

import pytest
from pydantic import ValidationError

from bot.facts import Fact
from bot.memory import Memory
from bot.memory.records import User
from trainer import schedule
from trainer.nightly import hold_if_due, last_due
from trainer.settings import TrainerSettings

AT = time(3, 30)
BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture
def user(memory: Memory) -> User:
    user = memory.user_for("terminal", "me")
    memory.facts.tell(user.id, Fact("my dog is Buddy"), lambda _new, _old: False)
    return user


def finish_all(memory: Memory) -> None:
    for job in memory.jobs.claim("w", 60, limit=100):
        memory.jobs.finish(job.id, "w", "failed", {})


@pytest.mark.parametrize(
    ("now", "zone", "due"),
    [
        ("2025-06-10T03:29:59", "UTC", "2025-06-09T03:30:00"),
        ("2025-06-10T03:30:00", "UTC", "2025-06-10T03:30:00"),
        ("2025-06-10T23:59:59", "UTC", "2025-06-10T03:30:00"),
        ("2025-06-10T01:30:00", BERLIN, "2025-06-10T01:30:00"),  # 03:30 there
        ("2025-06-10T01:29:00", BERLIN, "2025-06-09T01:30:00"),
        ("2025-01-10T02:30:00", BERLIN, "2025-01-10T02:30:00"),  # winter
        ("2025-06-10T00:10:00", "Asia/Tokyo", "2025-06-09T18:30:00"),
    ],
)
def test_last_due_is_by_the_clock_of_the_zone_set(now: str, zone: str, due: str) -> None:
    assert last_due(at(now), AT, zone).astimezone(UTC) == at(due)


def test_first_call_notes_the_time_and_trains_nobody(memory: Memory, user: User) -> None:
    assert hold_if_due(memory, at("2025-06-10T12:00:00"), AT, "UTC") is None
    assert memory.jobs.open_for(user.id) is None
    assert memory.jobs.last_night() is not None


def test_night_queues_a_job_for_each_who_has_something_to_learn(memory: Memory, user: User) -> None:
    memory.user_for("terminal", "told nothing")
    hold_if_due(memory, at("2025-06-10T12:00:00"), AT, "UTC")
    assert hold_if_due(memory, at("2025-06-11T03:30:00"), AT, "UTC") == 1
    job = memory.jobs.open_for(user.id)
    assert job is not None
    assert job.reason == "nightly"


def test_night_is_held_once_however_often_it_is_looked_at(memory: Memory, user: User) -> None:
    hold_if_due(memory, at("2025-06-10T12:00:00"), AT, "UTC")
    held = []
    for minute in range(0, 24 * 60, 7):
        held.append(hold_if_due(memory, at("2025-06-11T03:25:00") + timedelta(minutes=minute), AT, "UTC"))
        finish_all(memory)
    assert [count for count in held if count is not None] == [1]


def test_nights_missed_while_the_trainer_was_down_are_caught_up_by_one(memory: Memory, user: User) -> None:
    hold_if_due(memory, at("2025-06-10T12:00:00"), AT, "UTC")
    assert hold_if_due(memory, at("2025-06-14T09:00:00"), AT, "UTC") == 1
    finish_all(memory)
    assert hold_if_due(memory, at("2025-06-14T09:01:00"), AT, "UTC") is None
    assert hold_if_due(memory, at("2025-06-15T03:30:01"), AT, "UTC") == 1


@pytest.mark.parametrize("hour", [time(2, 30), time(2, 0), time(1, 59), time(3, 0)])
@pytest.mark.parametrize("changing", ["2025-03-30", "2025-10-26"])
def test_night_when_the_clocks_change_is_held_once(memory: Memory, user: User, hour: time, changing: str) -> None:
    noon_before = at(f"{changing}T12:00:00") - timedelta(days=1)
    hold_if_due(memory, noon_before, hour, BERLIN)
    held = []
    for minute in range(0, 24 * 60, 5):
        held.append(hold_if_due(memory, noon_before + timedelta(minutes=minute), hour, BERLIN))
        finish_all(memory)
    assert [count for count in held if count is not None] == [1]


def test_two_trainers_looking_at_once_hold_the_night_once(memory: Memory, user: User, store_path: Path) -> None:
    hold_if_due(memory, at("2025-06-10T12:00:00"), AT, "UTC")
    held: list[int | None] = []

    def look() -> None:
        with closing(Memory.open(store_path)) as other:
            held.append(hold_if_due(other, at("2025-06-11T03:30:00"), AT, "UTC"))

    threads = [Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(held, key=str) == [1, None, None, None]


def test_user_with_a_job_open_is_not_queued_twice(memory: Memory, user: User) -> None:
    hold_if_due(memory, at("2025-06-10T12:00:00"), AT, "UTC")
    memory.jobs.add(user.id, "retrain")
    assert hold_if_due(memory, at("2025-06-11T03:30:00"), AT, "UTC") == 0


def test_scheduler_catches_up_at_start_and_holds_the_night_at_the_hour_set(
    memory: Memory, user: User, store_path: Path
) -> None:
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5)
    memory.jobs.start_night((soon - timedelta(days=3)).isoformat(timespec="seconds"), 0)
    settings = TrainerSettings(data_dir=store_path.parent, nightly_at=soon.time())
    scheduler = schedule.start(settings)
    try:
        assert wait_for_job(memory, user)  # last night's, missed while it was down
        finish_all(memory)
        assert datetime.now(UTC) < soon, "this machine is too busy to tell the two runs apart"
        assert wait_for_job(memory, user)  # tonight's
        assert datetime.now(UTC) >= soon
    finally:
        scheduler.shutdown(wait=True)
    assert memory.jobs.last_night() == soon.isoformat(timespec="seconds")


def wait_for_job(memory: Memory, user: User) -> bool:
    deadline = clock.monotonic() + 20
    while clock.monotonic() < deadline:
        if memory.jobs.open_for(user.id):
            return True
        clock.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("name", "value"), [("timezone", "Mars/Olympus"), ("recipe", "secret"), ("nightly_at", "25:00")]
)
def test_setting_that_means_nothing_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ValidationError, match=name):
        TrainerSettings(**{name: value})


def test_a_batch_is_large_on_a_card_and_small_on_a_cpu_unless_set() -> None:
    assert (TrainerSettings().batch_limit("cuda"), TrainerSettings().batch_limit("cpu")) == (64, 8)
    assert TrainerSettings(users_per_batch=3).batch_limit("cuda") == 3
