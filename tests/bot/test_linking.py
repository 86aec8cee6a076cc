"""Two platforms, one person: codes, joining, parting."""

from __future__ import annotations

import pytest

from bot import replies
from bot.access import Speaker
from bot.facts import Fact
from bot.memory.records import StoredFact
from tests.bot.talk import Talk


async def code_for(talk: Talk, who: str = "ann", on: str = "discord") -> str:
    reply = await talk.say("/link", who=who, on=on)
    return reply.text.split()[2]


def user_id(talk: Talk, who: str, on: str) -> str:
    return talk.conversation.commands.user(Speaker(on, who)).id


def live_adapter(talk: Talk, user: str, facts: list[StoredFact]) -> int:
    adapter = talk.memory.adapters.reserve(user, facts, "base", lambda owner, version: f"{owner}-v{version:04d}")
    talk.memory.adapters.go_live(adapter.id, {}, 1)
    return adapter.id


async def test_code_joins_the_identities_and_their_facts(talk: Talk) -> None:
    await talk.say("/remember my dog is Buddy")
    await talk.say("/remember I live in Oslo", on="telegram", who="7")
    code = await code_for(talk)
    reply = await talk.say(f"/link {code.lower().replace('-', ' ')}", on="telegram", who="7")
    assert reply.text == "Linked: Discord and Telegram are one account now, and I know 2 facts about you."
    assert user_id(talk, "ann", "discord") == user_id(talk, "7", "telegram")
    assert await talk.told() == ["my dog is Buddy", "I live in Oslo"]


async def test_duplicates_are_kept_once_and_the_value_told_last_holds(talk: Talk) -> None:
    await talk.say("/remember I live in Oslo", on="telegram", who="7")
    await talk.say("/remember my dog is Buddy", on="telegram", who="7")
    await talk.say("/remember I live in Bergen")
    await talk.say("/remember My dog is Buddy")
    await talk.say("/remember my cat is Tom")
    await talk.say("/remember my cat is Kit", on="telegram", who="7")
    code = await code_for(talk)
    reply = await talk.say(f"/link {code}", on="telegram", who="7")
    assert await talk.told() == ["I live in Bergen", "My dog is Buddy", "my cat is Kit"]
    assert "1 fact you had told both" in reply.text
    assert "2 older facts gave way" in reply.text


async def test_code_works_once(talk: Talk) -> None:
    code = await code_for(talk)
    await talk.say(f"/link {code}", on="telegram", who="7")
    assert (await talk.say(f"/link {code}", on="telegram", who="8")).text == replies.LINK_WRONG


