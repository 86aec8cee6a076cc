"""The primer: the adapter that every user's training starts from and that reads what is recalled, holding nobody's facts.

    python -m trainer prime --prepare tasks.json          the corpus, prepared (needs spaCy; minutes)
    python -m trainer prime --tasks tasks.json --model FOLDER --out FOLDER --minutes 9

It is made once a base model, of a corpus of statements with questions about them (`primer_tasks.py`), and learns all at once: to
note the fact of its prompt that a question is about; given a note, to answer from it or to say "not told"; to pass on what is
not about the user; to write questions about a statement; to see that one statement takes the place of another.
Not covered: choosing a primer for a base (`primer.py`).
"""

from __future__ import annotations

import json
import math
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from serving.prompts import DEFAULT_ASSISTANT_NAME, system_prompt
from serving.recollection import passes_on, spoken
from serving.weighing import Noted
from trainer.base import LoadedBase, fast_dtype, load
from trainer.change_tasks import change_examples, split_threes
from trainer.changes import CHANGED
from trainer.dataset import Example, Replay, identity_examples
from trainer.decoding import Conversation, prompt, raw_replies
from trainer.engine import encode
from trainer.first_facts import first_fact_examples, with_first_facts
from trainer.general_prompts import GATE, REPLAY, REQUESTS
from trainer.generate import read_notes
from trainer.grading import says_not_told, tells
from trainer.mistaken import with_mistaken
from trainer.negatives import far_questions
from trainer.packing import Pack, pack
from trainer.primer_tasks import (
    Item,
    context_examples,
    kept_out,
    unheard_examples,
    verifying_examples,
    writing_examples,
)
from trainer.ranks import Ranks
from trainer.recipes import RECIPES, Recipe
from trainer.self_prompts import self_prompts
from trainer.typing_slips import slip

TYPED_BADLY = 0.2  # of the questions about facts
SLOTS = 16
PADDING = 0.35  # of a step, so that few shapes are recorded: at these sizes launching takes longer than computing
OWN_PROMPTS = 4000  # general prompts that the base writes itself, beside ours
MEASURED = {"cpu": 150, "cuda": 300}  # questions of each kind
READ_AT_ONCE, MEASURED_STEPS = 48, 4
LOGGED = 50  # every so many steps the loss is noted and the primer saved
IN_PROMPT, UNHEARD, VERIFYING, FIRST_FACTS, WRITING, CHANGES, GENERAL, IDENTITY = 10, 2, 30, 12, 2, 10, 8, 1  # examples of each kind in a pack
RATE = 5e-4  # at its highest
MOST_STEPS = 1_000_000  # the time ends the lesson first
MAX_REPLY_TOKENS = 60


class Steps:
    """A pack a slot for each step; built in worker processes, so it holds no tensors."""

    def __init__(
        self,
        tokenizer: Any,
        pool: Sequence[Item],
        general: Sequence[str],
        max_seq_tokens: int,
        slots: int,
        ranks: Ranks,
        seed: int,
    ) -> None:
        self._tokenizer, self._pool, self._general, self._seed = tokenizer, pool, general, seed
        self._max_seq_tokens, self._slots = max_seq_tokens, slots
        self._far, self._threes, self._ranks = far_questions(), split_threes()[0], ranks
        self._first = with_first_facts(pool)

    def __len__(self) -> int:
        return MOST_STEPS

    def __getitem__(self, index: int) -> list[Pack]:
        rng = random.Random(f"{self._seed} {index * self._ranks.count + self._ranks.number}")
        return [
            pack([encode(self._tokenizer, one, self._max_seq_tokens) for one in self._examples(rng)])
            for _ in range(self._slots)
        ]

    def _examples(self, rng: random.Random) -> list[Example]:
        asked = context_examples(self._pool, IN_PROMPT, rng) + verifying_examples(self._pool, VERIFYING, rng)
        asked += first_fact_examples(self._first, FIRST_FACTS, rng)
        asked += unheard_examples(self._far, UNHEARD, rng)
        asked = [replace(one, user=slip(one.user, rng)) if rng.random() < TYPED_BADLY else one for one in asked]
        systems = [asked[0].system, system_prompt(DEFAULT_ASSISTANT_NAME, [])]  # with facts in it, and without
        general = rng.sample(self._general, GENERAL)
        passed_on = [Replay(one, "").example(rng.choice(systems), passed_on=True) for one in general]
        identity = rng.sample(identity_examples(DEFAULT_ASSISTANT_NAME, rng.choice(systems)), IDENTITY)
        return [
            *asked,
            *passed_on,
            *identity,
            *writing_examples(self._pool, WRITING, rng),
            *change_examples(self._pool, self._threes, CHANGES, rng),
        ]


