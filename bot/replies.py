"""Every text the bot itself says, and the shape in which platforms get it. Plain text: each platform adds its own style.

Not covered: what the model says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.facts import you_form
from bot.memory.ledger import CostLine
from bot.memory.records import Adapter, Job, StoredFact, Told

MAX_MESSAGE_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class Button:
    """A choice under a message. `action` comes back through `Commands.press`, e.g. "undo:12"."""

    label: str
    action: str


@dataclass(frozen=True, slots=True)
class File:
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What to show. `job_id`: keep the message up to date with that job until it ends."""

    text: str
    buttons: tuple[Button, ...] = ()
    file: File | None = None
    job_id: int | None = None


START = (
    "Hi, I'm {name}, your personal AI. Tell me about yourself and I'll know it at once; overnight I learn it for good.\n"
    "Try: /remember my dog is Buddy\n"
    "Then ask me: what's my dog's name? /help lists everything I can do, /privacy says what I keep."
)
PRIVACY = (
    "What I keep about you: the facts you tell me, the adapter trained on them (a small file that is yours alone), our "
    "last few messages for a day, and what your training cost. Nobody else's chat ever sees them, and my logs hold "
    "none of it.\n"
    "/facts shows the facts, /export sends you everything, /forget removes one fact, /delete_me removes all of it now."
)
SERVER_DOWN = (
    "My model is not answering right now. I've kept your message and will answer it as soon as the model is back; "
    "your facts are safe."
)
MODEL_FAILED = "My model could not answer that one. Please try again, perhaps in other words."
EMPTY_MESSAGE = "That message had no text in it. Write me something, or /help to see what I can do."
TOO_LONG = "That message has {length:,} characters; I can read up to {limit:,}. Please send a shorter one."
ADMIN_ONLY = "/cost is for the people who run this bot."
UNKNOWN_COMMAND = "I don't know the command {command}. /help lists the ones I know."
NO_FACTS = "You haven't told me anything yet. Start with: /remember my dog is Buddy"
NOTHING_TO_LEARN = "There is nothing new to learn: everything you've told me is in your adapter already."
GONE = "That is not there any more."
DELETE_CONFIRM = (
    "This deletes everything I hold about you, now: {facts}, your adapter, our recent messages. It cannot be undone."
)
DELETED = "Done. Your facts, adapter and messages are deleted. If you write to me again, we start from nothing."
CANCELLED = "Nothing was changed."


def remembered(told: Sequence[Told]) -> str:
    """The answer to /remember, one line a fact."""
    lines = []
    for one in told:
        sentence = you_form(one.stored.fact.text)
        if one.already_known:
            lines.append(f"I know that already: {sentence}")
        elif one.replaced:
            before = " ".join(you_form(old.fact.text) for old in one.replaced)
            lines.append(f"Changed. Before: {before} Now: {sentence}")
        else:
            lines.append(f"Got it: {sentence}")
    return "\n".join(lines)


def facts(active: Sequence[StoredFact], pending_ids: frozenset[int], first: int, total: int) -> str:
    """A page of /facts; `first` is the number of the first one shown, from 1."""
    lines = [
        f"{number}. {you_form(stored.fact.text)}{' (learned tonight)' if stored.id in pending_ids else ''}"
        for number, stored in enumerate(active, start=first)
    ]
    shown = "" if len(active) == total else f" ({first} to {first + len(active) - 1})"
    head = f"You have told me {count(total, 'fact')}{shown}:"
    return "\n".join([head, *lines])


def forgotten(stored: StoredFact, in_adapter: bool) -> str:
    sentence = you_form(stored.fact.text)
    if in_adapter:
        return f"Forgotten: {sentence} It leaves my weights with the next training (tonight, or /retrain now)."
    return f"Forgotten: {sentence}"


def which_one(matches: Sequence[StoredFact], wanted: str) -> str:
    lines = [f"- {you_form(stored.fact.text)}" for stored in matches[:10]]
    return "\n".join([f"“{wanted}” fits {count(len(matches), 'fact')}. Which one?", *lines])


def progress(job: Job, ahead: int = 0) -> str:
    """One line for a job that is open or has ended; the text of the live /retrain message."""
    if job.state == "queued":
        return "Waiting for the trainer." + (f" {count(ahead, 'person', 'people')} before you." if ahead else "")
    if job.state == "running":
        left = f", about {job.seconds_left:.0f} s left" if job.seconds_left is not None else ""
        return f"{job.stage.capitalize()} … {job.share:.0%}{left}"
    if job.state == "failed":
        return f"Learning failed: {job.error}. Your facts are safe and I still know them; please try /retrain again later."
    result = job.result
    if not result.get("facts"):
        return "Done. You have no facts, so your adapter was removed."
    recalled = f"{result['recalled']} of {result['recall_asked']} recall questions right"
    abstained = f"{result['abstained']} of {result['never_told_asked']} never-told questions declined"
    if job.state == "rejected":
        return (
            f"I trained on {count(result['facts'], 'fact')}, but the result did not pass its check ({job.error}): "
            f"{recalled}, {abstained}. Your earlier adapter stays, and new facts stay in my notes."
        )
    return (
        f"Learned {count(result['facts'], 'fact')} in {result['seconds']:.0f} s. Check: {recalled}, {abstained}. "
        f"Cost: ${result['cost_usd']:.4f}."
    )


def status(facts_count: int, pending: int, adapter: Adapter | None, job: Job | None) -> str:
    lines = [f"I know {count(facts_count, 'fact')} about you; {pending} of them wait for the next training."]
    if adapter:
        lines.append(
            f"Your adapter: version {adapter.version} of {adapter.created[:16].replace('T', ' ')} UTC, "
            f"{len(adapter.fact_ids)} facts, {adapter.bytes / 1e6:.1f} MB."
        )
    else:
        lines.append("You have no adapter yet: I answer from my notes.")
    if job:
        lines.append(f"Training: {progress(job)}")
    return "\n".join(lines)


def cost(lines_by_span: Sequence[tuple[str, Sequence[CostLine]]]) -> str:
    text = []
    for span, lines in lines_by_span:
        text.append(f"{span}:")
        for line in lines:
            per_user = f", ${line.cost_usd / line.users:.4f} a user" if line.users else ""
            text.append(
                f"  {line.kind}: {count(line.entries, 'entry', 'entries')}, {line.seconds:.0f} s, "
                f"{line.tokens:,} tokens, ${line.cost_usd:.4f}{per_user}"
            )
        if not lines:
            text.append("  nothing")
    return "\n".join(text)


def count(number: int, one: str, many: str = "") -> str:
    """"1 fact", "2 facts"."""
    return f"{number} {one if number == 1 else many or one + 's'}"