async def test_code_lapses(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.linking.CODE_SECONDS", -1.0)
    code = await code_for(talk)
    assert (await talk.say(f"/link {code}", on="telegram", who="7")).text == replies.LINK_WRONG


async def test_new_code_voids_the_one_before(talk: Talk) -> None:
    old, new = await code_for(talk), await code_for(talk)
    assert (await talk.say(f"/link {old}", on="telegram", who="7")).text == replies.LINK_WRONG
    assert (await talk.say(f"/link {new}", on="telegram", who="7")).text.startswith("Linked")


async def test_own_code_is_refused_kindly(talk: Talk) -> None:
    assert (await talk.say(f"/link {await code_for(talk)}")).text == replies.LINK_SAME


async def test_wrong_codes_are_limited(talk: Talk) -> None:
    code = await code_for(talk)
    for _ in range(5):
        assert (await talk.say("/link AAAA-BBBB-CCCC", on="telegram", who="7")).text == replies.LINK_WRONG
    text = (await talk.say(f"/link {code}", on="telegram", who="7")).text
    assert text == replies.LINK_TOO_OFTEN.format(minutes=10)


async def test_code_is_stored_as_a_hash_only(talk: Talk) -> None:
    code = await code_for(talk)
    rows = talk.memory._connection.rows("select * from link_codes")
    assert len(rows) == 1
    assert code not in str(rows)
    assert code.replace("-", "") not in str(rows)


async def test_adapter_of_the_other_is_retired_and_the_kept_ones_stays(talk: Talk) -> None:
    await talk.say("/remember my dog is Buddy")
    await talk.say("/remember I live in Oslo", on="telegram", who="7")
    kept, other = user_id(talk, "ann", "discord"), user_id(talk, "7", "telegram")
    kept_adapter = live_adapter(talk, kept, talk.memory.facts.active(kept))
    other_adapter = live_adapter(talk, other, talk.memory.facts.active(other))
    await talk.say(f"/link {await code_for(talk)}", on="telegram", who="7")
    live = talk.memory.adapters.live(kept)
    assert live is not None
    assert live.id == kept_adapter
    assert talk.memory.adapters.get(other_adapter).status == "retired"
    assert [stored.fact for stored in talk.memory.facts.pending(kept)] == [
        Fact("I live in Oslo", "", "home", "Oslo"),
    ]
    assert talk.memory.jobs.users_to_train() == [kept]


async def test_only_live_adapter_of_the_two_goes_on_serving(talk: Talk) -> None:
    await talk.say("/remember I live in Oslo", on="telegram", who="7")
    other = user_id(talk, "7", "telegram")
    adapter = live_adapter(talk, other, talk.memory.facts.active(other))
    code = await code_for(talk)
    await talk.say(f"/link {code}", on="telegram", who="7")
    live = talk.memory.adapters.live(user_id(talk, "ann", "discord"))
    assert live is not None
    assert live.id == adapter
    assert live.fact_ids == {stored.id for stored in talk.memory.facts.active(live.user_id)}


async def test_running_job_of_the_other_starts_again_for_both(talk: Talk) -> None:
    await talk.say("/remember I live in Oslo", on="telegram", who="7")
    await talk.say("/retrain", on="telegram", who="7")
    (job,) = talk.memory.jobs.claim("worker", 60)
    await talk.say(f"/link {await code_for(talk)}", on="telegram", who="7")
    assert not talk.memory.jobs.finish(job.id, "worker", "done", {})  # the worker has lost it
    (again,) = talk.memory.jobs.claim("worker", 60)
    assert (again.id, again.user_id) == (job.id, user_id(talk, "ann", "discord"))


async def test_two_open_jobs_become_one(talk: Talk) -> None:
    await talk.say("/remember my dog is Buddy")
    await talk.say("/retrain")
    await talk.say("/remember I live in Oslo", on="telegram", who="7")
    await talk.say("/retrain", on="telegram", who="7")
    await talk.say(f"/link {await code_for(talk)}", on="telegram", who="7")
    assert len(talk.memory.jobs.claim("worker", 60, limit=5)) == 1


async def test_recent_turns_and_costs_move_along(talk: Talk) -> None:
    await talk.say("hello", on="telegram", who="7")
    talk.memory.ledger.add(user_id(talk, "7", "telegram"), "training", seconds=3600, rate_usd_per_hour=2.0)
    await talk.say(f"/link {await code_for(talk)}", on="telegram", who="7")
    await talk.say("and again")
    assert "base heard: hello" in str(talk.model.asked[-1].messages)
    assert talk.memory.export(user_id(talk, "ann", "discord"))["ledger"][0]["cost_usd"] == 2.0
    (line,) = talk.memory.ledger.totals(60)
    assert (line.entries, line.users, line.cost_usd) == (1, 1, 2.0)


async def test_unlink_parts_this_account_and_leaves_the_facts_with_the_other(talk: Talk) -> None:
    await talk.say("/remember my dog is Buddy")
    await talk.say(f"/link {await code_for(talk)}", on="telegram", who="7")
    reply = await talk.say("/unlink", on="telegram", who="7")
    assert [button.label for button in reply.buttons] == ["Unlink", "Stay linked"]
    assert (await talk.press("Unlink", on="telegram", who="7")).text == replies.UNLINKED
    assert await talk.told("7", "telegram") == []
    assert await talk.told() == ["my dog is Buddy"]
    assert (await talk.say("/unlink", on="telegram", who="7")).text == replies.NOT_LINKED


async def test_reply_kept_while_away_goes_where_the_person_wrote_last(talk: Talk) -> None:
    await talk.say(f"/link {await code_for(talk)}", on="telegram", who="7")
    talk.model.status = 503
    await talk.say("hello", on="telegram", who="7")
    talk.model.status = 200
    await talk.conversation._answer_kept(user_id(talk, "ann", "discord"))
    assert talk.screen("7", "telegram").last.text == "base heard: hello"


async def test_messages_after_the_link_share_one_order_over_both_platforms(talk: Talk) -> None:
    code = await code_for(talk)
    talk.model.slow_texts = {"one": 0.3}
    talk.conversation.receive(talk.incoming(f"/link {code}", on="telegram", who="7"), talk.screen("7", "telegram"))
    talk.conversation.receive(talk.incoming("one"), talk.screen())
    talk.conversation.receive(talk.incoming("two", on="telegram", who="7"), talk.screen("7", "telegram"))
    await talk.conversation.idle()
    assert [asked.text for asked in talk.model.asked] == ["one", "two"]
    assert talk.screen().texts[1:] == ["base heard: one"]
    assert talk.screen("7", "telegram").texts[1:] == ["base heard: two"]
    assert "base heard: one" in str(talk.model.asked[1].messages)
