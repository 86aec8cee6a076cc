"""Docs and code say the same: settings and .env.example, commands and README, make's targets, links."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from discord import Permissions
from pydantic_settings import BaseSettings

from bot.commands import COMMANDS
from bot.discord_app import INTENTS
from bot.settings import BotSettings
from serving.settings import ServingSettings
from tests.conftest import ROOT
from trainer.settings import TrainerSettings

SETTINGS: tuple[type[BaseSettings], ...] = (BotSettings, TrainerSettings, ServingSettings)
PAGES = ("README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))))
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLE = dict(
    re.findall(r"^# ([A-Z][A-Z_]+)=(\S*)", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE)
)
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def variables(settings: type[BaseSettings]) -> dict[str, str]:
    """Environment variable → field."""
    prefix = settings.model_config["env_prefix"]
    return {
        str(field.validation_alias or f"{prefix}{name}".upper()): name for name, field in settings.model_fields.items()
    }


def test_every_setting_is_in_the_example_and_every_one_of_the_example_is_a_setting() -> None:
    known = {name for settings in SETTINGS for name in variables(settings)}
    assert set(EXAMPLE) == known


@pytest.mark.parametrize("settings", SETTINGS)
def test_values_of_the_example_are_the_defaults(settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = settings()
    for variable in variables(settings):
        monkeypatch.setenv(variable, EXAMPLE[variable])
    assert settings() == defaults


def test_every_command_is_in_the_readme_and_every_command_of_the_readme_is_real() -> None:
    documented = set(re.findall(r"`/([a-z_]+)", README))
    assert documented == {command.name for command in COMMANDS}


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_and_settings_named_in_the_docs_are_real(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE)) <= MAKE_TARGETS
    named = set(re.findall(r"\b(?:BOT|TRAINER|SERVING|HIPPO)_[A-Z_]+\b", text))
    assert named - {"HIPPO_BUILD"} <= set(EXAMPLE)


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_of_the_docs_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if "://" not in link and not (folder / link).exists()] == []


def commands_in_docs() -> list[str]:
    text = "\n".join((ROOT / page).read_text(encoding="utf-8") for page in PAGES)
    return sorted(set(re.findall(r"python -m ((?:bot|trainer|serving)(?: [a-z_]+)?)", text)))


@pytest.mark.slow
def test_commands_of_the_docs_are_real() -> None:
    named = commands_in_docs()
    assert {"bot chat", "bot run", "trainer", "serving", "serving wait"} <= set(named)
    for command in named:
        ended = subprocess.run(
            [sys.executable, "-m", *command.split(), "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert ended.returncode == 0, f"python -m {command} --help: {ended.stderr[-500:]}"


def test_processes_that_make_up_starts_are_the_three_packages() -> None:
    lines = dict(line.split(": ", 1) for line in Path(ROOT / "Procfile").read_text(encoding="utf-8").splitlines())
    assert set(lines.values()) == {"python -m serving", "python -m trainer", "python -m bot run"}


@pytest.mark.parametrize("page", ["docs/discord.md", "docs/getting-started.md"])
def test_intents_and_permissions_of_the_docs_are_those_that_the_bot_asks_for(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    asked = [name for name, on in INTENTS if on]
    words = {"guilds": "Guilds", "guild_messages": "Guild Messages", "dm_messages": "Direct Messages"}
    assert sorted(asked) == sorted(words)
    named = {"view_channel": "View Channels", "send_messages": "Send Messages"} | {
        "send_messages_in_threads": "Send Messages in Threads",
        "read_message_history": "Read Message History",
    }
    assert [word for word in (*words.values(), *named.values()) if word not in text] == []
    numbers = {int(number) for number in re.findall(r"permissions=(\d+)", text)}
    assert numbers <= {Permissions(**dict.fromkeys(named, True)).value}
