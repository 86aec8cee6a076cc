"""Settings of the bot process (`BOT_…` in the environment or `.env`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

TERMINAL_OWNER = "terminal:me"


class BotSettings(BaseSettings):
    """Who may use the bot and how it talks. Times in seconds, lengths in tokens or characters."""

    model_config = SettingsConfigDict(
        env_prefix="BOT_", env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    data_dir: Path = Field(Path("data"), validation_alias="HIPPO_DATA_DIR")
    discord_token: SecretStr | None = None
    telegram_token: SecretStr | None = None
    telegram_api_url: str = "https://api.telegram.org"  # or a Bot API server of your own
    telegram_webhook_url: str = ""  # the public https address; empty: long polling
    telegram_webhook_secret: SecretStr | None = None  # 1 to 256 of A-Z a-z 0-9 _ -; empty: a new one at each start
    telegram_webhook_host: str = "127.0.0.1"  # where the proxy with that address finds the bot
    telegram_webhook_port: int = Field(8081, ge=0, le=65535)
    admins: Annotated[frozenset[str], NoDecode] = frozenset({TERMINAL_OWNER})  # platform:id
    allowed: Annotated[frozenset[str], NoDecode] = frozenset()  # platform:id; empty: everybody
    blocked: Annotated[frozenset[str], NoDecode] = frozenset()  # platform:id; never answered
    messages_per_minute: int = Field(30, ge=1)  # a person
    retrains_per_day: int = Field(5, ge=1)  # a person; nightly runs do not count
    assistant_name: str = Field("Hippo", min_length=1, max_length=32)
    max_reply_tokens: int = Field(200, ge=16)
    history_turns: int = Field(4, ge=0)
    turn_ttl_seconds: float = Field(86_400.0, gt=0)
    max_facts: int = Field(500, ge=1)

    @field_validator("admins", "allowed", "blocked", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return frozenset(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @property
    def store_path(self) -> Path:
        return self.data_dir / "hippo.db"