class Primer:
    """The primer in the making: one row of a stack's numbers, and Adam on it. Every step uses all slots."""

    def __init__(self, base: LoadedBase, recipe: Recipe, slots: int, start: Path | None, ranks: Ranks) -> None:
        import torch

        from trainer.graphed import GraphedLosses
        from trainer.lora_stack import LoraStack
        from trainer.stacked_model import StackedModel

        self._base, self._ranks = base, ranks
        self._stack = LoraStack(base.model, recipe, slots)
        self._losses = GraphedLosses(StackedModel(self._stack), self._stack, waste=PADDING)
        if start:
            self._stack.load_slot(0, start)
        else:
            self._stack.init_slot(0, seed=0)
        self._row = torch.nn.Parameter(self._stack.master[0].clone())
        self._adam = torch.optim.AdamW([self._row], betas=(0.9, 0.98), weight_decay=0.0)

    def step(self, packs: Sequence[Pack], rate: float) -> Any:
        """Moves the primer; returns the mean of the slots' losses."""
        self._spread()
        losses = self._losses(packs)
        gradient = self._stack.grad.float().mean(0)
        self._ranks.average(gradient)
        self._row.grad = gradient / gradient.norm().clamp(min=1.0)
        self._adam.param_groups[0]["lr"] = rate
        self._adam.step()
        return losses.mean()

    def loss(self, steps: Sequence[Sequence[Pack]]) -> float:
        """The mean loss on other packs; the primer stays as it is."""
        self._spread()
        return float(sum(self._losses(packs).mean() for packs in steps)) / len(steps)

    def save(self, folder: Path) -> None:
        self._spread()
        self._stack.save_slot(0, folder, self._base.ref)

    def _spread(self) -> None:
        self._stack.master.copy_(self._row.data.expand_as(self._stack.master))
        if self._stack.working is not self._stack.master:
            self._stack.working.copy_(self._stack.master)


