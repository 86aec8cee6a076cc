"""Settings of the serving process, and of those who talk to it (`SERVING_…` in the environment or `.env`)."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

BUNDLED = "bundled"
BASE_NAME = "base"  # the server's name for the bare base model
DEFAULT_NAME = "default"  # what a chat without an adapter asks for: the base's primer, or the bare base without one


class ServingSettings(BaseSettings):
    """Where the model server is and how it runs. Memory in GiB, lengths in tokens, times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="SERVING_", env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    data_dir: Path = Field(Path("data"), validation_alias="HIPPO_DATA_DIR")
    base_model: str = BUNDLED  # bundled, a folder, or a hub name such as Qwen/Qwen2.5-7B-Instruct
    host: str = "127.0.0.1"
    port: int = Field(8011, ge=1, le=65535)
    api_key: SecretStr | None = None  # None: one is made and kept in the data folder
    device: Literal["auto", "cpu", "cuda"] = "auto"
    max_loras: int = Field(4, ge=1)  # adapters in one batch
    max_cpu_loras: int = Field(16, ge=1)  # adapters kept in memory
    max_lora_rank: int = Field(16, ge=1)  # of the recipe: every adapter costs what one of this rank does
    max_model_tokens: int = Field(2048, ge=256)
    cpu_kv_cache_gib: int = Field(1, ge=1)
    gpu_memory_share: float = Field(0.85, gt=0, le=1)
    answer_timeout_seconds: float = Field(60.0, gt=0)

    @property
    def adapters_dir(self) -> Path:
        """Published adapters, one folder a name; what the server's resolver reads."""
        return self.data_dir / "adapters"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def key(self) -> str:
        """The API key: the one set, or one made once and kept readable by the owner alone."""
        if self.api_key is not None and self.api_key.get_secret_value():
            return self.api_key.get_secret_value()
        path = self.data_dir / "serving.key"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text().strip()
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(32))
        return path.read_text().strip()
