"""A Telegram update → what the core takes in, or None where it is not meant for the bot. Pure: no calls, no state.

In groups the bot is meant by "/command@its_name", by a mention of its name, and by a reply to one of its messages.
Not covered: edited messages (the first wording counts), channels, inline mode.
"""

from __future__ import annotations

from telegram import CallbackQuery, Message, MessageEntity, Update, User

from bot.commands import Speaker
from bot.surface import Attachment, Audience, Incoming

PLATFORM = "telegram"


def incoming(update: Update, me: User) -> Incoming | None:
    """`me`: the bot's own account."""
    key = f"{PLATFORM}:{me.id}:{update.update_id}"
    if update.callback_query:
        return _pressed(update.callback_query, key)
    if update.message:
        return _written(update.message, me, key)
    return None


def in_private(message: Message) -> bool:
    return message.chat.type == message.chat.PRIVATE


def place_of(place: str) -> tuple[int, int | None, int | None]:
    """(chat, message to refer to, topic) of an `Incoming.place`: "11" in private, "-100/7/3" in a group."""
    chat_id, *more = (int(part) if part else None for part in place.split("/"))
    assert chat_id is not None
    answering, thread = more or (None, None)
    return chat_id, answering, thread


def _place(message: Message) -> str:
    if in_private(message):
        return str(message.chat.id)
    thread = message.message_thread_id if message.is_topic_message else None
    return f"{message.chat.id}/{message.message_id}/{thread or ''}"


def _pressed(query: CallbackQuery, key: str) -> Incoming | None:
    if query.data is None or query.message is None:
        return None
    chat = query.message.chat
    private = chat.type == chat.PRIVATE
    return Incoming(
        speaker=Speaker(PLATFORM, str(query.from_user.id)),
        key=key,
        audience=Audience.DIRECT if private else Audience.GROUP,
        button=query.data,
        place=str(chat.id) if private else f"{chat.id}//",
    )


def _written(message: Message, me: User, key: str) -> Incoming | None:
    if message.from_user is None or message.from_user.is_bot:
        return None
    if message.text is None and message.effective_attachment is None:
        return None  # a note of Telegram's own: somebody joined, a message was pinned
    private = in_private(message)
    command, text = _command(message, me)
    if not private:
        mentioned = _without_mention(message, me)
        if not command and mentioned is None and not _answers_me(message, me):
            return None
        text = text if mentioned is None or command else mentioned
    document = message.document
    return Incoming(
        speaker=Speaker(PLATFORM, str(message.from_user.id)),
        key=key,
        audience=Audience.DIRECT if private else Audience.GROUP,
        text=text,
        command=command,
        attachment=Attachment(document.file_name or "", document.file_size or 0, document.file_id)
        if document
        else None,
        place=_place(message),
        written=message.date.timestamp(),
    )


def _command(message: Message, me: User) -> tuple[str, str]:
    """(command, the text after it); the command is "" where there is none, or where it is another bot's.

    In a group a command without a name is everybody's, so it is not taken for this bot's.
    """
    text = message.text or message.caption or ""
    entities = message.entities or message.caption_entities
    if not entities or entities[0].type != MessageEntity.BOT_COMMAND or entities[0].offset:
        return "", text
    word, rest = text[: entities[0].length], text[entities[0].length :]
    command, _, name = word.removeprefix("/").partition("@")
    meant = name.casefold() == (me.username or "").casefold() if name else in_private(message)
    return (command, rest.strip()) if meant else ("", text)


def _without_mention(message: Message, me: User) -> str | None:
    """The text without the bot's name in it; None where it is not mentioned."""
    kinds: list[str | None] = [MessageEntity.MENTION]
    mentions = message.parse_entities(kinds) or message.parse_caption_entities(kinds)
    mine = [word for word in mentions.values() if word.casefold() == f"@{me.username}".casefold()]
    if not mine:
        return None
    return (message.text or message.caption or "").replace(mine[0], "").replace("  ", " ").strip()


def _answers_me(message: Message, me: User) -> bool:
    answered = message.reply_to_message
    return answered is not None and answered.from_user is not None and answered.from_user.id == me.id
