"""Settings of the trainer process (`TRAINER_…` in the environment or `.env`)."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from trainer.gate import Thresholds
from trainer.recipes import PAPER_RATE_USD_PER_HOUR, RECIPES

CPU_RATE_USD_PER_HOUR = 0.10
USERS_PER_BATCH = {"cuda": 64, "cpu": 8}


class TrainerSettings(BaseSettings):
    """When, how and on what to train, and what a candidate must reach. Shares are fractions of 1."""

    model_config = SettingsConfigDict(
        env_prefix="TRAINER_", env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    data_dir: Path = Field(Path("data"), validation_alias="HIPPO_DATA_DIR")
    nightly_at: time = time(3, 30)
    timezone: str = "UTC"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    quantization: Literal["none", "nf4"] = "none"
    recipe: str = "default"
    engine: Literal["stacked", "trl"] = "stacked"
    phrasings: Literal["auto", "rules", "model"] = "auto"  # auto: the model's for bases of 3B weights and more
    users_per_batch: int = Field(0, ge=0)  # 0: 64 on a card, where those who share a step cost little more, else 8
    poll_seconds: float = Field(1.0, gt=0)
    lease_seconds: float = Field(60.0, gt=5)
    seed: int = 0
    rate_usd_per_hour: float | None = Field(None, ge=0)  # None: the paper's for a GPU, 0.10 for a CPU
    min_recall: float = Field(0.8, ge=0, le=1)
    min_abstention: float = Field(0.7, ge=0, le=1)
    max_general_loss: float = Field(0.15, ge=0, le=1)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{value} is no timezone; write one like Europe/Berlin") from error
        return value

    @field_validator("recipe")
    @classmethod
    def _known_recipe(cls, value: str) -> str:
        if value not in RECIPES:
            raise ValueError(f"{value} is no recipe; there are: {', '.join(sorted(RECIPES))}")
        return value

    @property
    def store_path(self) -> Path:
        return self.data_dir / "hippo.db"

    @property
    def staging_dir(self) -> Path:
        """Candidates under way; on the same file system as the published ones, so that publishing is one rename."""
        return self.data_dir / "staging"

    @property
    def thresholds(self) -> Thresholds:
        return Thresholds(self.min_recall, self.min_abstention, self.max_general_loss)

    def batch_limit(self, device: str) -> int:
        """How many waiting users are trained in one go on `device` (cpu or cuda)."""
        return self.users_per_batch or USERS_PER_BATCH[device]

    def rate(self, device: str) -> float:
        """Dollars an hour of `device` (cpu or cuda)."""
        if self.rate_usd_per_hour is not None:
            return self.rate_usd_per_hour
        return PAPER_RATE_USD_PER_HOUR if device == "cuda" else CPU_RATE_USD_PER_HOUR
