"""Facts coming in by conversation: undo, follow-up questions, offers, changes, text files."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot import replies
from bot.gathering import MAX_FILE_BYTES, answer_in
from bot.surface import Attachment
from tests.bot.model_server import ModelServer
from tests.bot.talk import Talk, talking


async def send_file(talk: Talk, content: bytes, text: str = "/remember", size: int | None = None) -> str:
    talk.discord.files["f"] = content
    attachment = Attachment("facts.txt", len(content) if size is None else size, "f")
    talk.conversation.receive(talk.incoming(text, attachment=attachment), talk.screen())
    await talk.conversation.idle()
    return talk.screen().last.text


async def test_remember_says_what_was_understood_and_asks_one_question(talk: Talk) -> None:
    reply = await talk.say("/remember my dog is Buddy")
    assert reply.text == "Got it: Your dog is Buddy.\nWhat breed is Buddy?"
    assert [button.label for button in reply.buttons] == ["Undo"]


async def test_answer_to_the_question_becomes_a_fact_and_asks_no_further(talk: Talk) -> None:
    await talk.say("/remember my dog is Buddy")
    reply = await talk.say("He's a beagle!")
    assert reply.text == "Got it: Your dog's breed is a beagle."
    assert await talk.told() == ["my dog is Buddy", "my dog's breed is a beagle"]
    assert talk.model.asked == []


async def test_question_instead_of_an_answer_is_chat(talk: Talk) -> None:
    await talk.say("/remember my dog is Buddy")
    await talk.say("what should I cook tonight?")
    assert [asked.text for asked in talk.model.asked] == ["what should I cook tonight?"]
    await talk.say("a beagle")  # the question has lapsed
    assert await talk.told() == ["my dog is Buddy"]


async def test_declining_the_question_ends_it(talk: Talk) -> None:
    await talk.say("/remember my dog is Buddy")
    assert (await talk.say("no thanks")).text == replies.ALL_RIGHT
    assert await talk.told() == ["my dog is Buddy"]


async def test_any_command_cancels_the_question(talk: Talk) -> None:
    await talk.say("/remember my dog is Buddy")
    await talk.say("/status")
    await talk.say("beagle")
    assert await talk.told() == ["my dog is Buddy"]
    assert talk.model.asked[-1].text == "beagle"


async def test_question_lapses_with_time(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.gathering.QUESTION_SECONDS", -1.0)
    await talk.say("/remember my dog is Buddy")
    await talk.say("beagle")
    assert await talk.told() == ["my dog is Buddy"]


async def test_question_with_a_known_answer_is_not_asked(talk: Talk) -> None:
    await talk.say("/remember my dog's breed is beagle")
    reply = await talk.say("/remember my dog is Buddy")
    assert reply.text == "Got it: Your dog is Buddy."


async def test_own_sentence_answers_the_question(talk: Talk) -> None:
    await talk.say("/remember my name is Ann Lee")
    assert "live" in talk.screen().last.text
    await talk.say("I live in Oslo")
    assert await talk.told() == ["my name is Ann Lee", "I live in Oslo"]


async def test_remember_without_text_takes_the_next_message(talk: Talk) -> None:
    assert (await talk.say("/remember")).text == replies.ASK_FOR_FACT
    await talk.say("my cat is Tom")
    await talk.say("not now")  # to the breed question
    await talk.say("beautiful weather")
    assert await talk.told() == ["my cat is Tom"]


async def test_changed_fact_is_named_as_a_change_and_can_be_undone(talk: Talk) -> None:
    await talk.say("/remember my dog is Buddy")
    reply = await talk.say("/remember my dog is Max")
    assert reply.text.startswith("Changed. Before: Your dog is Buddy. Now: Your dog is Max.")
    await talk.press("Undo")
    assert await talk.told() == ["my dog is Buddy"]


async def test_fact_said_in_passing_is_offered_and_stored_only_when_pressed(talk: Talk) -> None:
    reply = await talk.say("by the way I'm 25 now, what should I cook?")
    assert reply.text == "Shall I remember that? You're 25 now."
    assert await talk.told() == []
    assert talk.screen().texts[-2].startswith("base heard:")  # the answer came first
    assert (await talk.press("Remember that")).text == "Got it: You're 25 now."
    assert await talk.told() == ["I'm 25 now"]


async def test_offer_survives_a_restart_and_works_once(talk: Talk, tmp_path: Path, model: ModelServer) -> None:
    await talk.say("by the way I'm 25 now")
    action = talk.screen().last.buttons[0].action
    await talk.conversation.close()
    async with talking(tmp_path, model) as again:
        for _ in range(2):
            again.conversation.receive(again.incoming(button=action), again.screen())
        again.conversation.receive(again.incoming(button=action, key="restart:1"), again.screen())
        await again.conversation.idle()
        assert await again.told() == ["I'm 25 now"]
        assert again.screen().last.text == replies.GONE


async def test_offer_of_another_user_cannot_be_kept(talk: Talk) -> None:
    await talk.say("by the way I'm 25 now")
    action = talk.screen().last.buttons[0].action
    talk.conversation.receive(talk.incoming(button=action, who="eve"), talk.screen("eve"))
    await talk.conversation.idle()
    assert talk.screen("eve").last.text == replies.GONE
    assert await talk.told("eve") == []


async def test_known_fact_said_again_is_not_offered(talk: Talk) -> None:
    await talk.say("/remember my dog is Buddy")
    await talk.say("/status")
    reply = await talk.say("my dog is named Buddy, what should I feed him?")
    assert reply.text.startswith("base heard:")


async def test_changed_fact_said_in_passing_is_offered_as_a_change(talk: Talk) -> None:
    await talk.say("/remember I live in Oslo")
    await talk.say("/status")
    reply = await talk.say("I moved to Bergen last week. Any tips?")
    assert reply.text.startswith("So far I have: You live in Oslo. Shall I change that?")


async def test_text_file_is_read_line_by_line_and_summed_up(talk: Talk) -> None:
    text = await send_file(talk, "- my dog is Buddy\r\n\r\n2. I live in Zürich\nwhat time is it?\n".encode("utf-8-sig"))
    assert text.startswith("I understood 2 new facts in your file:\n- Your dog is Buddy.\n- You live in Zürich.")
    assert "Not understood, 1 line:\n- line 4: That is a question" in text
    assert await talk.told() == ["my dog is Buddy", "I live in Zürich"]


async def test_text_file_in_utf16_is_read(talk: Talk) -> None:
    await send_file(talk, "my dog is Buddy".encode("utf-16"))
    assert await talk.told() == ["my dog is Buddy"]


@pytest.mark.parametrize(
    ("content", "size", "answer"),
    [
        (b"my dog is \xff\xfe\x00", None, replies.FILE_NOT_TEXT),
        (b"my dog is Buddy\0", None, replies.FILE_NOT_TEXT),
        (b" \n\n", None, replies.FILE_EMPTY),
        (b"my dog is Buddy", MAX_FILE_BYTES + 1, "That file has 64 kB; I read text files of up to 64 kB."),
    ],
)
async def test_unreadable_file_gets_a_sentence_and_stores_nothing(
    talk: Talk, content: bytes, size: int | None, answer: str
) -> None:
    assert await send_file(talk, content, size=size) == answer
    assert await talk.told() == []


async def test_file_of_many_facts_is_undone_as_a_whole(talk: Talk) -> None:
    await talk.say("/remember my dog is Rex")
    await send_file(talk, b"my dog is Buddy\nmy cat is Tom\nI live in Oslo\nI am 25\nI love sushi\nmy boat is Ida")
    assert [button.label for button in talk.screen().last.buttons] == ["Undo all"]
    await talk.press("Undo all")
    assert await talk.told() == ["my dog is Rex"]


async def test_file_that_passes_the_limit_stores_nothing(tmp_path: Path, model: ModelServer) -> None:
    async with talking(tmp_path, model, max_facts=2) as talk:
        text = await send_file(talk, b"my dog is Buddy\nmy cat is Tom\nI live in Oslo")
        assert text == replies.TOO_MANY_FACTS.format(limit=2)
        assert await talk.told() == []


async def test_file_sent_without_the_command_is_not_read(talk: Talk) -> None:
    assert await send_file(talk, b"my dog is Buddy", text="") == replies.FILE_NOT_ASKED
    await talk.say("/remember")
    await send_file(talk, b"my dog is Buddy", text="")
    assert await talk.told() == ["my dog is Buddy"]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("a beagle", "a beagle"),
        ("He's a beagle!", "a beagle"),
        ("in Oslo", "Oslo"),
        ("3.", "3"),
        ("why do you ask?", None),
        ("what's the weather", None),
        ("thanks", None),
        ("I have no idea what you mean but let me tell you a story", None),
        ("👍", None),
    ],
)
def test_answers_are_told_from_other_messages(said: str, answer: str | None) -> None:
    assert answer_in(said) == answer
