"""The primer: the adapter that every user's training starts from, made once a base model and holding nobody's facts.

    python -m trainer prime --prepare tasks.json          the corpus, prepared (needs spaCy; minutes)
    python -m trainer prime --tasks tasks.json --model FOLDER --out FOLDER --minutes 10

Two lessons on made-up users (`primer_tasks.py`). First: answer from facts in the prompt, say "not told" otherwise, keep the
base's general replies. Second, first-order meta-learning (FOMAML, arXiv:1703.03400): each step trains a stack of made-up
users from the current primer just as real users are trained, asks each what people would ask, and moves the primer along
the gradient found there, together with the first lesson's own; so the primer stays fit to chat with and becomes a point
from which the short training on rule-made questions answers people's own words and still declines what was never told.
Not covered: choosing a primer for a base (`primer.py`).
"""

from __future__ import annotations

import json
import math
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from serving.prompts import DEFAULT_ASSISTANT_NAME
from trainer.base import LoadedBase, load
from trainer.check import ask, general_of_base
from trainer.dataset import Example, Replay
from trainer.engine import Encoded, data_order, encode, learning_rates
from trainer.general_prompts import GATE, REPLAY
from trainer.generate import generate
from trainer.grading import words
from trainer.negatives import far_questions
from trainer.packing import Pack, pack
from trainer.primer_tasks import (
    Item,
    MadeUpUser,
    Sampling,
    context_examples,
    sample_user,
    verifying_examples,
    writing_examples,
)
from trainer.recipes import RECIPES, Recipe
from trainer.self_prompts import answers, self_prompts

ASKED_PER_PACK = 24  # questions of a made-up user in one pass
IN_PROMPT, GENERAL = 12, 8  # examples a slot in a step of the first lesson
WRITING, VERIFYING = 4, 12  # the same, where replies begin with a note
DEV_SHARE = 0.1  # items kept out, on which the primer is measured


@dataclass(frozen=True, slots=True)
class Lesson:
    """A lesson's length and rate. `share` is its part of the time given."""

    share: float
    rate: float


CONTEXT = Lesson(share=0.25, rate=5e-4)
META = Lesson(share=0.75, rate=3e-4)
PADDING = 0.35  # of a step, so that few shapes are recorded: at these sizes launching takes longer than computing
SLOTS = 16  # made-up users in a step
OWN_PROMPTS = 3000  # general prompts that the base writes itself, beside those of the replay
FACTS = (2, 6)  # items of a made-up user; few, so that a step is soon done
MAX_GENERAL_LOSS = 0.15  # of a primer that chats, as a share of the questions; the gate's default
CONTEXT_WEIGHT = 1.0  # of the first lesson's gradient in the second lesson
MOST_STEPS = 1_000_000  # the time ends a lesson first


