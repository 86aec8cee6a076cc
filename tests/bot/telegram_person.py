"""Somebody who uses the bot on the stand-in for Telegram: writes, sends files, presses buttons, sees replies."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.bot import telegram_html

if TYPE_CHECKING:
    from tests.bot.telegram_server import TelegramServer

ENTITY = re.compile(r"(?<!\S)(/[a-z0-9_]+(?:@\w+)?)|(?<!\w)(@\w+)", re.IGNORECASE)


@dataclass
class Person:
    """Somebody with a private chat with the bot; `shown` is what the bot has there, as it looks now."""

    server: TelegramServer
    id: int
    first_name: str

    @property
    def user(self) -> dict[str, Any]:
        return {"id": self.id, "is_bot": False, "first_name": self.first_name, "language_code": "en"}

    @property
    def chat(self) -> dict[str, Any]:
        return {"id": self.id, "type": "private", "first_name": self.first_name}

    @property
    def shown(self) -> list[dict[str, Any]]:
        return self.server.shown(self.id)

    @property
    def texts(self) -> list[str]:
        return [message.get("text") or message.get("caption", "") for message in self.shown]

    def say(
        self,
        text: str,
        chat: dict[str, Any] | None = None,
        reply_to: dict[str, Any] | None = None,
        seconds_ago: int = 0,
    ) -> int:
        """Sends a message, here or to a group; returns its update's id."""
        message = self.message(chat) | {"text": text, "entities": list(_entities_typed(text))}
        message["date"] -= seconds_ago
        if reply_to:
            message["reply_to_message"] = reply_to
        return self.server.add_update({"message": message})

    def send_file(self, name: str, content: bytes, caption: str = "") -> int:
        document = self.server.keep_file(name, content)
        caption_fields = {"caption": caption, "caption_entities": list(_entities_typed(caption))} if caption else {}
        return self.server.add_update({"message": self.message() | {"document": document} | caption_fields})

    def press(self, message: dict[str, Any], label: str) -> int:
        """Presses a button under a message of the bot's."""
        rows = message["reply_markup"]["inline_keyboard"]
        data = next(button["callback_data"] for row in rows for button in row if button["text"] == label)
        query_id = str(next(self.server.ids))
        self.server.open_queries.add(query_id)
        query = {"id": query_id, "from": self.user, "message": message, "chat_instance": "1", "data": data}
        return self.server.add_update({"callback_query": query})

    def message(self, chat: dict[str, Any] | None = None) -> dict[str, Any]:
        return {
            "message_id": next(self.server.ids),
            "date": int(time.time()),
            "from": self.user,
            "chat": chat or self.chat,
        }


def _entities_typed(text: str) -> Iterator[dict[str, Any]]:
    """Commands and mentions, which Telegram marks in what people type."""
    for found in ENTITY.finditer(text):
        start = telegram_html.utf16_length(text[: found.start()])
        kind = "bot_command" if found[1] else "mention"
        yield {"type": kind, "offset": start, "length": telegram_html.utf16_length(found[0])}
