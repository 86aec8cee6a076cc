"""Discord's objects as JSON, complete enough for Discord's own description of them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]

EPOCH_MS = 1420070400000  # of snowflakes: https://discord.com/developers/docs/reference#snowflakes
EPHEMERAL, LOADING = 1 << 6, 1 << 7
_serial = itertools.count(1)


def snowflake(seconds_ago: float = 0.0) -> str:
    """A new id; ids grow with time."""
    return str(((time.time_ns() // 1_000_000 - int(1000 * seconds_ago) - EPOCH_MS) << 22) | (next(_serial) & 0x3FFFFF))


def user(user_id: str, name: str, *, bot: bool = False) -> Json:
    return {
        "id": user_id,
        "username": name,
        "avatar": None,
        "discriminator": "0",
        "public_flags": 0,
        "flags": 0,
        "bot": bot,
        "global_name": name,
        "primary_guild": None,
    }


def own_user(user_id: str, name: str) -> Json:
    return {**user(user_id, name, bot=True), "mfa_enabled": True, "locale": "en-US"}


def application(application_id: str, name: str, owner: Json) -> Json:
    return {
        "id": application_id,
        "name": name,
        "icon": None,
        "description": "",
        "type": None,
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "00",
        "flags": 0,
        "flags_new": "0",
        "redirect_uris": [],
        "interactions_endpoint_url": None,
        "role_connections_verification_url": None,
        "owner": owner,
        "approximate_guild_count": 1,
        "approximate_user_install_count": 1,
        "approximate_user_authorization_count": 1,
        "explicit_content_filter": 0,
        "team": None,
        "eligible_oauth2_scopes": [],
    }


def private_channel(channel_id: str, person: Json) -> Json:
    return {"id": channel_id, "type": 1, "flags": 0, "last_message_id": None, "recipients": [person]}


def guild(guild_id: str, channel_id: str, owner_id: str) -> Json:
    """As in GUILD_CREATE: one text channel, one role, no members."""
    return {
        "id": guild_id,
        "name": "A server",
        "owner_id": owner_id,
        "roles": [
            {
                **{"id": guild_id, "name": "@everyone", "color": 0, "hoist": False, "position": 0, "permissions": "0"},
                **{"managed": False, "mentionable": False, "flags": 0},
            }
        ],
        "emojis": [],
        "features": [],
        "channels": [
            {"id": channel_id, "type": 0, "name": "general", "position": 0, "permission_overwrites": [], "flags": 0}
        ],
        "members": [],
        "threads": [],
        "presences": [],
        "voice_states": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "stickers": [],
        "member_count": 2,
        "large": False,
        "unavailable": False,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "system_channel_flags": 0,
        "premium_tier": 0,
        "preferred_locale": "en-US",
        "nsfw_level": 0,
    }


def member() -> Json:
    return {
        **{"roles": [], "joined_at": now(), "deaf": False, "mute": False, "flags": 0, "permissions": "0"},
        **{"avatar": None, "nick": None, "pending": False, "premium_since": None},
    }


def message(channel_id: str, author: Json, content: str = "", **fields: Any) -> Json:
    return {
        "id": snowflake(),
        "channel_id": channel_id,
        "author": author,
        "content": content,
        "type": 0,
        "mentions": [],
        "mention_roles": [],
        "mention_everyone": False,
        "attachments": [],
        "embeds": [],
        "components": [],
        "timestamp": now(),
        "edited_timestamp": None,
        "flags": 0,
        "pinned": False,
        "tts": False,
        **fields,
    }


def attachment(name: str, size_bytes: int, url: str) -> Json:
    return {"id": snowflake(), "filename": name, "size": size_bytes, "url": url, "proxy_url": url}


def shown_components(sent: Sequence[Mapping[str, Any]] | None) -> list[Json]:
    """Action rows and buttons as Discord shows them: each with a number."""
    numbers = itertools.count(1)

    def shown(component: Mapping[str, Any]) -> Json:
        held = {key: value for key, value in component.items() if value is not None and key != "components"}
        held["id"] = next(numbers)
        if "components" in component:
            held["components"] = [shown(inner) for inner in component["components"]]
        return held

    return [shown(component) for component in sent or []]


def command(application_id: str, sent: Mapping[str, Any]) -> Json:
    """A registered command."""
    known = ("name", "description", "type", "nsfw", "dm_permission", "contexts", "integration_types")
    return {
        **{key: sent[key] for key in known if key in sent},
        "id": snowflake(),
        "application_id": application_id,
        "version": snowflake(),
        "default_member_permissions": None,
        "options": [
            {key: value for key, value in option.items() if value is not None} for option in sent.get("options", [])
        ],
    }


def error(code: int, text: str) -> Json:
    return {"code": code, "message": text}


def now() -> str:
    return datetime.now(UTC).isoformat()
