"""Who may use the bot, and how fast: allow and block lists, and a moving window of messages a person."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from bot.settings import BotSettings

MINUTE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who is talking, as the platform names them."""

    platform: str
    platform_user_id: str

    @property
    def key(self) -> str:
        """As in BOT_ALLOWED, BOT_BLOCKED and BOT_ADMINS."""
        return f"{self.platform}:{self.platform_user_id}"


class Verdict(Enum):
    ADMITTED = auto()
    STRANGER = auto()  # not on the allow list: told so
    IGNORED = auto()  # blocked: no answer at all


def verdict(settings: BotSettings, speaker: Speaker) -> Verdict:
    """The block list wins, then admins are in, then the allow list decides; an empty one lets everybody in."""
    if speaker.key in settings.blocked:
        return Verdict.IGNORED
    if not settings.allowed or speaker.key in settings.allowed or speaker.key in settings.admins:
        return Verdict.ADMITTED
    return Verdict.STRANGER


class Window:
    """At most `limit` hits a key in any span of `seconds`. Held in memory: a restart forgives."""

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._seconds = seconds
        self._clock = clock
        self._hits: dict[str, deque[float]] = {}
        self._told: set[str] = set()
        self._swept = clock()

    def hit(self, key: str, age_seconds: float = 0.0) -> float:
        """Counts a hit; returns 0.0, or the seconds until the next one is allowed (then it was not counted).

        `age_seconds`: how long ago it was, for what was written while nobody was there to take it.
        """
        now = self._clock()
        self._sweep(now)
        at = now - age_seconds
        hits = self._hits.setdefault(key, deque())
        while hits and hits[0] <= at - self._seconds:
            hits.popleft()
        if len(hits) >= self._limit:
            return hits[0] + self._seconds - at
        hits.append(at)
        self._told.discard(key)
        return 0.0

    def first_refusal(self, key: str) -> bool:
        """True once after each time the limit was reached: the sentence is said once, then there is silence."""
        if key in self._told:
            return False
        self._told.add(key)
        return True

    def _sweep(self, now: float) -> None:
        if now - self._swept < self._seconds:
            return
        self._swept = now
        for key in [key for key, hits in self._hits.items() if not hits or hits[-1] <= now - self._seconds]:
            del self._hits[key]
            self._told.discard(key)
