"""A user's facts made ready for training: questions written about them, what is no longer true left out, the dataset built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bot.facts import Fact
from trainer.base import LoadedBase
from trainer.changes import outdated
from trainer.dataset import Dataset, Replay, build
from trainer.phrasings import Generator
from trainer.primer import start_folder
from trainer.recipes import Recipe
from trainer.writer import written


class UserDataset(NamedTuple):
    """`outdated`: places of the facts that it was built without."""

    dataset: Dataset
    outdated: frozenset[int]


def user_dataset(
    base: LoadedBase,
    recipe: Recipe,
    facts: Sequence[Fact],
    *,
    assistant_name: str,
    seed: int,
    replay: Sequence[Replay],
    generator: Generator | None = None,
) -> UserDataset:
    """The dataset of `facts`, which are in the order told, as the recipe wants it."""
    questions = written(base, recipe, [fact.text for fact in facts], seed)
    gone = outdated(base, recipe, facts, questions)
    left = [at for at in range(len(facts)) if at not in gone]
    dataset = build(
        [facts[at] for at in left],
        assistant_name=assistant_name,
        seed=seed,
        replay=replay,
        mix=recipe.mix,
        generator=generator,
        recalls=start_folder(base, recipe) is not None,
        written=[questions[at] for at in left] if questions else [],
    )
    return UserDataset(dataset, gone)