class Tasks:
    """Made-up users as packs, one meta-step a call; built in worker processes, so it holds no tensors."""

    def __init__(
        self,
        tokenizer: Any,
        pool: Sequence[Item],
        replay: Sequence[Replay],
        far: Sequence[tuple[str, frozenset[str]]],
        recipe: Recipe,
        slots: int,
        sampling: Sampling | None = None,
    ) -> None:
        self._tokenizer, self._pool, self._replay, self._far = tokenizer, pool, replay, far
        self._recipe, self._slots, self._sampling = recipe, slots, sampling or Sampling()

    def __len__(self) -> int:
        return MOST_STEPS

    def __getitem__(self, index: int) -> tuple[list[Pack], list[list[Pack]], list[list[Pack]]]:
        """(the first lesson's packs; each user's packs, a training step each; packs of each pass over the questions, one a
        user)."""
        rng = random.Random(f"meta{index}")
        count = rng.randint(*FACTS)  # alike in a stack, so that its users need about as many steps
        trained, asked = [], []
        for _ in range(self._slots):
            user = sample_user(self._pool, count, self._replay, self._far, self._sampling, rng)
            trained.append(self.training_packs(user, rng))
            questions = self._encoded(user.asked)
            rng.shuffle(questions)
            asked.append([pack(questions[at : at + ASKED_PER_PACK]) for at in range(0, len(questions), ASKED_PER_PACK)])
        passes = min(len(one) for one in asked)
        return self.context(-index), trained, [[one[at] for one in asked] for at in range(passes)]

    def training_packs(self, user: MadeUpUser, rng: random.Random) -> list[Pack]:
        """A user's training as the recipe has it, a pack a step."""
        encoded = self._encoded(user.taught)
        order = data_order([len(one.input_ids) for one in encoded], self._recipe, rng.randrange(1 << 30))
        return [pack([encoded[at] for at in step]) for epoch in order for step in epoch]

    def context(self, index: int) -> list[Pack]:
        """The first lesson's step: questions about facts in the prompt, one pack a slot."""
        rng = random.Random(f"context{index}")
        packs = []
        for _ in range(self._slots):
            examples = context_examples(self._pool, IN_PROMPT, rng)
            system = examples[0].system.split("\n")[0]
            examples += [one.example(system, recall_first=True) for one in rng.sample(list(self._replay), GENERAL)]
            if self._recipe.recall_first:
                examples += writing_examples(self._pool, WRITING, rng)
                examples += verifying_examples(self._pool, VERIFYING, rng)
            packs.append(pack(self._encoded(examples)))
        return packs

    def _encoded(self, examples: Sequence[Example]) -> list[Encoded]:
        if not self._recipe.recall_first:
            examples = [one.without_note() for one in examples]
        return [encode(self._tokenizer, one, self._recipe.max_seq_tokens) for one in examples]


class ContextSteps:
    """`Tasks.context` as a data set."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def __len__(self) -> int:
        return MOST_STEPS

    def __getitem__(self, index: int) -> list[Pack]:
        return self._tasks.context(index)


class Primer:
    """The primer in the making: one row of a stack's numbers, and Adam on it. Every step uses all slots."""

    def __init__(self, base: LoadedBase, recipe: Recipe, slots: int) -> None:
        import torch

        from trainer.graphed import GraphedLosses
        from trainer.lora_stack import LoraStack
        from trainer.slot_adamw import SlotAdamW
        from trainer.stacked_model import StackedModel

        self._base, self.recipe = base, recipe
        self.stack = LoraStack(base.model, recipe, slots)
        self._losses = GraphedLosses(StackedModel(self.stack), self.stack, waste=PADDING)
        self._users = SlotAdamW(self.stack, recipe)
        self.stack.init_slot(0, seed=0)
        self._row = torch.nn.Parameter(self.stack.master[0].clone())
        self._adam = torch.optim.AdamW([self._row], betas=(0.9, 0.98), weight_decay=0.0)

    def lesson_one(self, packs: Sequence[Pack], rate: float) -> Any:
        """A step on questions about facts in the prompt; returns the slots' losses."""
        self._spread()
        losses = self._losses(packs)
        self._move(self.stack.grad.float().mean(0), rate)
        return losses.mean()

    def lesson_two(
        self, context: Sequence[Pack], trained: Sequence[Sequence[Pack]], asked: Sequence[Sequence[Pack]], rate: float
    ) -> Any:
        """Trains a stack of made-up users, asks them, moves the primer; returns the mean loss of what was asked.

        `context`: the first lesson's packs, asked of the primer itself.
        """
        self._spread()
        self._losses(context)
        gradient, loss = CONTEXT_WEIGHT * self.stack.grad.float().mean(0), 0.0
        self.train_users(trained)
        for packs in asked:
            loss = loss + self._losses(packs).mean() / len(asked)
            gradient = gradient + self.stack.grad.float().mean(0) / len(asked)
        self._move(gradient, rate)
        return loss

    def train_users(self, trained: Sequence[Sequence[Pack]]) -> None:
        """Users' training as the engine does it. `trained`: a list of packs a user; one who is done early only waits."""
        self._spread()
        for slot in range(self.stack.slots):
            self._users.reset(slot)
        rates = [learning_rates(self.recipe, len(packs)) for packs in trained]
        for step in range(max(len(packs) for packs in trained)):
            self._losses([packs[min(step, len(packs) - 1)] for packs in trained])
            now = [of_user[step] if step < len(of_user) else 0.0 for of_user in rates]
            self._users.step(now)

    def save(self, folder: Path) -> None:
        self._spread()
        self.stack.save_slot(0, folder, self._base.ref)

    def _spread(self) -> None:
        self.stack.master.copy_(self._row.data.expand_as(self.stack.master))
        if self.stack.working is not self.stack.master:
            self.stack.working.copy_(self.stack.master)

    def _move(self, gradient: Any, rate: float) -> None:
        self._row.grad = gradient / gradient.norm().clamp(min=1.0)
        self._adam.param_groups[0]["lr"] = rate
        self._adam.step()


