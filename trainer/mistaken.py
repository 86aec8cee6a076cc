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

from trainer.notes import stems
from trainer.primer_tasks import Item

LEAST_SHARED = 0.35  # of a question's weight
TIES = 2.5  # the weight from which a word ties a question to its fact
COMMON = 400  # facts with a word that none is looked for by
LOOKED_AT = 8  # facts with the most of a question's weight
MOST = 12  # questions a fact


def with_mistaken(items: Sequence[Item]) -> list[Item]:
    """The items, each with questions about others that come close to one of its facts, the closest first."""
    facts = [(at, stems(note)) for at, item in enumerate(items) for note in (*item.notes, *item.recalled)]
    holding: defaultdict[str, list[int]] = defaultdict(list)
    for number, (_, held) in enumerate(facts):
        for stem in held:
            holding[stem].append(number)
    found: list[dict[str, float]] = [{} for _ in items]
    for at, item in enumerate(items):
        own = stems(" ".join([*item.notes, *item.recalled]))
        for _, question in item.told:
            weight = {stem: math.log(len(facts) / (1 + len(holding[stem]))) for stem in stems(question)}
            ties = {stem for stem in weight if stem in own and weight[stem] > TIES}
            shared: defaultdict[int, float] = defaultdict(float)
            for stem in weight:
                for number in holding[stem] if len(holding[stem]) <= COMMON else ():
                    shared[number] += weight[stem]
            for number in nlargest(LOOKED_AT, shared, key=shared.__getitem__):
                other, held = facts[number]
                share = shared[number] / sum(weight.values())
                if other != at and ties - held and share >= LEAST_SHARED:
                    found[other][question] = max(share, found[other].get(question, 0.0))
    return [
        replace(item, mistaken=sorted(close, key=lambda one: -close[one])[:MOST])
        for item, close in zip(items, found, strict=True)
    ]
