"""Every text the bot itself says, and the shape in which platforms get it. Plain text: each platform adds its style.

Not covered: what the model says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.facts import Fact, you_form
from bot.memory.ledger import CostLine
from bot.memory.records import Adapter, Job, Joined, StoredFact, Told

MAX_MESSAGE_CHARS = 4_000
SUMMARY_LINES = 15  # of a list inside a message


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
    """What to show.

    `job_id`: keep the message up to date with that job until it ends. `markdown`: written by the model, not by the bot.
    """

    text: str
    buttons: tuple[Button, ...] = ()
    file: File | None = None
    job_id: int | None = None
    markdown: bool = False


START = (
    "Hi, I'm {name}, your personal AI. Tell me about yourself and I'll know it at once; overnight I learn it for "
    "good.\n"
    "Try: /remember my dog is Buddy\n"
    "Then ask me: what's my dog's name? /help lists everything I can do, /privacy says what I keep."
)
PRIVACY = (
    "What I keep about you: the facts you tell me, the adapter trained on them (a small file that is yours alone), our "
    "last few messages for a day, and what your training cost. Nobody else's chat ever sees them, and my logs hold "
    "none of it.\n"
    "/facts shows the facts, /export sends you everything, /forget removes one fact, /delete_me removes all of it "
    "now.\n"
    "In groups and servers I use nobody's facts and remember nothing.\n"
    "/link makes one account of your Discord and your Telegram."
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
SERVER_DOWN_IN_GROUP = "My model is not answering right now. Please try again in a few minutes."
INTERNAL_ERROR = "Something went wrong on my side, and nothing was changed. Please try again; it has been noted."
NOT_ADMITTED = "This bot is private. Its owner can let you in: give them your id, {key}"
PRIVATE_ONLY = "That is between us. Please write /{command} to me in a private chat; here I use nobody's facts."
TOO_FAST = "You write faster than I can read: {limit} messages a minute is my limit. Please go on in {seconds:.0f} s."
TOO_MANY_RETRAINS = (
    "You have asked for {limit} trainings in 24 hours, which is my limit. The nightly run learns the rest, or ask "
    "again in {wait}. Until then I know your new facts from my notes."
)
TOO_MANY_FACTS = "I can hold {limit} facts for you; /forget some to make room."
ASK_FOR_FACT = "What should I remember? Write it as your next message, for example: my dog is Buddy"
ALL_RIGHT = "All right."
UNDONE = "Taken back."
FILE_TOO_LARGE = "That file has {kilobytes:,.0f} kB; I read text files of up to {limit_kilobytes:,.0f} kB."
FILE_NOT_TEXT = "I can't read that file. Please send plain text in UTF-8, a fact on each line."
FILE_EMPTY = "There is nothing in that file. Write a fact on each line, for example: my dog is Buddy"
FILE_NOT_ASKED = "If that is a list of facts, send it with /remember: a .txt file with a fact on each line."
FILE_GONE = "I could not fetch that file. Please send it once more."
LINK_CODE = (
    "Your code: {code}\n"
    "Send me /link {code} from your other account within {minutes:.0f} minutes, and both become one: the same facts, "
    "the same adapter. Enter codes only that you asked for yourself, and give yours to nobody."
)
LINK_WRONG = "That code is not valid: it may be mistyped, used or too old. /link on the other account gives a new one."
LINK_TOO_OFTEN = "That were too many wrong codes. Please wait {minutes:.0f} minutes, then ask for a new one with /link."
LINK_SAME = "That code is this account's own. Send it from your other account."
LINK_ALREADY = "These accounts are linked already."
UNLINK_CONFIRM = (
    "This takes {platform} out of your linked accounts: here I start from nothing, and everything I know stays with "
    "the other account."
)
UNLINKED = "Done. Here we start from nothing; your facts stay with the other account. /link joins them again."
NOT_LINKED = "This account is not linked to another. /link gives a code that links one."
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


def with_question(text: str, question: str) -> str:
    """A question after the answer to /remember; the next message answers it."""
    return f"{text}\n{question}"


def offered(facts: Sequence[Fact], replaced: Sequence[StoredFact]) -> str:
    """A fact said in passing, offered back before it is stored."""
    said = " ".join(you_form(fact.text) for fact in facts)
    if replaced:
        before = " ".join(you_form(old.fact.text) for old in replaced)
        return f"So far I have: {before} Shall I change that? {said}"
    return f"Shall I remember that? {said}"


def remembered_lines(told: Sequence[Told], not_understood: Sequence[tuple[int, str]]) -> str:
    """The summary of a file of facts. `not_understood`: (line number, why)."""
    new = [one for one in told if not one.already_known]
    changed = sum(bool(one.replaced) for one in new)
    head = f"I understood {count(len(new), 'new fact')} in your file"
    if changed:
        head += f", {changed} of them in the place of an earlier one"
    if known := len(told) - len(new):
        head += f", and {known} I knew already"
    lines = [f"{head}:" if new else f"{head}."]
    lines += [f"- {you_form(one.stored.fact.text)}" for one in new[:SUMMARY_LINES]]
    if len(new) > SUMMARY_LINES:
        lines.append(f"… and {len(new) - SUMMARY_LINES} more; /facts shows them all.")
    if not_understood:
        lines.append(f"Not understood, {count(len(not_understood), 'line')}:")
        lines += [f"- line {number}: {why}" for number, why in not_understood[:SUMMARY_LINES]]
        if len(not_understood) > SUMMARY_LINES:
            lines.append(f"… and {len(not_understood) - SUMMARY_LINES} more lines.")
    return "\n".join(lines)


def linked(joined: Joined, platforms: Sequence[str]) -> str:
    names = " and ".join(platform.capitalize() for platform in sorted(set(platforms)))
    text = f"Linked: {names} are one account now, and I know {count(joined.facts, 'fact')} about you."
    if joined.duplicates:
        text += f" {count(joined.duplicates, 'fact')} you had told both."
    if joined.replaced:
        text += f" {count(joined.replaced, 'older fact')} gave way to what you told me later."
    return text


def ended(job: Job, learned: Sequence[StoredFact]) -> str:
    """The end of the live /retrain message: how it went, and what was learned."""
    lines = [progress(job)]
    if job.state == "done":
        set_aside = job.result.get("set_aside", ())
        kept = [stored for stored in learned if stored.id not in set_aside]
        lines += _listed(kept)
        if older := [stored for stored in learned if stored.id in set_aside]:
            lines += ["Left out, since what you told me later seems to take its place:", *_listed(older)]
    return "\n".join(lines)


def _listed(facts: Sequence[StoredFact]) -> list[str]:
    lines = [f"- {you_form(stored.fact.text)}" for stored in facts[:SUMMARY_LINES]]
    return lines if len(facts) <= SUMMARY_LINES else [*lines, f"… and {len(facts) - SUMMARY_LINES} more."]


def wait(seconds: float) -> str:
    """ "5 minutes", "3 hours"."""
    if seconds < 3600:
        return count(max(1, round(seconds / 60)), "minute")
    return count(round(seconds / 3600), "hour")


def facts(active: Sequence[StoredFact], pending: frozenset[int], set_aside: frozenset[int], first: int, total: int) -> str:
    """A page of /facts; `first` is the number of the first one shown, from 1. `pending`, `set_aside`: ids of facts."""
    lines = []
    for number, stored in enumerate(active, start=first):
        state = " (learned tonight)" if stored.id in pending else " (left out: you told me otherwise later)" if stored.id in set_aside else ""
        lines.append(f"{number}. {you_form(stored.fact.text)}{state}")
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
        return (
            f"Learning failed: {job.error}. Your facts are safe and I still know them; please try /retrain again later."
        )
    result = job.result
    if not result.get("facts"):
        return "Done. You have no facts, so your adapter was removed."
    recalled = f"{result['recalled']} of {result['recall_asked']} recall questions right"
    abstained = f"{result['abstained']} of {result['never_told_asked']} never-told questions declined"
    if job.state == "rejected":
        earlier = "Your earlier adapter stays, and new facts stay in my notes."
        if result.get("earlier_adapter") == "deleted":
            earlier = "Your earlier adapter knew what you had me forget, so it is deleted; your facts are in my notes."
        return (
            f"I trained on {count(result['facts'], 'fact')}, but the result did not pass its check ({job.error}): "
            f"{recalled}, {abstained}. {earlier}"
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
    """ "1 fact", "2 facts"."""
    return f"{number} {one if number == 1 else many or one + 's'}"
