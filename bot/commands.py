"""What every command does and says, for all platforms. A handler takes the user and the text after the command.

Errors of `bot.errors` and `serving.errors` carry their own message; platforms show `str(error)`.
Not covered: talking to a platform, and free chat (`chat.py`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from bot import replies
from bot.access import Speaker as Speaker
from bot.errors import NotFound, NotNow
from bot.gathering import Gathering
from bot.language import forget_texts
from bot.linking import Linking
from bot.memory import Memory
from bot.memory.records import StoredFact, User
from bot.replies import Button, File, Reply
from bot.settings import BotSettings
from serving import adapters as adapter_folders
from serving.client import ServingClient
from serving.errors import ServingError
from serving.settings import ServingSettings

log = logging.getLogger(__name__)

FACTS_PER_PAGE = 20
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Command:
    """A command as shown in menus. `argument` names what may follow it; "" is nothing."""

    name: str
    description: str
    argument: str = ""
    admin: bool = False


COMMANDS = (
    Command("start", "what I am and how to begin"),
    Command("help", "everything I can do"),
    Command("remember", "tell me something, or send a list as .txt: /remember my dog is Buddy", "fact"),
    Command("facts", "what you have told me"),
    Command("forget", "forget a fact: its number, or words from it", "fact"),
    Command("retrain", "learn your facts now instead of tonight"),
    Command("status", "what I know, your adapter, a training under way"),
    Command("export", "a file of everything I hold about you"),
    Command("privacy", "what I keep and who sees it"),
    Command("link", "make one account of your Discord and your Telegram", "code"),
    Command("unlink", "part this account from the others again"),
    Command("delete_me", "delete everything I hold about you"),
    Command("cost", "what training and serving cost (admins)", admin=True),
)


class Commands:
    """The handlers over one store. `handle` runs a command by name, `press` a button."""

    def __init__(self, memory: Memory, settings: BotSettings, serving: ServingSettings, client: ServingClient) -> None:
        self._memory = memory
        self._settings = settings
        self._adapters_dir = serving.adapters_dir
        self._client = client
        self.gathering = Gathering(memory, settings)
        self._linking = Linking(memory, settings.assistant_name)

    def user(self, speaker: Speaker) -> User:
        return self._memory.user_for(
            speaker.platform, speaker.platform_user_id, assistant_name=self._settings.assistant_name
        )

    def is_admin(self, speaker: Speaker) -> bool:
        return speaker.key in self._settings.admins

    async def handle(self, speaker: Speaker, name: str, text: str = "", *, converse: bool = False) -> Reply:
        """Runs a command; an unknown one gets a reply that says so.

        `converse`: the reply may ask something that the next message answers, which the caller then gives to
        `gathering.take_answer` first (`conversation.py` does).

        Raises:
            BotError: it cannot be done; the message is for the user.
        """
        handlers: dict[str, Callable[[Speaker, str], Awaitable[Reply]]] = {
            "start": self._start,
            "help": self._help,
            "remember": partial(self._remember, converse=converse),
            "facts": self._facts,
            "forget": self._forget,
            "retrain": self._retrain,
            "status": self._status,
            "export": self._export,
            "privacy": self._privacy,
            "link": self._link,
            "unlink": self._unlink,
            "delete_me": self._delete_me,
            "cost": self._cost,
        }
        handler = handlers.get(name.lower().lstrip("/"))
        if handler is None:
            return Reply(replies.UNKNOWN_COMMAND.format(command=f"/{name.lstrip('/')[:40]}"))
        return await handler(speaker, text.strip())

    async def press(self, speaker: Speaker, action: str) -> Reply:
        """Runs the action of a button. Actions name rows; each handler checks that the row is this user's."""
        kind, _, value = action.partition(":")
        number = int(value) if value.isdigit() else 0
        user = self.user(speaker)
        if kind == "undo":
            undone = self._memory.facts.undo(user.id, number)
            forget_texts()
            return Reply(replies.UNDONE if undone else replies.GONE)
        if kind == "undo_all":
            reply = self.gathering.undo_all(user, number)
            forget_texts()
            return reply
        if kind == "keep":
            return self.gathering.keep(user, number)
        if kind == "drop":
            return self.gathering.drop(user, number)
        if kind == "forget":
            return self._forget_fact(user, number)
        if kind == "facts":
            return self._facts_page(user, number)
        if action == "delete:yes":
            return await self._delete(user)
        if action == "unlink:yes":
            return self._linking.part(speaker.platform, speaker.platform_user_id)
        return Reply(replies.CANCELLED)

    def matching(self, speaker: Speaker, typed: str, limit: int) -> list[str]:
        """Sentences of the user's facts that hold what was typed so far, for autocompletion."""
        held = [stored.fact.text for stored in self._memory.facts.active(self.user(speaker).id)]
        return [text for text in held if typed.casefold() in text.casefold()][:limit]

    async def _start(self, speaker: Speaker, _text: str) -> Reply:
        return Reply(replies.START.format(name=self.user(speaker).assistant_name))

    async def _help(self, speaker: Speaker, _text: str) -> Reply:
        shown = [command for command in COMMANDS if not command.admin or self.is_admin(speaker)]
        lines = [f"/{command.name} – {command.description}" for command in shown]
        return Reply("\n".join([*lines, "Anything else you write is a chat with me."]))

    async def _remember(self, speaker: Speaker, text: str, *, converse: bool) -> Reply:
        user = self.user(speaker)
        if converse and not text:
            return self.gathering.await_fact(user)
        return self.gathering.remember(user, text, ask=converse)

    async def _facts(self, speaker: Speaker, text: str) -> Reply:
        return self._facts_page(self.user(speaker), int(text) if text.isdigit() else 1)

    def _facts_page(self, user: User, page: int) -> Reply:
        active = self._memory.facts.active(user.id)
        if not active:
            return Reply(replies.NO_FACTS)
        pages = -(-len(active) // FACTS_PER_PAGE)
        page = min(max(page, 1), pages)
        first = (page - 1) * FACTS_PER_PAGE
        pending = frozenset(stored.id for stored in self._memory.facts.pending(user.id))
        shown = active[first : first + FACTS_PER_PAGE]
        buttons = [Button("Earlier", f"facts:{page - 1}")] if page > 1 else []
        buttons += [Button("Later", f"facts:{page + 1}")] if page < pages else []
        set_aside = self._memory.jobs.set_aside(user.id)
        return Reply(replies.facts(shown, pending, set_aside, first + 1, len(active)), tuple(buttons))

    async def _forget(self, speaker: Speaker, text: str) -> Reply:
        user = self.user(speaker)
        if not text:
            raise NotFound("Which one? /facts numbers them: /forget 2, or words from it: /forget dog")
        matches = self._memory.facts.find(user.id, text)
        if not matches:
            raise NotFound(f"I hold no fact with “{text[:80]}”. /facts shows what I know about you.")
        if len(matches) > 1:
            buttons = tuple(Button(_short(stored), f"forget:{stored.id}") for stored in matches[:10])
            return Reply(replies.which_one(matches, text[:80]), buttons)
        return self._forget_fact(user, matches[0].id)

    def _forget_fact(self, user: User, fact_id: int) -> Reply:
        live = self._memory.adapters.live(user.id)
        stored = self._memory.facts.forget(user.id, fact_id)
        if stored is None:
            return Reply(replies.GONE)
        reply = Reply(replies.forgotten(stored, in_adapter=live is not None and fact_id in live.fact_ids))
        forget_texts()  # last: saying it back reads it once more
        return reply

    async def _retrain(self, speaker: Speaker, _text: str) -> Reply:
        user = self.user(speaker)
        running = self._memory.jobs.open_for(user.id)
        if running:
            return Reply(f"I'm at it already. {replies.progress(running)}", job_id=running.id)
        live = self._memory.adapters.live(user.id)
        active = self._memory.facts.active(user.id)
        if not active and live is None:
            return Reply(replies.NO_FACTS)
        if live and live.fact_ids == {stored.id for stored in active}:
            return Reply(replies.NOTHING_TO_LEARN)
        self._check_retrains(user)
        ahead = self._memory.jobs.waiting()
        job = self._memory.jobs.add(user.id, "retrain")
        return Reply(replies.progress(job, ahead), job_id=job.id)

    def _check_retrains(self, user: User) -> None:
        asked = self._memory.jobs.asked_since(user.id, DAY_SECONDS)
        limit = self._settings.retrains_per_day
        if len(asked) >= limit:
            free = datetime.fromisoformat(asked[-limit]) + timedelta(seconds=DAY_SECONDS)
            wait = replies.wait((free - datetime.now(UTC)).total_seconds())
            raise NotNow(replies.TOO_MANY_RETRAINS.format(limit=limit, wait=wait))

    async def _status(self, speaker: Speaker, _text: str) -> Reply:
        user = self.user(speaker)
        active, pending = self._memory.facts.active(user.id), self._memory.facts.pending(user.id)
        live, job = self._memory.adapters.live(user.id), self._memory.jobs.last_for(user.id)
        return Reply(replies.status(len(active), len(pending), live, job))

    async def _export(self, speaker: Speaker, _text: str) -> Reply:
        held = self._memory.export(self.user(speaker).id)
        content = json.dumps(held, indent=2, ensure_ascii=False).encode()
        return Reply("Everything I hold about you is in this file.", file=File("hippo-export.json", content))

    async def _privacy(self, _speaker: Speaker, _text: str) -> Reply:
        return Reply(replies.PRIVACY)

    async def _link(self, speaker: Speaker, text: str) -> Reply:
        return self._linking.link(self.user(speaker), text)

    async def _unlink(self, speaker: Speaker, text: str) -> Reply:
        if text.lower() == "yes":
            return self._linking.part(speaker.platform, speaker.platform_user_id)
        return self._linking.ask_to_part(self.user(speaker), speaker.platform)

    async def _delete_me(self, speaker: Speaker, text: str) -> Reply:
        user = self.user(speaker)
        if text.lower() == "yes":
            return await self._delete(user)
        facts = replies.count(len(self._memory.facts.active(user.id)), "fact")
        buttons = (Button("Delete everything", "delete:yes"), Button("Keep", "delete:no"))
        return Reply(f"{replies.DELETE_CONFIRM.format(facts=facts)} To go ahead: /delete_me yes", buttons)

    async def _delete(self, user: User) -> Reply:
        for name in self._memory.delete_user(user.id):
            adapter_folders.delete(self._adapters_dir, name)
            try:
                await self._client.unload(name)
            except ServingError:
                log.warning("adapter %s could not be unloaded: the server does not answer", name)
        forget_texts()
        return Reply(replies.DELETED)

    async def _cost(self, speaker: Speaker, _text: str) -> Reply:
        if not self.is_admin(speaker):
            return Reply(replies.ADMIN_ONLY)
        spans = (("Last 24 hours", DAY_SECONDS), ("Last 30 days", 30 * DAY_SECONDS))
        return Reply(replies.cost([(name, self._memory.ledger.totals(seconds)) for name, seconds in spans]))


def _short(stored: StoredFact) -> str:
    text = stored.fact.text
    return text if len(text) <= 60 else f"{text[:59]}…"
