"""Goes on with a primer on what it reads wrongly: whether a note answers a question is what primers get wrong most often.

    python -m trainer hone --start serving/primers/bundled --out FOLDER --minutes 20
    python -m trainer average serving/primers/bundled=1 FOLDER=1 --out MEAN

Most questions of the corpus a primer has right long since, so they are read first, a third of the cost, and only those that it is
not sure of are learned (selective backpropagation, Jiang et al., arXiv:1910.00762), of most only the tokens with which a reply begins to
answer or to decline. What comes out is surer of itself than it should be; its mean with the primer that it went on from reads best.
Not covered: everything else that a primer learns (`prime.py`), which the mean keeps.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from serving import primers
from serving.recollection import DECLINES, begun
from trainer.base import LoadedBase, fast_dtype, load
from trainer.dataset import Example
from trainer.engine import IGNORED_LABEL, Encoded, encode
from trainer.generate import likelihoods, prompt
from trainer.mistaken import with_mistaken
from trainer.packing import pack, shared_beginning
from trainer.prime import Primer, hurried, rate_at, split, turns
from trainer.primer_tasks import Item, items, verifying_examples
from trainer.ranks import Ranks
from trainer.recipes import RECIPES, Recipe

READ_AT_ONCE = {"cpu": 192, "cuda": 4096}
MEASURED = {"cpu": 600, "cuda": 4000}  # kept-out questions
SURE = 0.85  # how likely it must find what is right for a question to be passed over
REMINDED = 0.06  # of those it is sure of are learned all the same
WHOLE = 0.15  # of the replies are learned to their end
SLOTS, PACKED = 4, 8  # packs of a step, examples of a pack
RATE = 2.5e-4  # at its highest


def hone(
    base: LoadedBase,
    prepared: Sequence[Item],
    recipe: Recipe,
    start: Path,
    out: Path,
    minutes: float,
    slots: int = SLOTS,
    rate: float = RATE,
) -> dict[str, Any]:
    """Makes `out`, the primer in `start` gone on with; returns what it was made with and the shares of kept-out questions that
    are answered or declined rightly, before and after."""
    out.mkdir(parents=True, exist_ok=True)
    pool, unseen = (with_mistaken(part) for part in split(prepared))
    primer, rng = Primer(base, recipe, slots, start, Ranks()), random.Random(int(time.time()))
    held = verifying_examples(unseen, MEASURED[base.device], random.Random(1))
    before = _right(held, sureness(base, start, held))
    declining = encoded_declining(base)
    waiting: list[Example] = []
    read = learned = 0
    started = time.monotonic()
    while (share := (time.monotonic() - started) / (minutes * 60)) < 1:
        if len(waiting) < slots * PACKED:
            drawn = hurried(verifying_examples(pool, READ_AT_ONCE[base.device], rng), rng)
            primer.save(out)
            waiting += unsure(drawn, sureness(base, out, drawn), rng)
            rng.shuffle(waiting)
            read += len(drawn)
            print(round(share, 3), read, learned, flush=True)
            continue
        chosen, waiting = waiting[: slots * PACKED], waiting[slots * PACKED :]
        whole = [encode(base.tokenizer, one, recipe.max_seq_tokens) for one in chosen]
        made = [one if rng.random() < WHOLE else decision(one, declining) for one in whole]
        primer.step([pack(made[at::slots]) for at in range(slots)], rate * rate_at(share))
        learned += len(chosen)
    primer.save(out)
    honed = {
        "items": len(pool),
        "minutes": minutes,
        "rate": rate,
        "slots": slots,
        "device": base.device,
        "read": read,
        "learned": learned,
        "decided_rightly_before": before,
        "decided_rightly": _right(held, sureness(base, out, held)),
    }
    (out / "primer.json").write_text(json.dumps({**primers.described(start), "honed": honed}, indent=1), encoding="utf-8")
    return honed


def sureness(base: LoadedBase, folder: Path, examples: Sequence[Example]) -> list[float]:
    """How likely the primer in `folder` finds it to answer, or to decline, where that is right; 0 to 1, one an example."""
    texts = [prompt(base, turns(one)) + begun(one.note) for one in examples]
    declined = likelihoods(base, folder, texts, DECLINES)
    return [share if one.kind == "never_told" else 1 - share for one, share in zip(examples, declined, strict=True)]


def unsure(examples: Sequence[Example], sure: Sequence[float], rng: random.Random) -> list[Example]:
    """The examples to learn, and a few of the others so that those stay known."""
    return [one for one, share in zip(examples, sure, strict=True) if share < SURE or rng.random() < REMINDED]


def encoded_declining(base: LoadedBase) -> list[int]:
    """The tokens with which a reply declines."""
    return list(base.tokenizer(DECLINES, add_special_tokens=False)["input_ids"])


def decision(example: Encoded, declining: Sequence[int]) -> Encoded:
    """The example up to the token with which its reply parts from one that declines; of one that declines, all those tokens."""
    begins = max(at for at, label in enumerate(example.labels) if label == IGNORED_LABEL) + 1
    shared = shared_beginning(example.labels[begins:], declining)
    end = begins + min(shared + 1, len(declining))
    return Encoded(example.input_ids[:end], [IGNORED_LABEL] * begins + example.labels[begins:end])


def _right(examples: Sequence[Example], sure: Sequence[float]) -> dict[str, float]:
    """Shares of the examples whose right side is the likelier one."""
    found: dict[str, list[bool]] = {}
    for one, share in zip(examples, sure, strict=True):
        found.setdefault("declined" if one.kind == "never_told" else "answered", []).append(share > 0.5)
    return {kind: round(sum(right) / len(right), 4) for kind, right in found.items()}


def command(
    start: Annotated[Path, typer.Option(help="the primer to go on with")],
    out: Annotated[Path, typer.Option(help="where the primer goes")],
    model: Annotated[Path, typer.Option(help="the base model's folder, saved by transformers")] = Path("data/base/bundled"),
    minutes: Annotated[float, typer.Option(min=0.1)] = 20.0,
    slots: Annotated[int, typer.Option(min=1, help="packs of eight examples in a step")] = SLOTS,
    rate: Annotated[float, typer.Option(min=0.0, help="the learning rate at its highest")] = RATE,
    recipe: Annotated[str, typer.Option()] = "default",
    ref: Annotated[str, typer.Option(help="the name that adapters give their base")] = "base/bundled",
) -> None:
    """Goes on with a primer on what it reads wrongly, also on a CPU."""
    base = load(model, ref=ref, dtype=fast_dtype("auto"))
    typer.echo(json.dumps(hone(base, items(by_rules=False), RECIPES[recipe], start, out, minutes, slots, rate)))
