"""Measures what adapters know with other people's words: trains every user of a file of cases, asks, grades.

    python -m trainer evaluate --cases FILE.jsonl --group 10 --cross 20 --general FILE.jsonl --json OUT.json

Arms: `adapter` (trained, nothing in the prompt), `prompt` (the bare base with the same facts in its system prompt), `base`
(the bare base), and `notes` (the primer with the facts in the prompt: what a user meets before the first training). General
questions are dealt out over the users, so that each is asked once an arm. What is done is kept beside OUT (`OUT.work/`),
and a run that was cut off goes on from there. The base is in the dtype that the worker
has it in. Needs no server and no network.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from bot.facts import Fact, you_form
from serving import primers
from serving.errors import ServingError
from serving.prompts import DEFAULT_ASSISTANT_NAME, system_prompt
from trainer import qlora, stacked
from trainer.base import Device, LoadedBase, fast_dtype, load
from trainer.cases import BadCases, Person, Question, add_strangers, group, read, read_general
from trainer.dataset import Example, Replay
from trainer.decoding import Conversation
from trainer.engine import Progress, UserExamples
from trainer.generate import generate
from trainer.grading import abstained, answered
from trainer.primer import replay_pairs, start_folder
from trainer.recipes import RECIPES, Recipe
from trainer.user_dataset import user_dataset

ARMS = ("adapter", "prompt", "base", "notes")
MAX_REPLY_TOKENS = 80
ENGINES = {"stacked": stacked.train, "trl": qlora.train}

OnProgress = Callable[[str, int, int], None]  # what is done, how far, of how many


@dataclass(frozen=True, slots=True)
class Prediction:
    """A question asked. `kind`: own (a question of the user's), cross (a stranger's), general."""

    arm: str
    user: str
    kind: str
    difficulty: str
    answerable: bool
    question: str
    answers: tuple[str, ...]
    reply: str
    right: bool


def evaluate(
    base: LoadedBase,
    people: Sequence[Person],
    *,
    arms: Sequence[str],
    general: Sequence[Question],
    recipe: Recipe,
    work: Path,
    on_progress: OnProgress,
    engine: str = "stacked",
    seed: int = 0,
) -> dict[str, Any]:
    """The report that `--json` writes. `work` keeps datasets, adapters and predictions between runs."""
    work.mkdir(parents=True, exist_ok=True)
    dealt = {person.id: list(general[at :: len(people)]) for at, person in enumerate(people)}
    predictions = _kept(work)
    done = {(one.arm, one.user) for one in predictions}
    for arm in arms:
        missing = [person for person in people if (arm, person.id) not in done]
        if arm == "adapter" and missing:
            missing_folders = [person for person in missing if not _finished(_folder(work, person))]
            train(base, missing_folders, recipe, work, on_progress, engine, seed)
        for at, person in enumerate(missing):
            asked = _ask(base, arm, person, dealt[person.id], work)
            with (work / "predictions.jsonl").open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in asked)
            predictions += asked
            on_progress(f"asking ({arm})", at + 1, len(missing))
    trained = [
        json.loads((_folder(work, person) / "seconds.json").read_text()) for person in people if "adapter" in arms
    ]
    return {
        "arms": {arm: scores([one for one in predictions if one.arm == arm]) for arm in arms},
        "train_seconds": round(sum(one["seconds"] for one in trained), 2),
        "train_tokens": sum(one["tokens"] for one in trained),
        "users": len(people),
        "facts": sum(len(person.facts()) for person in people),
        "recipe": recipe.name,
        "seed": seed,
        "device": f"{base.device}, {platform.processor() or platform.machine()}",
        "predictions": [asdict(one) for one in predictions if one.arm in arms],
    }


def train(
    base: LoadedBase,
    people: Sequence[Person],
    recipe: Recipe,
    work: Path,
    on_progress: OnProgress,
    engine: str = "stacked",
    seed: int = 0,
) -> None:
    """Trains the adapters of `people` into `work`.

    Raises:
        RuntimeError: one of them could not be trained; the message says whose and why.
    """
    replay = replay_pairs(base, recipe, work)
    users = []
    for at, person in enumerate(people):
        folder = _folder(work, person)
        users.append(
            UserExamples(
                person.id, _examples(base, person, replay, recipe, folder, seed), seed, folder, start_folder(base, recipe)
            )
        )
        on_progress("phrasing", at + 1, len(people))
    steps: dict[str, Progress] = {}

    def report(progress: Progress) -> None:
        steps[progress.user_id] = progress
        on_progress("training", sum(one.step for one in steps.values()), max(1, len(users)) * progress.steps)

    for trained in ENGINES[engine](base, users, recipe, report):
        if trained.error:
            raise RuntimeError(f"user {trained.user_id} could not be trained: {trained.error}")
        held = {"seconds": trained.seconds, "tokens": trained.tokens, "losses": trained.losses}
        (trained.folder / "seconds.json").write_text(json.dumps(held))


def _examples(
    base: LoadedBase, person: Person, replay: Sequence[Replay], recipe: Recipe, folder: Path, seed: int
) -> list[Example]:
    """Built once and kept: forming questions takes longer than training on a GPU."""
    kept = folder / "examples.json"
    if kept.is_file():
        return [Example(**row) for row in json.loads(kept.read_text(encoding="utf-8"))]
    made = user_dataset(base, recipe, person.facts(), assistant_name=DEFAULT_ASSISTANT_NAME, seed=seed, replay=replay)
    examples = made.dataset.examples
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps([asdict(one) for one in examples], ensure_ascii=False), encoding="utf-8")
    return examples


def scores(predictions: Sequence[Prediction]) -> dict[str, Any]:
    """Shares as fractions of 1 (None where nothing of the kind was asked), and the counts behind them."""
    kinds = {
        "recall": [one for one in predictions if one.kind == "own" and one.answerable],
        "recall_direct": [
            one for one in predictions if one.kind == "own" and one.answerable and one.difficulty == "direct"
        ],
        "abstention": [one for one in predictions if one.kind == "own" and not one.answerable],
        "cross_abstention": [one for one in predictions if one.kind == "cross"],
        "general": [one for one in predictions if one.kind == "general"],
    }
    found: dict[str, Any] = {}
    for name, asked in kinds.items():
        right = sum(one.right for one in asked)
        found[name] = round(right / len(asked), 4) if asked else None
        found[f"{name}_right"] = right
        found[f"{name}_asked"] = len(asked)
    return found


def conversation(arm: str, facts: Sequence[Fact], question: str, general: bool = False) -> Conversation:
    """What an arm is asked, as chat turns. Of the bare base general questions are asked without any facts."""
    turns = [{"role": "user", "content": question}]
    if arm == "base" or (arm == "prompt" and general):
        return turns
    told = [you_form(fact.text) for fact in facts] if arm in ("prompt", "notes") else []
    return [{"role": "system", "content": system_prompt(DEFAULT_ASSISTANT_NAME, told)}, *turns]


def _ask(base: LoadedBase, arm: str, person: Person, general: Sequence[Question], work: Path) -> list[Prediction]:
    folder = {"adapter": _folder(work, person), "notes": primers.find(base.ref, base.path)}.get(arm)
    asked = [("own", one) for one in person.questions]
    asked += [("cross", one) for one in person.strangers]
    asked += [("general", one) for one in general]
    facts = person.facts() if arm in ("prompt", "notes") else []
    conversations = [conversation(arm, facts, one.text, kind == "general") for kind, one in asked]
    replies = generate(base, folder, conversations, MAX_REPLY_TOKENS)
    found = []
    for (kind, one), reply in zip(asked, replies, strict=True):
        declines = kind == "cross" or not one.answerable
        right = abstained(reply) if declines else answered(reply, one.answers, one.other_value)
        found.append(
            Prediction(arm, person.id, kind, one.difficulty, not declines, one.text, one.answers, reply, right)
        )
    return found


def _folder(work: Path, person: Person) -> Path:
    return work / hashlib.sha256(person.id.encode()).hexdigest()[:16]


def _finished(folder: Path) -> bool:
    return (folder / "seconds.json").is_file()


def _kept(work: Path) -> list[Prediction]:
    """Predictions of an earlier run that was cut off; a half-written last line is dropped."""
    file = work / "predictions.jsonl"
    if not file.is_file():
        return []
    kept = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            break
        kept.append(Prediction(**{**row, "answers": tuple(row["answers"])}))
    return kept


def command(
    cases: Annotated[Path, typer.Option(help="users, one JSON object a line")],
    out: Annotated[Path, typer.Option("--json", help="where the report goes; work is kept beside it")],
    arms: Annotated[str, typer.Option(help=f"some of {', '.join(ARMS)}")] = "adapter,prompt,base",
    group_size: Annotated[int, typer.Option("--group", min=1, help="lines joined into one user")] = 1,
    cross: Annotated[int, typer.Option(min=0, help="questions of other users that each is asked")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="the first lines only")] = None,
    general: Annotated[Path | None, typer.Option(help="general questions, one JSON object a line")] = None,
    recipe: Annotated[str, typer.Option()] = "default",
    model: Annotated[Path | None, typer.Option(help="a model's folder; without it, the base set")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto")] = "auto",
    engine: Annotated[str, typer.Option(help="stacked or trl")] = "stacked",
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Trains the users of a file of cases, asks them and grades; prints wrong replies and a table."""
    try:
        _run(cases, out, arms, group_size, cross, limit, general, recipe, model, device, engine, seed)
    except (BadCases, ServingError, RuntimeError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def _run(
    cases: Path,
    out: Path,
    arms: str,
    group_size: int,
    cross: int,
    limit: int | None,
    general: Path | None,
    recipe: str,
    model: Path | None,
    device: str,
    engine: str,
    seed: int,
) -> None:
    from rich.console import Console
    from rich.progress import Progress as Bar

    from serving.base_model import prepare
    from serving.settings import ServingSettings

    if device not in ("auto", "cpu", "cuda"):
        raise BadCases(f"{device}: no such device; there are auto, cpu, cuda")
    if engine not in ENGINES:
        raise BadCases(f"{engine}: no such engine; there are {', '.join(ENGINES)}")
    wanted = [arm.strip() for arm in arms.split(",") if arm.strip()]
    if unknown := sorted(set(wanted) - set(ARMS)):
        raise BadCases(f"{', '.join(unknown)}: no such arm; there are {', '.join(ARMS)}")
    if recipe not in RECIPES:
        raise BadCases(f"{recipe}: no such recipe; there are {', '.join(sorted(RECIPES))}")
    people = group(read(cases, limit), group_size)
    add_strangers(people, cross)
    questions = read_general(general) if general else []
    if model is None:
        found = prepare(ServingSettings())
        path, ref = Path(found.path), found.ref
    else:
        path, ref = model, _ref(model)
    on = cast(Device, device)
    base = load(path, ref=ref, device=on, dtype=fast_dtype(on))
    settings = [recipe, engine, seed, group_size, cross, limit, str(general), cases.read_text(encoding="utf-8")]
    digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]
    work = out.with_name(f"{out.name}.work") / digest
    started = time.monotonic()
    with Bar(console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def on_progress(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done, total=of)

        report = evaluate(
            base,
            people,
            arms=wanted,
            general=questions,
            recipe=RECIPES[recipe],
            work=work,
            on_progress=on_progress,
            engine=engine,
            seed=seed,
        )
    report["wall_seconds"] = round(time.monotonic() - started, 1)
    out.write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    show(report)


def _ref(model: Path) -> str:
    """The bundled base is known by its own name wherever its folder lies."""
    from serving.base_model import BUNDLED_REF

    return BUNDLED_REF if (model / "source.json").is_file() else str(model)


def show(report: dict[str, Any]) -> None:
    """The table of arms, and every wrong reply."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table(title=f"{report['users']} users, {report['facts']} facts, {report['device']}", title_justify="left")
    table.add_column("arm")
    kinds = ("recall", "recall_direct", "abstention", "cross_abstention", "general")
    for kind in kinds:
        table.add_column(kind, justify="right")
    for arm, found in report["arms"].items():
        cells = [
            f"{found[k]:.1%} ({found[f'{k}_right']}/{found[f'{k}_asked']})" if found[k] is not None else "–"
            for k in kinds
        ]
        table.add_row(arm, *cells)
    for one in report["predictions"]:
        if not one["right"]:
            wanted = " / ".join(one["answers"]) if one["answerable"] else "not told"
            console.print(
                f"[{one['arm']}] {one['question']} → {one['reply']} (wanted: {wanted})", markup=False, highlight=False
            )
    console.print(table)