def prime(
    base: LoadedBase,
    prepared: Sequence[Item],
    far: Sequence[tuple[str, frozenset[str]]],
    recipe: Recipe,
    out: Path,
    minutes: float,
    workers: int = 0,
    slots: int = SLOTS,
    own_prompts: int = OWN_PROMPTS,
) -> dict[str, Any]:
    """Makes a primer and writes it to `out` with the base's replay answers; returns what it was made with."""
    out.mkdir(parents=True, exist_ok=True)
    kept = out / "replay.json"
    replay = [Replay(*one) for one in json.loads(kept.read_text("utf-8"))] if kept.is_file() else answers(base, REPLAY)
    kept.write_text(json.dumps(replay, ensure_ascii=False, indent=0), encoding="utf-8")
    general = [*replay, *self_prompts(base, own_prompts)]
    pool, kept_out = split(prepared)
    primer = Primer(base, recipe, slots)
    log: list[tuple[str, int, float, float]] = []

    def note(lesson: str, step: int, share: float, loss: Any, every: int) -> None:
        if step % every == 0:
            log.append((lesson, step, round(share, 3), round(float(loss), 4)))
            print(*log[-1], flush=True)

    tasks = Tasks(base.tokenizer, pool, general, far, recipe, slots)
    for step, share, packs in _timed(ContextSteps(tasks), minutes * 60 * CONTEXT.share, workers):
        note("context", step, share, primer.lesson_one(packs, CONTEXT.rate * _rate(share)), 50)
    for step, share, (context, trained, asked) in _timed(tasks, minutes * 60 * META.share, workers):
        note("meta", step, share, primer.lesson_two(context, trained, asked, META.rate * _rate(share)), 10)
    primer.save(out)
    measured = measure(primer, base, kept_out, replay, far)
    made = {
        "recipe": recipe.name,
        "recall_first": recipe.recall_first,
        "rank": recipe.rank,
        "items": len(pool),
        "minutes": minutes,
        "log": log,
        **_general(base, out),
        "kept_out": measured,
    }
    (out / "primer.json").write_text(json.dumps(made, indent=1), encoding="utf-8")
    return made


def _general(base: LoadedBase, folder: Path) -> dict[str, Any]:
    """How many of the gate's general questions the primer and the bare base get right, and so whether it may chat."""
    with tempfile.TemporaryDirectory() as scratch:
        of_base = general_of_base(base, Path(scratch), len(GATE))
    scores, _ = ask(base, folder, [], DEFAULT_ASSISTANT_NAME, of_base)
    lost = (scores.general_base - scores.general) / scores.general_asked
    return {"general": scores.general, "general_base": scores.general_base, "chats": lost <= MAX_GENERAL_LOSS}


