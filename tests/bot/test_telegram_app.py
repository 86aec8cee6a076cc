"""Everything a person can do on Telegram, through the real client library against the stand-in server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot.access import Speaker
from bot.commands import COMMANDS
from tests.bot.model_server import ModelServer
from tests.bot.on_telegram import OnTelegram, on_telegram
from tests.bot.telegram_person import Person
from tests.bot.telegram_server import TelegramServer


def labels(message: dict[str, object]) -> list[str]:
    rows = message.get("reply_markup", {}).get("inline_keyboard", [])  # type: ignore[attr-defined]
    return [button["text"] for row in rows for button in row]


async def test_menus_are_set_at_start_for_private_chats_groups_and_admins(telegram_bot: OnTelegram) -> None:
    menus = {scope: [command["command"] for command in menu] for scope, menu in telegram_bot.server.commands.items()}
    everyone = [command.name for command in COMMANDS if not command.admin]
    assert menus["all_private_chats"] == everyone
    assert menus["all_group_chats"] == ["start", "help", "privacy"]
    assert menus["chat"] == [*everyone, "cost"]
    assert [call.form["scope"] for call in telegram_bot.server.calls_of("setMyCommands")][
        -1
    ] == '{"chat_id": 99, "type": "chat"}'


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
async def test_every_command_is_answered(telegram_bot: OnTelegram, ann: Person, command: str) -> None:
    reply = await telegram_bot.reply_to(ann, f"/{command}")
    assert reply.get("text") or reply.get("caption")
    assert "don't know the command" not in str(reply)


async def test_remember_says_what_it_understood_and_asks_one_question(telegram_bot: OnTelegram, ann: Person) -> None:
    reply = await telegram_bot.reply_to(ann, "/remember my dog is Buddy")
    assert reply["text"] == "Got it: Your dog is Buddy.\nWhat breed is Buddy?"
    assert labels(reply) == ["Undo"]
    assert (await telegram_bot.reply_to(ann, "a beagle"))["text"].startswith("Got it: ")
    assert telegram_bot.told(ann) == ["my dog is Buddy", "my dog's breed is a beagle"]


async def test_remember_without_text_asks_for_it(telegram_bot: OnTelegram, ann: Person) -> None:
    reply = await telegram_bot.reply_to(ann, "/remember")
    assert "What should I remember?" in reply["text"]
    await telegram_bot.reply_to(ann, "my cat is Mia")
    assert telegram_bot.told(ann) == ["my cat is Mia"]


async def test_command_with_the_bots_name_is_the_same_in_private(telegram_bot: OnTelegram, ann: Person) -> None:
    await telegram_bot.reply_to(ann, "/remember@hippo_test_bot my cat is Mia")
    assert telegram_bot.told(ann) == ["my cat is Mia"]


async def test_undo_button_takes_back_and_its_message_says_so(telegram_bot: OnTelegram, ann: Person) -> None:
    told = await telegram_bot.reply_to(ann, "/remember my dog is Buddy")
    after = await telegram_bot.press(ann, told, "Undo")
    assert (after["message_id"], after["text"]) == (told["message_id"], "Taken back.")
    assert labels(after) == []
    assert telegram_bot.told(ann) == []
    await telegram_bot.server.until(
        lambda: not telegram_bot.server.open_queries
    )  # the pressed button's waiting sign has ended


async def test_changed_fact_is_named_as_a_change(telegram_bot: OnTelegram, ann: Person) -> None:
    await telegram_bot.reply_to(ann, "/remember my dog is Buddy")
    reply = await telegram_bot.reply_to(ann, "/remember my dog is Max")
    assert "Before: Your dog is Buddy." in reply["text"]
    assert telegram_bot.told(ann) == ["my dog is Max"]


async def test_fact_said_in_passing_is_offered_and_stored_only_when_pressed(
    telegram_bot: OnTelegram, ann: Person
) -> None:
    offer = await telegram_bot.reply_to(ann, "by the way I'm 25 now, what should I cook?")
    assert telegram_bot.told(ann) == []
    assert labels(offer) == ["Remember that", "No"]
    after = await telegram_bot.press(ann, offer, "Remember that")
    assert after["message_id"] == offer["message_id"]
    assert len(telegram_bot.told(ann)) == 1


async def test_facts_are_paged_in_one_message(telegram_bot: OnTelegram, ann: Person) -> None:
    fruits = ("apples", "pears", "plums", "figs", "dates", "limes", "lemons", "mangos", "melons", "grapes", "kiwis")
    feelings = ("like", "grow", "sell")
    content = "\n".join(f"I {feel} {fruit}" for feel in feelings for fruit in fruits)
    await telegram_bot.handled(ann.send_file("facts.txt", content.encode(), "/remember"))
    page = await telegram_bot.reply_to(ann, "/facts")
    assert "(1 to 20)" in page["text"]
    second = await telegram_bot.press(ann, page, "Later")
    assert second["message_id"] == page["message_id"]
    assert "(21 to 33)" in second["text"]
    assert labels(second) == ["Earlier"]


async def test_text_file_of_facts_is_summed_up(telegram_bot: OnTelegram, ann: Person) -> None:
    content = b"my dog is Buddy\n\n- I live in Lyon\nhaha ok\n"
    await telegram_bot.handled(ann.send_file("facts.txt", content, "/remember"))
    assert "I understood 2 new facts" in ann.texts[-1]
    assert "line 4" in ann.texts[-1]
    assert telegram_bot.told(ann) == ["my dog is Buddy", "I live in Lyon"]


async def test_text_file_is_taken_after_remember_asked_for_it(telegram_bot: OnTelegram, ann: Person) -> None:
    await telegram_bot.reply_to(ann, "/remember")
    await telegram_bot.handled(ann.send_file("facts.txt", b"my dog is Buddy\n"))
    assert telegram_bot.told(ann) == ["my dog is Buddy"]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"\x00\x01\xff", "can't read that file"), (b"x" * 70_000, "kB"), (b"", "nothing in that file")],
)
async def test_file_that_cannot_be_read_gets_a_sentence(
    telegram_bot: OnTelegram, ann: Person, content: bytes, said: str
) -> None:
    await telegram_bot.handled(ann.send_file("facts.txt", content, "/remember"))
    assert said in ann.texts[-1]
    assert telegram_bot.told(ann) == []


async def test_file_that_telegram_does_not_give_out_gets_a_sentence(telegram_bot: OnTelegram, ann: Person) -> None:
    telegram_bot.server.fail("getFile", status=400, description="Bad Request: file is temporarily unavailable")
    await telegram_bot.handled(ann.send_file("facts.txt", b"my dog is Buddy\n", "/remember"))
    assert "could not fetch that file" in ann.texts[-1]


async def test_export_sends_a_file_with_everything(telegram_bot: OnTelegram, ann: Person) -> None:
    await telegram_bot.reply_to(ann, "/remember my dog is Buddy")
    message = await telegram_bot.reply_to(ann, "/export")
    name, content = telegram_bot.server.files[message["document"]["file_id"]]
    assert name.endswith(".json")
    assert [fact["text"] for fact in json.loads(content)["facts"]] == ["my dog is Buddy"]


async def test_everything_is_deleted_after_one_confirmation(telegram_bot: OnTelegram, ann: Person) -> None:
    await telegram_bot.reply_to(ann, "/remember my dog is Buddy")
    question = await telegram_bot.reply_to(ann, "/delete_me")
    assert telegram_bot.told(ann) == ["my dog is Buddy"]
    after = await telegram_bot.press(ann, question, "Delete everything")
    assert after["message_id"] == question["message_id"]
    assert telegram_bot.told(ann) == []


async def test_buttons_of_another_do_nothing(
    telegram_bot: OnTelegram, ann: Person, telegram_server: TelegramServer
) -> None:
    told = await telegram_bot.reply_to(ann, "/remember my dog is Buddy")
    ben = telegram_server.person(12, "Ben")
    await telegram_bot.handled(ben.press(told, "Undo"))
    assert telegram_bot.told(ann) == ["my dog is Buddy"]


async def test_accounts_of_two_platforms_become_one(telegram_bot: OnTelegram, ann: Person) -> None:
    there = Speaker("discord", "77")
    await telegram_bot.conversation.commands.handle(there, "remember", "my dog is Buddy")
    code = (await telegram_bot.conversation.commands.handle(there, "link")).text.split()[2]
    reply = await telegram_bot.reply_to(ann, f"/link {code}")
    assert "Discord and Telegram are one account now" in reply["text"]
    assert telegram_bot.told(ann) == ["my dog is Buddy"]


@pytest.mark.parametrize("what", ["sticker", "photo"])
async def test_message_without_text_gets_a_sentence(telegram_bot: OnTelegram, ann: Person, what: str) -> None:
    size = {"file_id": "x", "file_unique_id": "x", "width": 1, "height": 1}
    sticker = size | {"type": "regular", "is_animated": False, "is_video": False}
    message = ann.message() | ({"sticker": sticker} if what == "sticker" else {"photo": [size]})
    await telegram_bot.handled(telegram_bot.server.add_update({"message": message}))
    assert "no text in it" in ann.texts[-1]


async def test_notes_of_telegrams_own_are_not_answered(telegram_bot: OnTelegram, ann: Person) -> None:
    await telegram_bot.handled(telegram_bot.server.add_update({"message": ann.message() | {"delete_chat_photo": True}}))
    assert ann.shown == []


async def test_stranger_on_a_private_bot_is_told_how_to_get_in(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person
) -> None:
    async with on_telegram(tmp_path, telegram_server, model, allowed="telegram:12") as telegram_bot:
        assert "telegram:11" in (await telegram_bot.reply_to(ann, "/remember my dog is Buddy"))["text"]
        assert (
            "Got it"
            in (await telegram_bot.reply_to(telegram_server.person(12, "Ben"), "/remember my dog is Buddy"))["text"]
        )


async def test_blocked_person_is_ignored(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person
) -> None:
    async with on_telegram(tmp_path, telegram_server, model, blocked="telegram:11") as telegram_bot:
        await telegram_bot.handled(ann.say("/start"))
    assert [call.method for call in telegram_server.calls if call.chat_id == 11] == []


async def test_person_who_writes_too_fast_is_told_once(
    tmp_path: Path, telegram_server: TelegramServer, model: ModelServer, ann: Person
) -> None:
    async with on_telegram(tmp_path, telegram_server, model, messages_per_minute=2) as telegram_bot:
        for number in range(5):
            await telegram_bot.handled(ann.say(f"hello {number}"))
        await telegram_bot.conversation.idle()
    assert len(ann.shown) == 3
    assert "2 messages a minute is my limit" in ann.texts[-1]
