"""Trains many made-up users in one stacked run, asks them all at once and looks for answers that belong to somebody else.

    python -m trainer many --users 64 --json OUT.json
    python -m trainer many --users 64 --prepare USERS.json     only makes the users up (needs spaCy; minutes)
    python -m trainer many --made USERS.json --json OUT.json   the rest, where only torch, transformers and peft are

Nobody else has a user's values (`many_users.py`), so a reply that holds another's and none of one's own is a leak. The base is
the bundled one, whose primer never saw what is told here. Not covered: the gate, and serving.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serving.prompts import DEFAULT_ASSISTANT_NAME, system_prompt
from trainer.base import LoadedBase, load
from trainer.engine import Progress, UserExamples
from trainer.generate import PASSED_ON
from trainer.grading import holds, says_not_told, tells
from trainer.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from trainer.dataset import Example
    from trainer.many_users import User

MAX_REPLY_TOKENS = 80
ASKED_PER_ITEM = 8
KINDS = {  # score: kind asked
    "recall": "recall",
    "abstention": "never_told",
    "others_names_declined": "others_name",
    "general_passed_on": "general",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """`leaked`: another user's values in it that were not asked about, where it holds none of one's own."""

    user: str
    kind: str  # recall, never_told, others_name, general
    question: str
    wanted: str
    reply: str
    right: bool
    leaked: tuple[str, ...]


def train_and_ask(
    base: LoadedBase,
    users: Sequence[User],
    recipe: Recipe,
    scratch: Path,
    slots: int = 0,
    written: Sequence[Sequence[Example]] | None = None,
) -> dict[str, Any]:
    """The report that `--json` writes. `scratch` receives the adapters; `written`: `written_examples`, made if they are not given."""
    from trainer import stacked
    from trainer.primer import start_folder

    start = start_folder(base, recipe)
    trained_users = [
        UserExamples(user.id, [*user.taught, *more], seed, scratch / user.id, start)
        for seed, (user, more) in enumerate(zip(users, written or written_examples(base, users, recipe), strict=True))
    ]
    steps: dict[str, int] = {}

    def on_progress(progress: Progress) -> None:
        steps[progress.user_id] = progress.step

    begun = time.monotonic()
    for trained in stacked.train(base, trained_users, recipe, on_progress, stacked.Options(slots)):
        if trained.error:
            raise RuntimeError(f"{trained.user_id} could not be trained: {trained.error}")
    train_seconds = time.monotonic() - begun
    begun = time.monotonic()
    replies = ask(base, users, recipe, scratch)
    return {
        **scores(replies),
        "users": len(users),
        "examples": sum(len(user.taught) for user in users),
        "steps": sum(steps.values()),
        "recipe": recipe.name,
        "train_seconds": round(train_seconds, 2),
        "train_seconds_per_user": round(train_seconds / len(users), 3),
        "ask_seconds": round(time.monotonic() - begun, 2),
        "replies": [asdict(one) for one in replies],
    }


def written_examples(base: LoadedBase, users: Sequence[User], recipe: Recipe) -> list[list[Example]]:
    """The questions that the primer writes about what each user told, as examples."""
    from trainer.dataset import Example
    from trainer.writer import written as questions

    system = system_prompt(DEFAULT_ASSISTANT_NAME, [])
    made = iter(questions(base, recipe, [text for user in users for text, _ in user.told], seed=0))
    return [
        [Example(system, one, "", "recall", note, "note") for _, note in user.told for one in next(made, [])] for user in users
    ]


def ask(base: LoadedBase, users: Sequence[User], recipe: Recipe, adapters: Path) -> list[Reply]:
    """Every user's questions to that user's adapter, as many users at a time as a stack may have."""
    from trainer.generate_stacked import generate_stacked
    from trainer.lora_stack import LoraStack
    from trainer.slot_count import MOST_SLOTS

    replies = []
    for first in range(0, len(users), MOST_SLOTS):
        group = users[first : first + MOST_SLOTS]
        stack = LoraStack(base.model, recipe, len(group))
        for slot, user in enumerate(group):
            stack.load_slot(slot, adapters / user.id)
        asked = [
            [[{"role": "system", "content": one.system}, {"role": "user", "content": one.user}] for one in user.asked]
            for user in group
        ]
        said = generate_stacked(base, stack, asked, MAX_REPLY_TOKENS, ask_base=False)
        replies += [
            graded(user, users, one.kind, one.user, one.completion, reply, one.note)
            for user, own in zip(group, said, strict=True)
            for one, reply in zip(user.asked, own, strict=True)
        ]
    return replies


def graded(user: User, users: Sequence[User], kind: str, question: str, wanted: str, reply: str, note: str = "") -> Reply:
    """Right is what was taught word for word, or the note; where nothing was told, that it was not told; of a general question, passing it on."""
    leaked: list[str] = []
    if not any(holds(reply, value) for value in user.values):
        others = (value for other in users if other is not user for value in other.values)
        leaked = [value for value in others if holds(reply, value) and not holds(question, value)]
    checks = {"general": reply == PASSED_ON, "recall": tells(reply, wanted, note)}
    right = checks.get(kind, says_not_told(reply))
    return Reply(user.id, kind, question, wanted, reply, right, tuple(leaked))


def scores(replies: Sequence[Reply]) -> dict[str, Any]:
    """Shares as fractions of 1 with their counts; users by how many they recall; every leak."""
    found: dict[str, Any] = {}
    for name, kind in KINDS.items():
        asked = [one for one in replies if one.kind == kind]
        right = sum(one.right for one in asked)
        found[name] = round(right / len(asked), 4) if asked else None
        found[f"{name}_right"], found[f"{name}_asked"] = right, len(asked)
    by_user: dict[str, list[bool]] = {}
    for one in replies:
        if one.kind == "recall":
            by_user.setdefault(one.user, []).append(one.right)
    shares = [sum(right) / len(right) for right in by_user.values()]
    found["lowest_recall_of_a_user"] = round(min(shares), 4) if shares else None
    found["leaks"] = [asdict(one) for one in replies if one.leaked]
    return found


def show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{report['users']} users, recipe {report['recipe']}, {report['device']}", title_justify="left")
    for column in ("asked", "right", "of", "share"):
        table.add_column(column, justify="left" if column == "asked" else "right")
    for kind in KINDS:
        if report[kind] is not None:
            table.add_row(kind, str(report[f"{kind}_right"]), str(report[f"{kind}_asked"]), f"{report[kind]:.1%}")
    table.add_row("answers of another user", str(len(report["leaks"])), str(len(report["replies"])), "")
    console.print(table)
    for one in report["leaks"]:
        console.print(f"{one['user']}: {one['question']} → {one['reply']}", markup=False, highlight=False)
    console.print(
        f"trained in {report['train_seconds']} s ({report['train_seconds_per_user']} s a user), asked in "
        f"{report['ask_seconds']} s; lowest recall of a user {report['lowest_recall_of_a_user']:.1%}"
    )


def command(
    users: Annotated[int, typer.Option(min=2, help="made-up users")] = 8,
    out: Annotated[Path | None, typer.Option("--json", help="where the report goes")] = None,
    recipe: Annotated[str, typer.Option(help=f"one of {', '.join(sorted(RECIPES))}")] = "default",
    users_per_step: Annotated[int, typer.Option(min=0, help="0: as many as fit")] = 0,
    model: Annotated[Path | None, typer.Option(help="the bundled base's folder; without it, it is prepared")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    tasks: Annotated[
        Path | None, typer.Option(help="the prepared corpus (`prime --prepare`); without it, it is prepared first")
    ] = None,
    prepare_to: Annotated[Path | None, typer.Option("--prepare", help="only make the users up, into this file")] = None,
    made: Annotated[Path | None, typer.Option(help="users made up before, instead of --users")] = None,
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Trains made-up users together, asks them all, and counts answers that belong to another user."""
    from trainer.bench_measure import ran_on

    if recipe not in RECIPES:
        raise typer.BadParameter(f"{recipe}: there are {', '.join(sorted(RECIPES))}")
    found = read_users(made) if made else _make(users, tasks, RECIPES[recipe], seed)
    if prepare_to:
        prepare_to.write_text(json.dumps([asdict(one) for one in found], ensure_ascii=False), encoding="utf-8")
        typer.echo(f"{len(found)} users made up")
        return
    base = base_of(model, device)
    with tempfile.TemporaryDirectory() as scratch:
        report = train_and_ask(base, found, RECIPES[recipe], Path(scratch), users_per_step)
    ran = ran_on(base.device)
    report = {"device": ran["device"], "ran_on": ran, "seed": seed, **report}
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    show(report)
    if report["leaks"]:
        raise typer.Exit(1)


