"""Questions about a fact as people would ask them, written by the primer.

The primer learns it from the corpus (`writing_examples`), beside its other lessons. What it writes for a user's fact may be
odd or not answered by it; but only which fact is nearest to such a question is learned from it.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.base import LoadedBase
from trainer.dataset import Example
from trainer.decoding import Conversation, continuations, prompt
from trainer.primer import start_folder
from trainer.recipes import Recipe

WRITER = "Write a question about this, as I would ask it later."
_TOKENS = 32
LENGTH = (8, 140)  # characters of a question


def writing_example(told: str, question: str) -> Example:
    return Example(WRITER, told, question, "writing")


def writing(told: str) -> Conversation:
    return [{"role": "system", "content": WRITER}, {"role": "user", "content": told}]


def written(base: LoadedBase, recipe: Recipe, told: Sequence[str], seed: int) -> list[list[str]]:
    """As many different questions about each statement as the recipe wants; none where it wants none or there is no primer."""
    folder = start_folder(base, recipe) if recipe.mix.written_per_fact else None
    if folder is None:
        return []
    texts = [prompt(base, writing(one)) for one in told]
    return [fitting(made) for made in continuations(base, folder, texts, recipe.mix.written_per_fact, _TOKENS, seed)]


def fitting(made: Sequence[str]) -> list[str]:
    """Without repetitions, and what is too short, too long or of more than a line."""
    found: dict[str, str] = {}
    for one in (text.strip() for text in made):
        if LENGTH[0] <= len(one) <= LENGTH[1] and "\n" not in one:
            found.setdefault(one.casefold(), one)
    return list(found.values())
