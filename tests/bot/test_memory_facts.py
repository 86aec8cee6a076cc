"""Facts in the store: told, replaced, undone, forgotten, found, pending."""

from __future__ import annotations

import pytest

from bot.fact_changes import replaces
from bot.facts import Fact
from bot.memory import Memory
from bot.memory.records import StoredFact, User
from serving.adapters import adapter_name

BUDDY = Fact("my dog is Buddy", "dog", "name", "Buddy")
MAX = Fact("my dog is Max", "dog", "name", "Max")
REX = Fact("my dog is Rex", "dog", "name", "Rex")
AGE = Fact("I am 25", "", "age", "25")


@pytest.fixture
def user(memory: Memory) -> User:
    return memory.user_for("terminal", "me")


def texts(facts: list[StoredFact]) -> list[str]:
    return [stored.fact.text for stored in facts]


def learn(memory: Memory, user: User) -> None:
    """Makes an adapter live that holds the facts active now."""
    adapter = memory.adapters.reserve(user.id, memory.facts.active(user.id), "base/bundled", adapter_name)
    memory.adapters.go_live(adapter.id, {}, 1)


def test_told_fact_comes_back_as_it_was_told(memory: Memory, user: User) -> None:
    told = memory.facts.tell(user.id, BUDDY, replaces)
    assert not told.already_known
    assert memory.facts.active(user.id) == [told.stored]
    assert told.stored.fact == BUDDY


def test_repeated_fact_is_stored_once_whatever_its_case(memory: Memory, user: User) -> None:
    first = memory.facts.tell(user.id, BUDDY, replaces)
    again = memory.facts.tell(user.id, Fact("My Dog is BUDDY", "dog", "name", "BUDDY"), replaces)
    assert again.already_known
    assert again.stored == first.stored
    assert len(memory.facts.active(user.id)) == 1


def test_changed_fact_replaces_the_old_one_and_undo_brings_it_back(memory: Memory, user: User) -> None:
    memory.facts.tell(user.id, AGE, replaces)
    memory.facts.tell(user.id, BUDDY, replaces)
    changed = memory.facts.tell(user.id, MAX, replaces)
    assert texts(list(changed.replaced)) == ["my dog is Buddy"]
    assert texts(memory.facts.active(user.id)) == ["I am 25", "my dog is Max"]

    assert memory.facts.undo(user.id, changed.stored.id)
    assert texts(memory.facts.active(user.id)) == ["I am 25", "my dog is Buddy"]
    assert not memory.facts.undo(user.id, changed.stored.id)


def test_value_told_again_after_a_change_is_active_again(memory: Memory, user: User) -> None:
    for fact in (BUDDY, MAX, BUDDY):
        memory.facts.tell(user.id, fact, replaces)
    assert texts(memory.facts.active(user.id)) == ["my dog is Buddy"]


def test_forgotten_fact_takes_the_values_it_replaced_with_it(memory: Memory, user: User) -> None:
    for fact in (BUDDY, MAX, REX, AGE):
        memory.facts.tell(user.id, fact, replaces)
    rex = memory.facts.find(user.id, "rex")[0]
    assert memory.facts.forget(user.id, rex.id) == rex
    assert texts(memory.facts.active(user.id)) == ["I am 25"]
    assert {row["text"] for row in memory.export(user.id)["facts"]} == {"I am 25"}
    assert memory.facts.forget(user.id, rex.id) is None


def test_forgotten_fact_that_an_adapter_holds_stays_marked_until_the_next_adapter(memory: Memory, user: User) -> None:
    for fact in (BUDDY, AGE):
        memory.facts.tell(user.id, fact, replaces)
    learn(memory, user)
    memory.facts.forget(user.id, memory.facts.find(user.id, "dog")[0].id)
    statuses = {row["text"]: row["status"] for row in memory.export(user.id)["facts"]}
    assert statuses == {"my dog is Buddy": "forgotten", "I am 25": "active"}
    assert memory.jobs.users_to_train() == [user.id]

    learn(memory, user)
    memory.facts.purge_forgotten(user.id)
    assert {row["text"] for row in memory.export(user.id)["facts"]} == {"I am 25"}
    assert memory.jobs.users_to_train() == []


def test_forgetting_drops_recent_turns_which_may_repeat_it(memory: Memory, user: User) -> None:
    memory.facts.tell(user.id, BUDDY, replaces)
    turn = memory.turns.keep_message(user.id, "what's my dog's name?", 60)
    assert turn is not None
    memory.turns.answer(user.id, turn, "Buddy!", 60)
    memory.facts.forget(user.id, memory.facts.active(user.id)[0].id)
    assert memory.turns.recent(user.id, 10) == []


def test_nobody_undoes_or_forgets_what_is_anothers(memory: Memory, user: User) -> None:
    other = memory.user_for("terminal", "other")
    mine = memory.facts.tell(user.id, BUDDY, replaces).stored
    assert memory.facts.forget(other.id, mine.id) is None
    assert not memory.facts.undo(other.id, mine.id)
    assert memory.facts.active(user.id) == [mine]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("2", ["I am 25"]),
        ("dog", ["my dog is Buddy", "my dog's breed is Poodle"]),
        ("DOG buddy!", ["my dog is Buddy"]),
        ("my dog is buddy", ["my dog is Buddy"]),
        ("dogs breed", ["my dog's breed is Poodle"]),
        ("cat", []),
        ("99", []),
        ("25", ["I am 25"]),
        ("'; drop table facts; --", []),
        ("…", []),
    ],
)
def test_facts_are_found_by_number_sentence_or_words(memory: Memory, user: User, wanted: str, found: list[str]) -> None:
    for fact in (BUDDY, AGE, Fact("my dog's breed is Poodle", "dog", "breed", "Poodle")):
        memory.facts.tell(user.id, fact, replaces)
    assert texts(memory.facts.find(user.id, wanted)) == found


def test_pending_is_what_the_live_adapter_does_not_hold(memory: Memory, user: User) -> None:
    memory.facts.tell(user.id, BUDDY, replaces)
    assert texts(memory.facts.pending(user.id)) == ["my dog is Buddy"]
    learn(memory, user)
    assert memory.facts.pending(user.id) == []
    memory.facts.tell(user.id, AGE, replaces)
    assert texts(memory.facts.pending(user.id)) == ["I am 25"]
    memory.adapters.retire_live(user.id)
    assert texts(memory.facts.pending(user.id)) == ["my dog is Buddy", "I am 25"]
