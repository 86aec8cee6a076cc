"""The slash commands: names and descriptions of `commands.COMMANDS`, typed options, autocompletion for /forget.

    tree.add_command(command) for command in slash_commands(on_command, suggest)

Installable to a server and to a person; usable in servers, in the bot's private chat and in other private chats.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import discord
from discord import app_commands

from bot.commands import COMMANDS, Command
from bot.facts import MAX_FACT_CHARS
from bot.memory.links import CODE_CHARS

Interaction = discord.Interaction[discord.Client]
Suggest = Callable[[Interaction, str], Sequence[str]]
SlashCommand = app_commands.Command[app_commands.Group, ..., None]

CHOICE_CHARS = 100  # https://discord.com/developers/docs/interactions/application-commands
DESCRIPTION_CHARS = 100
INSTALLS = app_commands.AppInstallationType(guild=True, user=True)
CONTEXTS = app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True)


class OnCommand(Protocol):
    async def __call__(
        self, interaction: Interaction, name: str, text: str = "", file: discord.Attachment | None = None
    ) -> None: ...


def slash_commands(on_command: OnCommand, suggest: Suggest) -> list[SlashCommand]:
    """All commands; each calls `on_command`. `suggest`: facts that hold what was typed so far."""

    async def remember(
        interaction: Interaction,
        fact: app_commands.Range[str, 1, MAX_FACT_CHARS] | None = None,
        file: discord.Attachment | None = None,
    ) -> None:
        await on_command(interaction, "remember", fact or "", file)

    async def forget(interaction: Interaction, fact: app_commands.Range[str, 1, MAX_FACT_CHARS]) -> None:
        await on_command(interaction, "forget", fact)

    async def facts(interaction: Interaction, page: app_commands.Range[int, 1, 1000] = 1) -> None:
        await on_command(interaction, "facts", str(page))

    async def link(
        interaction: Interaction, code: app_commands.Range[str, CODE_CHARS, 2 * CODE_CHARS] | None = None
    ) -> None:
        await on_command(interaction, "link", code or "")

    def plain(name: str) -> Callable[[Interaction], Coroutine[Any, Any, None]]:
        async def run(interaction: Interaction) -> None:
            await on_command(interaction, name)

        return run

    async def complete(interaction: Interaction, current: str) -> list[app_commands.Choice[str]]:
        return [app_commands.Choice(name=text, value=text) for text in map(_choice, suggest(interaction, current))]

    options = {
        "remember": {"fact": "for example: my dog is Buddy", "file": "a text file with a fact on each line"},
        "forget": {"fact": "its number in /facts, or words from it"},
        "facts": {"page": "which page of them"},
        "link": {"code": "the code that your other account was given; leave it out to get one"},
    }
    callbacks: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
        "remember": remember,
        "forget": forget,
        "facts": facts,
        "link": link,
    }
    made = []
    for command in COMMANDS:
        callback = callbacks.get(command.name) or plain(command.name)
        described = options.get(command.name, {})
        slash: SlashCommand = app_commands.Command(
            name=command.name,
            description=_description(command),
            callback=app_commands.describe(**described)(callback) if described else callback,
            allowed_installs=INSTALLS,
            allowed_contexts=CONTEXTS,
        )
        if command.name == "forget":
            slash.autocomplete("fact")(complete)
        made.append(slash)
    return made


def _description(command: Command) -> str:
    return command.description[:1].upper() + command.description[1:DESCRIPTION_CHARS]


def _choice(text: str) -> str:
    """A fact as a choice; a long one is cut at a word, and its words still find it."""
    if len(text) <= CHOICE_CHARS:
        return text
    return text[:CHOICE_CHARS].rsplit(" ", 1)[0]
