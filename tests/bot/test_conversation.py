"""The core without a platform: order, once-only, restarts, access, limits, groups, a model that is away."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from bot import replies
from bot.access import Speaker, Window
from bot.surface import Audience
from tests.bot.model_server import ModelServer
from tests.bot.talk import Talk, talking, until


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("hippo.db*"))


async def test_messages_typed_quickly_are_answered_in_order(talk: Talk) -> None:
    talk.model.slow_texts = {"one": 0.3, "two": 0.1}
    for text in ("one", "two", "three"):
        talk.conversation.receive(talk.incoming(text), talk.screen())
    await talk.conversation.idle()
    assert talk.screen().texts == ["base heard: one", "base heard: two", "base heard: three"]
    assert [message["content"] for message in talk.model.asked[2].messages[1:]] == [
        *("one", "base heard: one", "two", "base heard: two", "three"),
    ]


async def test_slow_model_for_one_delays_nobody_else(talk: Talk) -> None:
    talk.model.slow_texts = {"slow": 2.0}
    talk.conversation.receive(talk.incoming("slow", who="ann"), talk.screen("ann"))
    talk.conversation.receive(talk.incoming("quick", who="bob"), talk.screen("bob"))
    await until(lambda: bool(talk.screen("bob").texts), seconds=1.0)
    assert talk.screen("ann").texts == []
    assert talk.screen("ann").typed >= 1


async def test_same_update_twice_is_handled_once(talk: Talk) -> None:
    for text in ("hello", "/remember my dog is Buddy"):
        assert talk.conversation.receive(talk.incoming(text, key=f"k:{text}"), talk.screen())
        assert not talk.conversation.receive(talk.incoming(text, key=f"k:{text}"), talk.screen())
    await talk.conversation.idle()
    assert len(talk.screen().texts) == 2
    assert len(talk.model.asked) == 1


async def test_update_handled_before_a_restart_is_not_handled_again(tmp_path: Path, model: ModelServer) -> None:
    async with talking(tmp_path, model) as talk:
        talk.conversation.receive(talk.incoming("hello", key="k"), talk.screen())
        await talk.conversation.idle()
    async with talking(tmp_path, model) as talk:
        assert not talk.conversation.receive(talk.incoming("hello", key="k"), talk.screen())
        await talk.conversation.idle()
        assert talk.screen().texts == []


async def test_clean_stop_finishes_the_reply_in_hand_and_the_rest_follows_after_the_restart(
    tmp_path: Path, model: ModelServer
) -> None:
    model.seconds_before = 0.2
    async with talking(tmp_path, model) as talk:
        for text in ("one", "two", "/remember my dog is Buddy"):
            talk.conversation.receive(talk.incoming(text), talk.screen())
        await asyncio.sleep(0.05)
        screen = talk.screen()
    assert screen.texts == ["base heard: one"]
    async with talking(tmp_path, model) as talk:
        await talk.conversation.idle()
        assert talk.screen().texts[0] == "base heard: two"
        assert talk.screen().texts[1].startswith("Got it: Your dog is Buddy.")


async def test_reply_cut_off_by_a_stop_is_given_after_the_restart(
    tmp_path: Path, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.conversation.STOP_SECONDS", 0.1)
    model.slow_texts = {"one": 5.0}
    async with talking(tmp_path, model) as talk:
        talk.conversation.receive(talk.incoming("one"), talk.screen())
        await asyncio.sleep(0.1)
    model.slow_texts = {}
    async with talking(tmp_path, model) as talk:
        await talk.conversation.idle()
        assert talk.screen().texts == ["base heard: one"]


async def test_messages_kept_while_the_model_is_away_are_answered_in_order_when_it_is_back(
    tmp_path: Path, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.conversation.RETRY_SECONDS", 0.05)
    model.status = 503
    async with talking(tmp_path, model) as talk:
        await talk.say("one")
        await talk.say("two")
        assert talk.screen().texts == [replies.SERVER_DOWN, replies.SERVER_DOWN]
        model.status = 200
        await until(lambda: len(talk.screen().texts) >= 4)
        await asyncio.sleep(0.2)
        assert talk.screen().texts[2:] == ["base heard: one", "base heard: two"]


async def test_kept_message_of_a_linked_user_is_answered_by_the_process_it_was_written_to(
    tmp_path: Path, model: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.conversation.RETRY_SECONDS", 0.05)
    async with talking(tmp_path, model) as talk:
        code = re.search(r"Your code: (\S+)", (await talk.say("/link")).text)
        assert code
        await talk.say(f"/link {code[1]}", on="telegram")
        async with talking(tmp_path, model) as beside:  # another process: it serves Discord alone
            del beside.conversation._platforms["telegram"]
            del talk.conversation._platforms["discord"]
            model.status = 503
            await talk.say("are you there?", on="telegram")
            model.status = 200
            await until(lambda: "base heard: are you there?" in talk.screen(on="telegram").texts)
            await asyncio.sleep(0.3)
            assert "base heard: are you there?" not in beside.screen(on="discord").texts
            assert talk.screen(on="telegram").texts.count("base heard: are you there?") == 1


async def test_new_message_waits_for_the_kept_ones(talk: Talk) -> None:
    talk.model.status = 503
    await talk.say("one")
    talk.model.status = 200
    await talk.say("two")
    assert talk.screen().texts[1:] == ["base heard: one", "base heard: two"]


async def test_reply_that_breaks_off_is_replaced_by_a_sentence(talk: Talk) -> None:
    talk.model.answer = lambda _model, _messages: "one two three four"
    talk.model.seconds_per_piece = 0.05
    talk.model.break_off_after = 3
    await talk.say("hello")
    assert talk.screen().texts == [replies.SERVER_DOWN]


async def test_long_reply_is_streamed_into_messages_within_the_limit(talk: Talk) -> None:
    sentence = "This is a sentence of the reply. "
    talk.model.answer = lambda _model, _messages: sentence * 30
    talk.model.seconds_per_piece = 0.001
    talk.screen().pace = type(talk.screen().pace)(200, 0.02, 1.0)
    await talk.say("hello")
    assert " ".join(talk.screen().texts) == (sentence * 30).strip()
    assert all(text.endswith(".") for text in talk.screen().texts)
    assert len(talk.screen().versions) > len(talk.screen().texts)  # it grew


async def test_message_deleted_while_it_is_streamed_is_sent_again(talk: Talk) -> None:
    talk.model.answer = lambda _model, _messages: "one two three four five six seven eight"
    talk.model.seconds_per_piece = 0.05
    screen = talk.screen()
    talk.conversation.receive(talk.incoming("hello"), screen)
    await until(lambda: bool(screen.messages))
    screen.delete("1")
    await talk.conversation.idle()
    assert screen.texts == ["one two three four five six seven eight"]


async def test_failing_handler_gets_a_sentence_and_the_lane_goes_on(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk.memory.facts, "active", lambda _user: 1 / 0)
    assert (await talk.say("/facts")).text == replies.INTERNAL_ERROR
    assert (await talk.say("/privacy")).text == replies.PRIVACY


async def test_person_who_blocked_the_bot_stops_nothing(talk: Talk) -> None:
    talk.screen().blocked = True
    talk.conversation.receive(talk.incoming("hello"), talk.screen())
    await talk.conversation.idle()
    talk.screen().blocked = False
    assert (await talk.say("hi there")).text == "base heard: hi there"


async def test_group_gets_the_plain_model_and_nobodys_facts(talk: Talk) -> None:
    await talk.say("/remember my dog is Buddy")
    group = talk.discord.surface("group")
    talk.conversation.receive(talk.incoming("what's my dog's name?", audience=Audience.GROUP), group)
    await talk.conversation.idle()
    asked = talk.model.asked[-1]
    assert asked.model == "base"
    assert "Buddy" not in str(asked.messages)
    assert len(asked.messages) == 2
    talk.conversation.receive(talk.incoming("and I live in Oslo, by the way", audience=Audience.GROUP), group)
    await talk.conversation.idle()
    assert len(talk.model.asked[-1].messages) == 2  # no turn is remembered
    assert len(group.texts) == 2  # nothing is offered
    assert talk.memory.turns.recent(talk.conversation.commands.user(Speaker("discord", "ann")).id, 10) == []


@pytest.mark.parametrize("command", ["facts", "remember", "export", "status", "link", "delete_me", "nonsense"])
async def test_commands_about_facts_point_to_the_private_chat_in_groups(talk: Talk, command: str) -> None:
    await talk.say("/remember my dog is Buddy")
    group = talk.discord.surface("group")
    talk.conversation.receive(talk.incoming(f"/{command} my cat is Tom", audience=Audience.GROUP), group)
    await talk.conversation.idle()
    assert group.texts == [replies.PRIVATE_ONLY.format(command=command)]
    assert await talk.told() == ["my dog is Buddy"]


async def test_group_leaves_no_user_behind(talk: Talk) -> None:
    group = talk.discord.surface("group")
    for text in ("hello", "/help", "/facts"):
        talk.conversation.receive(talk.incoming(text, who="stranger", audience=Audience.GROUP), group)
    await talk.conversation.idle()
    assert len(group.texts) == 3
    assert talk.memory.platforms_of("stranger") == []
    assert talk.memory._connection.rows("select * from users") == []


async def test_discreet_reply_shows_facts_but_asks_nothing(talk: Talk) -> None:
    screen = talk.discord.surface("seen by ann alone")
    talk.conversation.receive(talk.incoming("my dog is Buddy", command="remember", audience=Audience.DISCREET), screen)
    await talk.conversation.idle()
    assert screen.texts == ["Got it: Your dog is Buddy."]
    await talk.say("beagle")
    assert await talk.told() == ["my dog is Buddy"]


async def test_blocked_person_gets_no_answer(tmp_path: Path, model: ModelServer) -> None:
    async with talking(tmp_path, model, blocked="discord:eve, discord:mal") as talk:
        assert not talk.conversation.receive(talk.incoming("hello", who="eve"), talk.screen("eve"))
        await talk.conversation.idle()
        assert talk.screen("eve").texts == []
        assert (await talk.say("hello")).text == "base heard: hello"


async def test_allow_list_lets_in_its_people_and_admins_alone(tmp_path: Path, model: ModelServer) -> None:
    async with talking(tmp_path, model, allowed="discord:ann", admins="discord:boss") as talk:
        assert (await talk.say("hello")).text == "base heard: hello"
        assert (await talk.say("hello", who="boss")).text == "base heard: hello"
        assert (await talk.say("hello", who="eve")).text == replies.NOT_ADMITTED.format(key="discord:eve")
        talk.conversation.receive(talk.incoming("hi", who="eve", audience=Audience.GROUP), talk.screen("group"))
        await talk.conversation.idle()
        assert talk.screen("group").texts == []
        assert len(talk.model.asked) == 2


async def test_too_many_messages_a_minute_get_one_friendly_sentence(tmp_path: Path, model: ModelServer) -> None:
    async with talking(tmp_path, model, messages_per_minute=3) as talk:
        for number in range(6):
            await talk.say(f"message {number}")
        texts = talk.screen().texts
        assert len(texts) == 4
        assert texts[3].startswith("You write faster than I can read: 3 messages a minute")
        assert (await talk.say("hello", who="bob")).text == "base heard: hello"  # a limit a person


def test_window_counts_by_when_it_was_written() -> None:
    window = Window(2, 60.0, clock=lambda: 1000.0)
    ages = [300.0, 290.0, 280.0, 200.0, 190.0, 5.0, 4.0, 3.0]
    assert [window.hit("ann", age) for age in ages] == [0.0, 0.0, 40.0, 0.0, 0.0, 0.0, 0.0, 58.0]


def test_window_moves_with_time() -> None:
    now = 0.0
    window = Window(2, 60.0, clock=lambda: now)
    assert [window.hit("a"), window.hit("a")] == [0.0, 0.0]
    now = 20.0
    assert window.hit("a") == 40.0
    assert (window.first_refusal("a"), window.first_refusal("a")) == (True, False)
    assert window.hit("b") == 0.0
    now = 61.0
    assert window.hit("a") == 0.0
    assert window.first_refusal("a")


async def test_too_many_retrains_a_day_get_a_friendly_sentence(tmp_path: Path, model: ModelServer) -> None:
    async with talking(tmp_path, model, retrains_per_day=2) as talk:
        for number in range(2):
            await talk.say(f"/remember I own {number + 2} boats")
            assert (await talk.say("/retrain")).text == "Waiting for the trainer."
            job = talk.memory.jobs.claim("worker", 60)[0]
            talk.memory.jobs.finish(job.id, "worker", "failed", {}, "no reason")
        text = (await talk.say("/retrain")).text
        assert text.startswith("You have asked for 2 trainings in 24 hours")
        assert "ask again in 24 hours" in text


async def test_export_holds_what_waits_for_the_user_too(talk: Talk) -> None:
    await talk.say("by the way I'm 25 now")
    reply = await talk.say("/export")
    assert reply.file is not None
    assert b"I'm 25 now" in reply.file.content
    assert b'"offers"' in reply.file.content


async def test_delete_me_leaves_no_word_of_the_user_in_the_file(tmp_path: Path, model: ModelServer) -> None:
    async with talking(tmp_path, model) as talk:
        await talk.say("/remember my dog is Xylophonius")
        await talk.say("by the way my cat is Quetzalinda, what now?")
        await talk.say("/delete_me yes")
    content = files(tmp_path)
    assert b"Xylophonius" not in content
    assert b"Quetzalinda" not in content