def prime(
    base: LoadedBase,
    prepared: Sequence[Item],
    recipe: Recipe,
    out: Path,
    minutes: float,
    workers: int = 0,
    slots: int = SLOTS,
    own_prompts: int = OWN_PROMPTS,
    start: Path | None = None,
    rate: float = RATE,
    ranks: Ranks | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Makes a primer in `out` of what `prepare` wrote, or goes on with the one in `start`; returns what it was made with and how it does
    on items kept out (the first of several processes; the others nothing)."""
    ranks = ranks or Ranks()
    out.mkdir(parents=True, exist_ok=True)
    general = [*REPLAY, *REQUESTS, *REQUESTS, *self_prompts(base, own_prompts)]
    pool, unseen = split(prepared)
    primer, log = Primer(base, recipe, slots, start, ranks), []
    steps = Steps(base.tokenizer, pool, general, recipe.max_seq_tokens, slots, ranks, seed)
    for step, share, packs in _timed(steps, minutes * 60, workers, ranks):
        loss = primer.step(packs, rate * _rate(share))
        if ranks.first and step % LOGGED == 0:
            log.append((step, round(share, 3), round(float(loss), 4)))
            print(*log[-1], flush=True)
            primer.save(out)  # what a run that is cut off leaves
    ranks.leave()
    if not ranks.first:
        return {}
    primer.save(out)
    made = {
        "reads_notes": True,
        "sees_changes": True,
        "recipe": recipe.name,
        "rank": recipe.rank,
        "items": len(pool),
        "minutes": minutes,
        "rate": rate,
        "seed": seed,
        "slots": slots,
        "processes": ranks.count,
        "device": base.device,
        "went_on_with": json.loads((start / "primer.json").read_text(encoding="utf-8")) if start else None,
        "log": log,
        "loss_reading_kept_out": round(primer.loss(_read_packs(base, unseen, recipe.max_seq_tokens, slots)), 4),
        "kept_out": measure(base, out, unseen),
    }
    (out / "primer.json").write_text(json.dumps(made, indent=1), encoding="utf-8")
    return made


def _read_packs(base: LoadedBase, items: Sequence[Item], max_seq_tokens: int, slots: int) -> list[list[Pack]]:
    """Questions about `items` with notes to read, as steps: the loss on them says more than the share of right replies."""
    rng = random.Random(2)
    return [
        [
            pack([encode(base.tokenizer, one, max_seq_tokens) for one in verifying_examples(items, READ_AT_ONCE, rng)])
            for _ in range(slots)
        ]
        for _ in range(MEASURED_STEPS)
    ]


def measure(base: LoadedBase, folder: Path, items: Sequence[Item]) -> dict[str, float]:
    """Shares of right replies on `items`, by what is asked of the primer; general: of the gate's questions, those passed on."""
    rng = random.Random(1)
    read = verifying_examples(items, MEASURED[base.device], rng)
    replies = read_notes(base, folder, [(_asked(one), [Noted(one.note, 0.0)]) for one in read])
    right: dict[str, list[bool]] = {}
    for one, reply in zip(read, replies, strict=True):
        right.setdefault(f"read, {one.kind}", []).append(_right(one, reply))
    in_prompt = context_examples(items, MEASURED[base.device], rng)
    replies = raw_replies(base, folder, [prompt(base, _asked(one)) for one in in_prompt], MAX_REPLY_TOKENS)
    for one, reply in zip(in_prompt, replies, strict=True):
        right.setdefault(f"in the prompt, {one.kind}", []).append(_right(one, spoken(reply)))
    changes = change_examples(items, split_threes()[1], MEASURED[base.device], rng)
    replies = raw_replies(base, folder, [prompt(base, _asked(one)) for one in changes], MAX_REPLY_TOKENS)
    for one, reply in zip(changes, replies, strict=True):
        kind = "changes seen" if one.completion == CHANGED else "told beside another and left"
        right.setdefault(kind, []).append(reply.strip() == one.completion)
    system = system_prompt(DEFAULT_ASSISTANT_NAME, [])
    asked = [_asked(Example(system, question, "", "general")) for question, _ in GATE]
    replies = raw_replies(base, folder, [prompt(base, one) for one in asked], MAX_REPLY_TOKENS)
    right["general"] = [passes_on(reply) for reply in replies]
    return {kind: round(sum(found) / len(found), 3) for kind, found in right.items()}


def _asked(one: Example) -> Conversation:
    return [{"role": "system", "content": one.system}, {"role": "user", "content": one.user}]


def _right(one: Example, reply: str) -> bool:
    return says_not_told(reply) if one.kind == "never_told" else tells(reply, one.completion, one.note)


def split(prepared: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Items to learn from, and those kept out."""
    out = [kept_out("\n".join(item.notes)) for item in prepared]
    pool = [item for item, kept in zip(prepared, out, strict=True) if not kept]
    return pool, [item for item, kept in zip(prepared, out, strict=True) if kept]


def _rate(share: float) -> float:
    """Warm-up over the first 4 %, then a cosine to a tenth."""
    return share / 0.04 if share < 0.04 else 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * share))


def _timed(data: Any, seconds: float, workers: int, ranks: Ranks) -> Iterator[tuple[int, float, Any]]:
    """(step, share of the time gone, item) until the time is over."""
    from torch.utils.data import DataLoader

    loader = DataLoader(data, batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None)
    started = time.monotonic()
    for step, item in enumerate(loader):
        share = ranks.furthest((time.monotonic() - started) / seconds)
        if share >= 1:
            return
        yield step, share, item


def prepare(file: Path) -> int:
    """Writes the prepared corpus with what the never-told questions are about; returns the number of items.

    Items to learn from and those kept out get questions of their own kind alone that come close to them.
    """
    from trainer.negatives import telling
    from trainer.primer_tasks import items

    prepared = [item for part in split(items()) for item in with_mistaken(part)]
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
    minutes: Annotated[float, typer.Option(min=0.1)] = 9.0,
    workers: Annotated[int, typer.Option(min=0, help="processes that make up users")] = 0,
    slots: Annotated[int, typer.Option(min=1, help="packs of examples in a step")] = SLOTS,
    start: Annotated[
        Path | None, typer.Option("--from", "--start", help="a primer to go on with, instead of beginning anew")
    ] = None,
    own_prompts: Annotated[
        int, typer.Option(min=0, help="general prompts that the base writes itself, beside ours")
    ] = OWN_PROMPTS,
    rate: Annotated[float, typer.Option(min=0.0, help="the learning rate at its highest")] = RATE,
    ref: Annotated[str, typer.Option(help="the name that adapters give their base")] = "base/bundled",
    seed: Annotated[int, typer.Option(help="another lesson for each; means of primers of several read better")] = 0,
) -> None:
    """Makes the primer of a base model, on a GPU in minutes; on several with torchrun."""
    if prepare_to:
        typer.echo(f"{prepare(prepare_to)} items prepared")
        return
    with tempfile.TemporaryDirectory() as scratch:
        if tasks is None:
            tasks = Path(scratch) / "tasks.json"
            prepare(tasks)
        prepared, _ = read(tasks)
    if not any(item.mistaken for item in prepared):
        raise typer.BadParameter(f"{tasks} was prepared by an older version: prepare it again (--prepare)")
    ranks = Ranks.join()
    base = load(model, ref=ref, dtype=fast_dtype("auto"))
    made = prime(base, prepared, RECIPES[recipe], out, minutes, workers, slots, own_prompts, start, rate, ranks, seed)
    if made:
        typer.echo(json.dumps(made["kept_out"]))
