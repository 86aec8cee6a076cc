"""/link and /unlink: one person on several platforms, joined by a one-time code and parted again."""

from __future__ import annotations

import logging

from bot import replies
from bot.access import Window
from bot.errors import NotFound, NotNow
from bot.fact_changes import replaces
from bot.memory import Memory
from bot.memory.records import User
from bot.replies import Button, Reply

log = logging.getLogger(__name__)

CODE_SECONDS = 600.0
TRIES = 5  # wrong codes a user, in the time a code lives


class Linking:
    def __init__(self, memory: Memory, assistant_name: str) -> None:
        self._memory = memory
        self._assistant_name = assistant_name
        self._tries = Window(TRIES, CODE_SECONDS)

    def link(self, user: User, code: str) -> Reply:
        """Without a code: gives one. With one: joins this user and the code's, and the code is used up.

        Raises:
            NotFound: no such code.
            NotNow: too many wrong codes.
        """
        if not code:
            issued = self._memory.links.issue(user.id, CODE_SECONDS)
            return Reply(replies.LINK_CODE.format(code=issued, minutes=CODE_SECONDS / 60))
        if wait_seconds := self._tries.hit(user.id):
            raise NotNow(replies.LINK_TOO_OFTEN.format(minutes=max(1, wait_seconds / 60)))
        owner = self._memory.links.owner(code)
        if owner is None:
            raise NotFound(replies.LINK_WRONG)
        if owner == user.id:
            linked = len(self._memory.platforms_of(user.id)) > 1
            return Reply(replies.LINK_ALREADY if linked else replies.LINK_SAME)
        joined = self._memory.links.join(owner, user.id, replaces)
        log.info("users joined: %s is part of %s now", user.id, owner)
        return Reply(replies.linked(joined, self._memory.platforms_of(owner)))

    def ask_to_part(self, user: User, platform: str) -> Reply:
        if len(self._memory.platforms_of(user.id)) < 2:
            return Reply(replies.NOT_LINKED)
        buttons = (Button("Unlink", "unlink:yes"), Button("Stay linked", "unlink:no"))
        return Reply(
            f"{replies.UNLINK_CONFIRM.format(platform=platform.capitalize())} To go ahead: /unlink yes", buttons
        )

    def part(self, platform: str, platform_user_id: str) -> Reply:
        parted = self._memory.links.part(platform, platform_user_id, self._assistant_name)
        return Reply(replies.UNLINKED if parted else replies.NOT_LINKED)
