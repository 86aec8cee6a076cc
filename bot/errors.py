"""Errors whose message a user may read.

BotError
├── NotAFact        the text holds nothing lasting about the user; says what to write instead
├── NotFound        what was named is not there
├── NotNow          allowed, but not at this moment (already running, nothing to do, over a limit)
└── CannotStart     for who runs the bot: the setting at fault, and what to do
"""

from __future__ import annotations


class BotError(Exception):
    """Base of the bot's errors; `str(error)` is shown to the user."""


class NotAFact(BotError):
    """The text holds no lasting fact."""


class NotFound(BotError):
    """What the user named is not there."""


class NotNow(BotError):
    """The request is fine but cannot be done at this moment."""


class CannotStart(BotError):
    """The process cannot start; the message names the setting at fault and what to do."""
