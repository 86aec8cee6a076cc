"""A stand-in for Discord on loopback, with people who use it.

    async with DiscordServer() as server:
        ann = server.person("ann")
        await server.write(ann, "hello")                        # a private message
        await server.slash(ann, "remember", fact="my dog is Buddy")
        server.screen(ann)                                      # the messages that ann sees in the private chat

The API is in `discord_api.py`, the connection over which the bot hears of all this in `discord_gateway.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from tests.bot import discord_objects as objects
from tests.bot.discord_api import DiscordApi, Interaction
from tests.bot.discord_gateway import DIRECT_MESSAGES, GUILD_MESSAGES, MESSAGE_CONTENT
from tests.bot.discord_objects import Json, snowflake

BOT_DM, IN_GUILD = 1, 0


class DiscordServer(DiscordApi):
    async def write(
        self,
        person: Json,
        text: str,
        files: Sequence[tuple[str, bytes]] = (),
        *,
        again: bool = False,
        seconds_ago: float = 0.0,
    ) -> str:
        """A private message; the bot hears of it if it is connected. `again`: the event comes twice."""
        attachments = [self._upload(name, content) for name, content in files]
        message = objects.message(self.private(person), person, text, attachments=attachments)
        message["id"] = snowflake(seconds_ago)
        self.messages[message["id"]] = message
        self._described("MessageResponse", message)
        for _ in range(2 if again else 1):
            await self._dispatch(DIRECT_MESSAGES, "MESSAGE_CREATE", {**message, "channel_type": 1})
        return str(message["id"])

    async def say_in_server(self, person: Json, text: str) -> str:
        """A message in the server's channel; "@Hippo" is the mention of the bot."""
        mentions = [self.bot] if "@Hippo" in text else []
        message = objects.message(
            self.channel_id, person, text.replace("@Hippo", f"<@{self.bot['id']}>"), mentions=mentions
        )
        self.messages[message["id"]] = message
        self._described("MessageResponse", message)
        seen = {**message, "guild_id": self.guild_id, "member": objects.member(), "channel_type": 0}
        if not mentions and not self.gateway.intents & MESSAGE_CONTENT:
            seen |= {"content": "", "attachments": [], "embeds": [], "components": []}
        await self._dispatch(GUILD_MESSAGES, "MESSAGE_CREATE", seen)
        return str(message["id"])

    async def slash(
        self, person: Json, name: str, *, in_server: bool = False, file: tuple[str, bytes] | None = None, **options: Any
    ) -> Interaction:
        """A slash command, as its registered options allow."""
        command = self.commands[name]
        types = {option["name"]: option["type"] for option in command["options"]}
        data: Json = {"id": command["id"], "name": name, "type": 1, "options": []}
        if file:
            held = self._upload(*file)
            options["file"] = held["id"]
            data["resolved"] = {"attachments": {held["id"]: held}}
        data["options"] = [{"name": key, "type": types[key], "value": value} for key, value in options.items()]
        return await self._interact(2, person, data, in_server=in_server)

    async def complete(self, person: Json, name: str, option: str, typed: str, *, in_server: bool = False) -> list[str]:
        """What is suggested while an option is typed."""
        command = self.commands[name]
        options = [{"name": option, "type": 3, "value": typed, "focused": True}]
        data = {"id": command["id"], "name": name, "type": 1, "options": options}
        interaction = await self._interact(4, person, data, in_server=in_server)
        await wait_for(lambda: interaction.kind is not None)
        return interaction.choices

    async def press(self, person: Json, message_id: str, label: str) -> Interaction:
        """A button under a message, as it is shown now."""
        message = self.messages[message_id]
        custom_id = next(
            button["custom_id"]
            for row in message["components"]
            for button in row["components"]
            if button["label"] == label
        )
        data = {"custom_id": custom_id, "component_type": 2, "id": 1}
        return await self._interact(
            3, person, data, in_server=message["channel_id"] == self.channel_id, message=message
        )

    def delete(self, message_id: str) -> None:
        del self.messages[message_id]

    def screen(self, person: Json) -> list[Json]:
        """What a person sees of the bot in the private chat."""
        return self._from_bot(self.private(person), person)

    def server_screen(self, person: Json) -> list[Json]:
        """What a person sees of the bot in the server's channel."""
        return self._from_bot(self.channel_id, person)

    async def _interact(
        self, kind: int, person: Json, data: Json, *, in_server: bool, message: Json | None = None
    ) -> Interaction:
        token = f"token{snowflake()}"
        private = {"user": person, "context": BOT_DM, "channel_id": self.private(person)}
        shared = {
            "member": {**objects.member(), "user": person},
            "guild_id": self.guild_id,
            "guild": {"id": self.guild_id, "locale": "en-US", "features": []},
            "guild_locale": "en-US",
            "context": IN_GUILD,
            "channel_id": self.channel_id,
        }
        place = shared if in_server else private
        body = {
            **{"id": snowflake(), "application_id": self.application_id, "type": kind, "token": token, "version": 1},
            **{"data": data, "app_permissions": "0", "locale": "en-US", "entitlements": [], "attachment_size_limit": 1},
            **{"authorizing_integration_owners": {"0": self.guild_id if in_server else "0"}},
            "channel": {"id": place["channel_id"], "type": 0 if in_server else 1, "name": "general", "flags": 0},
            **place,
        }
        if message:
            body["message"] = message
        interaction = Interaction(body, person, time.monotonic())
        self.interactions[token] = interaction
        await self.gateway.dispatch("INTERACTION_CREATE", body)
        return interaction

    def _from_bot(self, channel: str, person: Json) -> list[Json]:
        return [
            message
            for message in self.messages.values()
            if message["channel_id"] == channel
            and message["author"]["id"] == self.bot["id"]
            and self._only_for.get(message["id"], person["id"]) == person["id"]
        ]

    async def _dispatch(self, intent: int, event: str, data: Json) -> None:
        if self.gateway.intents & intent:
            await self.gateway.dispatch(event, data)


async def wait_for(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
