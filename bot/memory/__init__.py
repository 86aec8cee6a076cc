"""The store: one SQLite file that holds users, facts, jobs, adapters, costs and recent turns."""

from bot.memory.store import Memory

__all__ = ["Memory"]
