"""The chats of the stand-in for Telegram: what the methods of the Bot API do to them, and when they refuse.

Not covered: HTTP, updates and faults (`telegram_server.py`).
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from tests.bot import telegram_html
from tests.bot.telegram_contract import Upload

TEXT_LIMIT = 4096
CALLBACK_DATA_LIMIT_BYTES = 64

Message = dict[str, Any]
Form = dict[str, Any]  # a call's parameters, read from the form
Method = Callable[[Form], Any | Awaitable[Any]]


class Refused(Exception):
    """The API's own refusal."""

    def __init__(self, status: int, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.description = description


class Chats:
    """Messages by chat as they look now, and what else the bot has set."""

    def __init__(self, username: str) -> None:
        self.me: dict[str, Any] = {"id": 123456, "is_bot": True, "first_name": "Hippo", "username": username}
        self.ids = count(1000)
        self.chats: dict[int, dict[int, Message]] = defaultdict(dict)
        self.drafts: dict[int, list[str]] = defaultdict(list)  # every state of every draft of a chat
        self.commands: dict[str, list[dict[str, str]]] = {}  # by scope
        self.open_queries: set[str] = set()
        self.alerts: list[str] = []  # what answers to pressed buttons said
        self.blocked: set[int] = set()
        self.files: dict[str, tuple[str, bytes]] = {}
        self.methods: dict[str, Method] = {
            "getMe": self._get_me,
            "setMyCommands": self._set_my_commands,
            "sendMessage": self._send_message,
            "sendMessageDraft": self._send_message_draft,
            "sendDocument": self._send_document,
            "sendChatAction": self._send_chat_action,
            "editMessageText": self._edit_message_text,
            "editMessageReplyMarkup": self._edit_message_reply_markup,
            "deleteMessage": self._delete_message,
            "answerCallbackQuery": self._answer_callback_query,
            "getFile": self._get_file,
        }

    @staticmethod
    def group(chat_id: int = -100_500, title: str = "Friends") -> dict[str, Any]:
        return {"id": chat_id, "type": "supergroup", "title": title}

    def shown(self, chat_id: int) -> list[Message]:
        return list(self.chats[chat_id].values())

    def keep_file(self, name: str, content: bytes) -> dict[str, Any]:
        file_id = f"file{next(self.ids)}"
        self.files[file_id] = (name, content)
        return {"file_id": file_id, "file_unique_id": file_id, "file_name": name, "file_size": len(content)}

    def _get_me(self, _form: Form) -> dict[str, Any]:
        return self.me | {
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
        }

    def _set_my_commands(self, form: Form) -> bool:
        for command in form["commands"]:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", command["command"]):
                raise Refused(400, "Bad Request: BOT_COMMAND_INVALID")
            if not 1 <= len(command["description"]) <= 256:
                raise Refused(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands[form.get("scope", {"type": "default"})["type"]] = form["commands"]
        return True

    def _send_message(self, form: Form) -> dict[str, Any]:
        return self._show(form, self._checked_text(form))

    def _send_message_draft(self, form: Form) -> bool:
        self._may_write(form)
        if form["chat_id"] < 0:
            raise Refused(400, "Bad Request: TEXTDRAFT_PEER_INVALID")
        if form["draft_id"] == 0:
            raise Refused(400, "Bad Request: RANDOM_ID_INVALID")
        self.drafts[form["chat_id"]].append(self._checked_text(form, may_be_empty=True)["text"])
        return True

    def _send_document(self, form: Form) -> dict[str, Any]:
        upload: Upload = form["document"]
        caption = {"caption": form["caption"]} if form.get("caption") else {}
        return self._show(form, {"document": self.keep_file(upload.name, upload.content), **caption})

    def _send_chat_action(self, form: Form) -> bool:
        self._may_write(form)
        return True

    def _edit_message_text(self, form: Form) -> dict[str, Any]:
        before = self._found(form)
        after = before | self._checked_text(form)
        after.pop("reply_markup", None)
        after |= _markup(form)
        if all(before.get(name) == after.get(name) for name in ("text", "entities", "reply_markup")):
            raise Refused(
                400,
                "Bad Request: message is not modified: specified new message content and reply markup are exactly "
                "the same as a current content and reply markup of the message",
            )
        return self._put(form["chat_id"], after | {"edit_date": int(time.time())})

    def _edit_message_reply_markup(self, form: Form) -> dict[str, Any]:
        after = dict(self._found(form))
        after.pop("reply_markup", None)
        return self._put(form["chat_id"], after | _markup(form) | {"edit_date": int(time.time())})

    def _delete_message(self, form: Form) -> bool:
        if self.chats[form["chat_id"]].pop(form["message_id"], None) is None:
            raise Refused(400, "Bad Request: message to delete not found")
        return True

    def _answer_callback_query(self, form: Form) -> bool:
        if str(form["callback_query_id"]) not in self.open_queries:
            raise Refused(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        self.open_queries.discard(str(form["callback_query_id"]))
        if form.get("text"):
            self.alerts.append(str(form["text"]))
        return True

    def _get_file(self, form: Form) -> dict[str, Any]:
        if form["file_id"] not in self.files:
            raise Refused(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
        return {
            "file_id": form["file_id"],
            "file_unique_id": form["file_id"],
            "file_size": len(self.files[form["file_id"]][1]),
            "file_path": form["file_id"],
        }

    def _may_write(self, form: Form) -> None:
        if form["chat_id"] in self.blocked:
            raise Refused(403, "Forbidden: bot was blocked by the user")

    def _found(self, form: Form) -> dict[str, Any]:
        self._may_write(form)
        message = self.chats[form["chat_id"]].get(form["message_id"])
        if message is None:
            raise Refused(400, "Bad Request: message to edit not found")
        return message

    def _checked_text(self, form: Form, may_be_empty: bool = False) -> dict[str, Any]:
        """Text and entities as Telegram would store them, or its refusal."""
        source = str(form.get("text", ""))
        try:
            text, entities = telegram_html.parse(source) if form.get("parse_mode") == "HTML" else (source, [])
        except telegram_html.CannotParse as error:
            raise Refused(400, f"Bad Request: can't parse entities: {error}") from error
        if not text.strip() and not may_be_empty:
            raise Refused(400, "Bad Request: message text is empty")
        if telegram_html.utf16_length(text) > TEXT_LIMIT:
            raise Refused(400, "Bad Request: message is too long")
        return {"text": text.strip(), "entities": entities} if entities else {"text": text.strip()}

    def _show(self, form: Form, content: dict[str, Any]) -> dict[str, Any]:
        self._may_write(form)
        chat_id = form["chat_id"]
        chat = {"id": chat_id, "type": "private", "first_name": "Somebody"} if chat_id > 0 else self.group(chat_id)
        head = {"message_id": next(self.ids), "date": int(time.time()), "from": self.me, "chat": chat}
        return self._put(chat_id, head | content | _markup(form))

    def _put(self, chat_id: int, message: dict[str, Any]) -> dict[str, Any]:
        self.chats[chat_id][message["message_id"]] = message
        return message


def _markup(form: Form) -> dict[str, Any]:
    markup = form.get("reply_markup")
    if not markup or "inline_keyboard" not in markup or not markup["inline_keyboard"]:
        return {}
    for row in markup["inline_keyboard"]:
        for button in row:
            if not 1 <= len(button["callback_data"].encode()) <= CALLBACK_DATA_LIMIT_BYTES:
                raise Refused(400, "Bad Request: BUTTON_DATA_INVALID")
    return {"reply_markup": markup}
