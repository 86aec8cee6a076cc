"""Errors of the serving side; each message is safe to show to a user.

ServingError
├── BaseModelMissing   the base model cannot be had: its name, where it was looked for, what to do
├── ServerUnavailable  nothing answers at the address, or it answered too late
├── AdapterMissing     the server does not know the adapter's name
└── RequestRefused     the server answered with an error
"""

from __future__ import annotations


class ServingError(Exception):
    """Base of the errors of this package."""


class BaseModelMissing(ServingError):
    """The base model cannot be had."""


class ServerUnavailable(ServingError):
    """No answer in time."""


class AdapterMissing(ServingError):
    """The server has no adapter of that name."""


class RequestRefused(ServingError):
    """The server answered, with an error."""
