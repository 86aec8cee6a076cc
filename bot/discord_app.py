"""Hippo on Discord: which updates are for the bot, and the connection's life from the first log-in to a clean stop.

Private chats are taken whole; in servers the bot answers a mention or a slash command (which the speaker alone sees).
No privileged intent is needed: Discord sends the text of private messages and of mentions to every bot.
Reconnecting and resuming are discord.py's. After a new session, private chats are read from where they were left, so
messages written meanwhile are answered too. Not covered: what is answered (`conversation.py`); a person's very first
private message if it is written while the bot is away, which Discord gives no way to find.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from typing import Any

import discord
from discord import app_commands

from bot.access import Speaker, Verdict, verdict
from bot.conversation import Conversation
from bot.discord_commands import slash_commands
from bot.discord_surface import BUTTON_PREFIX, ChannelSurface, InteractionSurface, patiently
from bot.errors import CannotStart
from bot.memory.records import Place
from bot.settings import BotSettings
from bot.surface import Attachment, Audience, Incoming, Surface, Undelivered

log = logging.getLogger(__name__)

PLATFORM = "discord"
TOKEN_REFUSED = (
    "Discord refuses the token in BOT_DISCORD_TOKEN. Copy the token anew from the developer portal "
    "(your application → Bot → Reset Token) into .env and start again; docs/discord.md shows where."
)
UNREACHABLE = (
    "Discord cannot be reached. Is this machine online, and does a firewall let it reach discord.com? ({reason})"
)
INTENTS_REFUSED = "Discord refuses the bot's intents, though none that it asks for needs a permission ({reason})."
AUTHENTICATION_FAILED = 4004  # https://discord.com/developers/docs/topics/opcodes-and-status-codes
SUGGESTIONS = 25
INTENTS = discord.Intents(guilds=True, guild_messages=True, dm_messages=True)  # none of them privileged
READ = (discord.MessageType.default, discord.MessageType.reply)

Interaction = discord.Interaction[discord.Client]


async def run(settings: BotSettings, conversation: Conversation, stop: asyncio.Event) -> None:
    """Answers on Discord until `stop` is set, then finishes the replies in hand (`conversation.close`) and leaves.

    `conversation` is entered already and shared with the other platforms; `settings.discord_token` is set.

    Raises:
        CannotStart: Discord cannot be reached or refuses the token, at the start or later on.
    """
    assert settings.discord_token is not None
    logging.getLogger("discord").setLevel(logging.INFO)  # below that it logs what people write
    client = DiscordApp(settings, conversation)
    try:
        await _log_in(client, settings.discord_token.get_secret_value())
        connection = asyncio.create_task(client.connect(), name="discord gateway")
        stopping = asyncio.create_task(stop.wait(), name="discord stop")
        try:
            await asyncio.wait({connection, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                await conversation.close()
        finally:
            stopping.cancel()
            await client.close()
            await asyncio.wait({connection})
        await _ended(connection)
    finally:
        await client.close()


async def _log_in(client: discord.Client, token: str) -> None:
    try:
        await client.login(token)
    except discord.LoginFailure as error:
        raise CannotStart(TOKEN_REFUSED) from error
    except (discord.HTTPException, Undelivered, OSError) as error:
        raise CannotStart(UNREACHABLE.format(reason=type(error).__name__)) from error


async def _ended(connection: asyncio.Task[None]) -> None:
    try:
        await connection
    except discord.PrivilegedIntentsRequired as error:
        raise CannotStart(INTENTS_REFUSED.format(reason=error)) from error
    except discord.ConnectionClosed as error:
        if error.code == AUTHENTICATION_FAILED:
            raise CannotStart(TOKEN_REFUSED) from error
        raise CannotStart(UNREACHABLE.format(reason=f"close code {error.code}")) from error


class DiscordApp(discord.Client):
    """The client; as `Platform` it opens private chats and fetches files for the core."""

    name = PLATFORM

    def __init__(self, settings: BotSettings, conversation: Conversation) -> None:
        super().__init__(
            intents=INTENTS,
            allowed_mentions=discord.AllowedMentions.none(),
            max_messages=None,
            chunk_guilds_at_startup=False,
            member_cache_flags=discord.MemberCacheFlags.none(),
        )
        self._conversation = conversation
        self._settings = settings
        self._attached = False
        self._taking_in = asyncio.Lock()
        self._catching_up: asyncio.Task[None] | None = None
        self.tree = app_commands.CommandTree(self)
        for command in slash_commands(self._on_command, self._suggest):
            self.tree.add_command(command)

    async def setup_hook(self) -> None:
        """After the log-in, before the gateway: the command menu, which Discord keeps."""
        commands = await patiently(self.tree.sync)
        log.info("%d commands registered", len(commands))

    async def close(self) -> None:
        if self._catching_up:
            self._catching_up.cancel()
        await super().close()

    def surface(self, place: str) -> Surface:
        return ChannelSurface(self, place)

    async def fetch(self, ref: str) -> bytes:
        try:
            return await patiently(lambda: self.http.get_from_cdn(ref))
        except discord.HTTPException as error:
            raise Undelivered(f"the file cannot be fetched ({error.status})") from error

    async def on_connect(self) -> None:
        """A new session: what was written since the last one is read. (A resumed session replays it by itself.)"""
        places = self._conversation.places(PLATFORM)  # as they were left: nothing new has been handled yet
        if not self._attached:
            self._attached = True
            self._conversation.attach(self)
        if self._catching_up:
            self._catching_up.cancel()
        self._catching_up = asyncio.create_task(self._catch_up(places), name="discord catch-up")

    async def on_message(self, message: discord.Message) -> None:
        incoming = self._incoming(message)
        if incoming is None:
            return
        place = str(message.channel.id)
        in_group = incoming.audience is Audience.GROUP
        await self._take_in(incoming, ChannelSurface(self, place, message if in_group else None))

    async def on_interaction(self, interaction: Interaction) -> None:
        """Pressed buttons; slash commands go through the tree."""
        data: Mapping[str, Any] = interaction.data or {}
        custom_id = str(data.get("custom_id", ""))
        if interaction.type is discord.InteractionType.component and custom_id.startswith(BUTTON_PREFIX):
            await self._receive(interaction, button=custom_id.removeprefix(BUTTON_PREFIX))

    async def _on_command(
        self, interaction: Interaction, name: str, text: str = "", file: discord.Attachment | None = None
    ) -> None:
        await self._receive(interaction, command=name, text=text, attachment=_attachment(file) if file else None)

    async def _take_in(self, incoming: Incoming, surface: Surface) -> bool:
        """In the order they came, one each turn of the loop: a burst of them leaves room for replies under way."""
        async with self._taking_in:
            taken = self._conversation.receive(incoming, surface)
            await asyncio.sleep(0)
        return taken

    async def _receive(
        self,
        interaction: Interaction,
        *,
        command: str = "",
        text: str = "",
        button: str = "",
        attachment: Attachment | None = None,
    ) -> None:
        """In the private chat everything is open; elsewhere the speaker alone sees the answer."""
        private = interaction.context.dm_channel and interaction.channel_id is not None
        chat = str(interaction.channel_id) if private else f"user:{interaction.user.id}"
        incoming = Incoming(
            speaker=Speaker(PLATFORM, str(interaction.user.id)),
            key=f"{PLATFORM}:i:{interaction.id}",
            audience=Audience.DIRECT if private else Audience.DISCREET,
            text=text,
            command=command,
            button=button,
            attachment=attachment,
            place=chat if private else f"{chat}/{interaction.id}/{interaction.token}",
            cursor=str(interaction.id) if private else "",
            written=interaction.created_at.timestamp(),
        )
        surface = InteractionSurface(interaction, discreet=not private, fallback=ChannelSurface(self, chat))
        if not await self._take_in(incoming, surface):  # the surface is made first: its three seconds have begun
            surface.ignore()

    def _incoming(self, message: discord.Message) -> Incoming | None:
        """None: the message is not for the bot."""
        if message.author.bot or message.type not in READ or self.user is None:
            return None
        private = isinstance(message.channel, discord.DMChannel) or message.guild is None
        if not private and self.user not in message.mentions:
            return None
        texts = [file for file in message.attachments if file.filename.lower().endswith(".txt")]
        return Incoming(
            speaker=Speaker(PLATFORM, str(message.author.id)),
            key=f"{PLATFORM}:m:{message.id}",
            audience=Audience.DIRECT if private else Audience.GROUP,
            text=re.sub(rf"<@!?{self.user.id}>", "", message.content).strip(),
            attachment=_attachment(texts[0]) if texts else None,
            place=str(message.channel.id),
            cursor=str(message.id) if private else "",
            written=message.created_at.timestamp(),
        )

    def _suggest(self, interaction: Interaction, typed: str) -> list[str]:
        """A person's own facts, shown to them alone while they type."""
        speaker = Speaker(PLATFORM, str(interaction.user.id))
        if verdict(self._settings, speaker) is not Verdict.ADMITTED:
            return []
        return self._conversation.commands.matching(speaker, typed, SUGGESTIONS)

    async def _catch_up(self, places: list[Place]) -> None:
        """Hands in what was written in the private chats since each was last read; one chat after the other."""
        for place in places:
            if not place.cursor:
                continue
            channel = self.get_partial_messageable(int(place.place), type=discord.ChannelType.private)
            after = discord.Object(int(place.cursor))
            try:
                async for message in channel.history(after=after, oldest_first=True, limit=None):
                    await self.on_message(message)
            except (discord.HTTPException, OSError) as error:
                log.warning("a private chat could not be read again (%s)", type(error).__name__)


def _attachment(file: discord.Attachment) -> Attachment:
    return Attachment(file.filename, file.size, file.url)