def base_of(model: Path | None, device: str) -> LoadedBase:
    from serving.primers import BUNDLED_REF

    if model is None:
        from serving.base_model import prepare
        from serving.settings import ServingSettings

        model = Path(prepare(ServingSettings()).path)
    return load(model, ref=BUNDLED_REF, device=device)  # type: ignore[arg-type]


def _make(count: int, tasks: Path | None, recipe: Recipe, seed: int) -> list[User]:
    """Users with as much of everything as the recipe gives a real one."""
    from trainer import many_users, prime
    from trainer.dataset import Replay
    from trainer.general_prompts import REPLAY, REQUESTS
    from trainer.primer_tasks import Sampling

    with tempfile.TemporaryDirectory() as scratch:
        if tasks is None:
            tasks = Path(scratch) / "tasks.json"
            prime.prepare(tasks)
        prepared, far = prime.read(tasks)
    _, kept_out = prime.split(prepared)
    replay = [Replay(one, "") for one in (*REPLAY, *REQUESTS)]
    mix = recipe.mix
    sampling = Sampling(
        phrasings_per_fact=mix.phrasings_per_fact,
        near_per_fact=mix.near_per_fact,
        far=mix.far,
        strangers=mix.strangers,
        pending=mix.pending,
        identity=mix.identity,
        replay=mix.replay,
        asked_per_item=ASKED_PER_ITEM,
    )
    return many_users.make(count, kept_out, replay, far, sampling, seed)


def read_users(file: Path) -> list[User]:
    from trainer.dataset import Example
    from trainer.many_users import User

    rows = json.loads(file.read_text(encoding="utf-8"))
    return [
        User(
            row["id"],
            [Example(**one) for one in row["taught"]],
            [Example(**one) for one in row["asked"]],
            row["values"],
            row["told"],
        )
        for row in rows
    ]


if __name__ == "__main__":
    typer.run(command)
