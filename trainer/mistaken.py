"""Questions that sound like a fact and are about another: what others asked, for which this fact comes to mind first.

A memory recalls the fact that is nearest, whether it answers or not; so these are what the primer has to decline. Found by
shared words, the rarer the weightier. A question counts only where a word that ties it to the fact it was asked about is
not in this one. Not covered: questions that people wrote to be nearly right (`Item.not_told`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from heapq import nlargest

from serving.words import stems
from trainer.primer_tasks import Item

LEAST_SHARED = 0.35  # of a question's weight
TIES = 2.5  # the weight from which a word ties a question to its fact
COMMON = 400  # facts with a word that none is looked for by
LOOKED_AT = 8  # facts with the most of a question's weight
MOST = 12  # questions a fact
A_LITTLE = (0.12, 0.35)  # of a statement's weight; two with more may well be about the same thing


def with_mistaken(items: Sequence[Item]) -> list[Item]:
    """The items, each with questions about others that come close to one of its facts, and statements a little like it."""
    facts = _Facts(items)
    asked: list[dict[str, float]] = [{} for _ in items]
    beside: list[list[str]] = []
    for at, item in enumerate(items):
        own = stems(" ".join([*item.notes, *item.recalled]))
        for _, question in item.told:
            ties = {stem for stem, weight in facts.weights(question).items() if stem in own and weight > TIES}
            for other, share, held in facts.close(question, at):
                if ties - held and share >= LEAST_SHARED:
                    asked[other][question] = max(share, asked[other].get(question, 0.0))
        near = facts.close(item.told[0][0], at) if item.told and not item.grouped else []
        others = [items[other] for other, share, _ in near if A_LITTLE[0] <= share <= A_LITTLE[1]]
        beside.append([other.told[0][0] for other in others if other.told])
    return [
        replace(item, mistaken=sorted(near, key=lambda one: -near[one])[:MOST], beside=list(dict.fromkeys(others)))
        for item, near, others in zip(items, asked, beside, strict=True)
    ]


class _Facts:
    """All items' facts by their words."""

    def __init__(self, items: Sequence[Item]) -> None:
        notes = [(at, note) for at, item in enumerate(items) for note in dict.fromkeys([*item.notes, *item.recalled])]
        self._facts = [(at, stems(note)) for at, note in notes]
        self._holding: defaultdict[str, list[int]] = defaultdict(list)
        for number, (_, held) in enumerate(self._facts):
            for stem in held:
                self._holding[stem].append(number)

    def weights(self, text: str) -> dict[str, float]:
        """The text's words, the rarer the weightier."""
        return {stem: math.log(len(self._facts) / (1 + len(self._holding.get(stem, ())))) for stem in stems(text)}

    def close(self, text: str, but: int) -> list[tuple[int, float, frozenset[str]]]:
        """(item, share of the text's weight that the fact has, the fact's words) of the closest facts, but those of one item."""
        weights = self.weights(text)
        shared: defaultdict[int, float] = defaultdict(float)
        for stem, weight in weights.items():
            holding = self._holding.get(stem, ())
            for number in holding if len(holding) <= COMMON else ():
                shared[number] += weight
        of_all = sum(weights.values())
        closest = nlargest(LOOKED_AT, shared, key=shared.__getitem__)
        found = [(self._facts[number][0], shared[number] / of_all, self._facts[number][1]) for number in closest]
        return [one for one in found if one[0] != but]
