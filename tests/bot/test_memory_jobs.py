"""Jobs under leases, nights, and adapters' versions in the store."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

import pytest

from bot.errors import NotNow
from bot.facts import Fact
from bot.memory import Memory
from bot.memory.jobs import MAX_ATTEMPTS
from bot.memory.records import User
from serving.adapters import adapter_name

LEASE = 30.0
EXPIRED = -1.0


@pytest.fixture
def user(memory: Memory) -> User:
    return memory.user_for("terminal", "me")


def tell(memory: Memory, user: User, text: str) -> None:
    memory.facts.tell(user.id, Fact(text), lambda _new, _old: False)


def test_user_has_one_open_job_at_most(memory: Memory, user: User) -> None:
    memory.jobs.add(user.id, "retrain")
    with pytest.raises(NotNow, match="already learning"):
        memory.jobs.add(user.id, "nightly")
    memory.jobs.claim("w", LEASE)
    with pytest.raises(NotNow):
        memory.jobs.add(user.id, "retrain")


def test_asked_for_jobs_are_claimed_before_nightly_ones_then_by_age(memory: Memory) -> None:
    users = [memory.user_for("terminal", name) for name in "abc"]
    jobs = [memory.jobs.add(user.id, why) for user, why in zip(users, ("nightly", "retrain", "retrain"), strict=True)]
    claimed = memory.jobs.claim("w", LEASE, limit=2)
    assert [job.id for job in claimed] == [jobs[1].id, jobs[2].id]
    assert [job.id for job in memory.jobs.claim("w", LEASE, limit=2)] == [jobs[0].id]


def test_two_workers_never_hold_one_job(memory: Memory, store_path: Path) -> None:
    for number in range(6):
        memory.jobs.add(memory.user_for("terminal", str(number)).id, "nightly")
    with closing(Memory.open(store_path)) as other:
        mine = {job.id for job in memory.jobs.claim("one", LEASE, limit=4)}
        theirs = {job.id for job in other.jobs.claim("two", LEASE, limit=4)}
    assert len(mine) == 4
    assert len(theirs) == 2
    assert not mine & theirs


def test_job_of_a_silent_worker_is_taken_up_and_the_silent_one_can_change_nothing(memory: Memory, user: User) -> None:
    memory.jobs.add(user.id, "retrain")
    (job,) = memory.jobs.claim("dead", EXPIRED)
    (again,) = memory.jobs.claim("alive", LEASE)
    assert again.id == job.id
    assert again.attempts == 2
    assert not memory.jobs.report(job.id, "dead", LEASE, "learning", 0.5, None)
    assert not memory.jobs.renew(job.id, "dead", LEASE)
    assert not memory.jobs.finish(job.id, "dead", "done", {})
    assert memory.jobs.get(job.id).stage == "starting"
    assert memory.jobs.finish(job.id, "alive", "done", {"facts": 1})


def test_renewed_lease_is_not_taken_up(memory: Memory, user: User) -> None:
    memory.jobs.add(user.id, "retrain")
    (job,) = memory.jobs.claim("w", 0.05)
    assert memory.jobs.renew(job.id, "w", LEASE)
    time.sleep(0.1)
    assert memory.jobs.claim("other", LEASE) == []


def test_job_that_keeps_killing_its_worker_fails_with_a_sentence(memory: Memory, user: User) -> None:
    job = memory.jobs.add(user.id, "retrain")
    for _ in range(MAX_ATTEMPTS):
        assert [taken.id for taken in memory.jobs.claim("w", EXPIRED)] == [job.id]
    assert memory.jobs.claim("w", EXPIRED) == []
    ended = memory.jobs.get(job.id)
    assert ended.state == "failed"
    assert f"{MAX_ATTEMPTS} times" in ended.error
    memory.jobs.add(user.id, "retrain")  # and the user may ask again


def test_job_handed_back_is_queued_with_no_attempt_counted(memory: Memory, user: User) -> None:
    memory.jobs.add(user.id, "retrain")
    (job,) = memory.jobs.claim("w", LEASE)
    memory.jobs.release(job.id, "w")
    handed_back = memory.jobs.get(job.id)
    assert handed_back.state == "queued"
    assert handed_back.attempts == 0


def test_leases_ended_at_start_let_jobs_be_claimed_at_once(memory: Memory, user: User) -> None:
    memory.jobs.add(user.id, "retrain")
    (job,) = memory.jobs.claim("dead", LEASE)
    assert memory.jobs.claim("alive", LEASE) == []
    assert memory.jobs.end_leases() == 1
    assert [taken.id for taken in memory.jobs.claim("alive", LEASE)] == [job.id]


def test_users_to_train_are_those_whose_facts_are_not_in_their_adapter(memory: Memory) -> None:
    new, learned, changed, emptied, blank, busy = (memory.user_for("terminal", name) for name in "abcdef")
    for user in (new, learned, changed, emptied, busy):
        tell(memory, user, "my dog is Buddy")
    for user in (learned, changed, emptied):
        adapter = memory.adapters.reserve(user.id, memory.facts.active(user.id), "base/bundled", adapter_name)
        memory.adapters.go_live(adapter.id, {}, 1)
    tell(memory, changed, "I am 25")
    memory.facts.forget(emptied.id, memory.facts.active(emptied.id)[0].id)
    memory.jobs.add(busy.id, "retrain")
    assert set(memory.jobs.users_to_train()) == {new.id, changed.id, emptied.id}
    assert blank.id not in memory.jobs.users_to_train()


def test_users_with_many_facts_are_not_trained_again_for_their_order(memory: Memory, user: User) -> None:
    for number in range(12):  # ids of one and of two digits sort differently as text
        tell(memory, user, f"my lucky number {number} is {number}")
    adapter = memory.adapters.reserve(user.id, memory.facts.active(user.id), "base/bundled", adapter_name)
    memory.adapters.go_live(adapter.id, {}, 1)
    assert memory.jobs.users_to_train() == []


def test_versions_grow_and_one_adapter_is_live(memory: Memory, user: User) -> None:
    tell(memory, user, "my dog is Buddy")
    facts = memory.facts.active(user.id)
    first, second, third = (memory.adapters.reserve(user.id, facts, "base/bundled", adapter_name) for _ in range(3))
    assert [one.version for one in (first, second, third)] == [1, 2, 3]
    memory.adapters.go_live(first.id, {}, 1)
    memory.adapters.reject(second.id, {"recalled": 0})
    assert memory.adapters.live(user.id) == memory.adapters.get(first.id)
    assert memory.adapters.go_live(third.id, {}, 1) is not None
    assert memory.adapters.get(first.id).status == "retired"
    live = memory.adapters.live(user.id)
    assert live is not None
    assert live.id == third.id


def test_folders_of_retired_adapters_stay_for_the_replies_that_use_them(memory: Memory, user: User) -> None:
    tell(memory, user, "my dog is Buddy")
    adapter = memory.adapters.reserve(user.id, memory.facts.active(user.id), "base/bundled", adapter_name)
    memory.adapters.go_live(adapter.id, {}, 1)
    memory.adapters.retire_live(user.id)
    assert memory.adapters.served_names(retired_within_seconds=60) == {adapter.name}
    assert memory.adapters.served_names(retired_within_seconds=-1) == set()


def test_adapters_of_another_base_or_without_a_folder_are_retired_and_their_facts_are_pending(
    memory: Memory, user: User
) -> None:
    tell(memory, user, "my dog is Buddy")
    for base_model, folders in (("Qwen/Qwen2.5-7B-Instruct", True), ("base/bundled", False)):
        adapter = memory.adapters.reserve(user.id, memory.facts.active(user.id), "base/bundled", adapter_name)
        memory.adapters.go_live(adapter.id, {}, 1)
        assert memory.adapters.retire_unservable("base/bundled", {adapter.name}) == 0
        assert memory.adapters.live(user.id) is not None
        assert memory.adapters.retire_unservable(base_model, {adapter.name} if folders else set()) == 1
        assert memory.adapters.live(user.id) is None
        assert len(memory.facts.pending(user.id)) == 1


def test_night_starts_once(memory: Memory) -> None:
    assert memory.jobs.last_night() is None
    assert memory.jobs.start_night("2025-01-01T03:30:00+00:00", 3)
    assert not memory.jobs.start_night("2025-01-01T03:30:00+00:00", 3)
    assert memory.jobs.last_night() == "2025-01-01T03:30:00+00:00"