def measure(
    primer: Primer,
    base: LoadedBase,
    pool: Sequence[Item],
    replay: Sequence[Replay],
    far: Sequence[tuple[str, frozenset[str]]],
    facts: int = 10,
) -> dict[str, Any]:
    """Shares of exactly right replies by kind, of made-up users with `facts` items each from `pool`, after their training."""
    rng = random.Random(1)
    made = [sample_user(pool, facts, replay, far, Sampling(), rng) for _ in range(primer.stack.slots)]
    tasks = Tasks(base.tokenizer, pool, replay, far, primer.recipe, primer.stack.slots)
    packs = [tasks.training_packs(user, rng) for user in made]
    primer.train_users(packs)
    right: dict[str, list[bool]] = {}
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        for slot, user in enumerate(made):
            folder = Path(scratch) / str(slot)
            primer.stack.save_slot(slot, folder, base.ref)
            asked = user.asked
            turns = [
                [{"role": "system", "content": one.system}, {"role": "user", "content": one.user}] for one in asked
            ]
            for one, reply in zip(asked, generate(base, folder, turns, 80), strict=True):
                ok = words(reply) == words(one.completion)
                right.setdefault(one.kind, []).append(ok)
                if not ok and one.kind != "general":
                    wrong.append((one.kind, one.user, reply, one.completion))
    shares = {kind: round(sum(found) / len(found), 4) for kind, found in right.items()}
    return {"asked": {kind: len(found) for kind, found in right.items()}, "right": shares, "wrong": wrong}


def split(prepared: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Items to learn from, and those kept out."""
    shuffled = random.Random(7).sample(list(prepared), len(prepared))
    kept_out = round(DEV_SHARE * len(shuffled))
    return shuffled[kept_out:], shuffled[:kept_out]


def _rate(share: float) -> float:
    """Warm-up over the first 4 %, then a cosine to a tenth."""
    return share / 0.04 if share < 0.04 else 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * share))


def _timed(data: Any, seconds: float, workers: int) -> Iterator[tuple[int, float, Any]]:
    """(step, share of the time gone, item) until the time is over."""
    from torch.utils.data import DataLoader

    loader = DataLoader(data, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None)
    started = time.monotonic()
    for step, item in enumerate(loader):
        share = (time.monotonic() - started) / seconds
        if share >= 1:
            return
        yield step, share, item


def prepare(file: Path) -> int:
    """Writes the prepared corpus with what the never-told questions are about; returns the number of items."""
    from trainer.negatives import telling
    from trainer.primer_tasks import items

    prepared = items()
    far = [(question, sorted(telling(question))) for question in far_questions()]
    file.write_text(
        json.dumps({"items": [asdict(one) for one in prepared], "far": far}, ensure_ascii=False), encoding="utf-8"
    )
    return len(prepared)


def read(file: Path) -> tuple[list[Item], list[tuple[str, frozenset[str]]]]:
    held = json.loads(file.read_text(encoding="utf-8"))
    prepared = [Item.from_row(row) for row in held["items"]]
    return prepared, [(question, frozenset(words)) for question, words in held["far"]]


def command(
    model: Annotated[Path, typer.Option(help="the base model's folder, saved by transformers")] = Path(
        "data/base/bundled"
    ),
    out: Annotated[Path, typer.Option(help="where the primer goes")] = Path("primer"),
    prepare_to: Annotated[
        Path | None, typer.Option("--prepare", help="only prepare the corpus, into this file")
    ] = None,
    tasks: Annotated[Path | None, typer.Option(help="the prepared corpus; without it, it is prepared first")] = None,
    recipe: Annotated[str, typer.Option()] = "default",
    minutes: Annotated[float, typer.Option(min=0.1)] = 12.0,
    workers: Annotated[int, typer.Option(min=0, help="processes that make up users")] = 0,
    ref: Annotated[str, typer.Option(help="the name that adapters give their base")] = "base/bundled",
) -> None:
    """Makes the primer of a base model, on a GPU in minutes."""
    if prepare_to:
        typer.echo(f"{prepare(prepare_to)} items prepared")
        return
    with tempfile.TemporaryDirectory() as scratch:
        if tasks is None:
            tasks = Path(scratch) / "tasks.json"
            prepare(tasks)
        prepared, far = read(tasks)
    made = prime(load(model, ref=ref), prepared, far, RECIPES[recipe], out, minutes, workers)
    typer.echo(json.dumps(made["kept_out"]["right"]))
