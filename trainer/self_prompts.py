"""General prompts that the base model itself makes up, and its own answers to such, to keep its general ability in training.

A chat model that is given only the beginning of a user's turn writes one, as people's are in its training (Magpie,
arXiv:2406.08464). Some are begun for it, so that short questions of knowledge are among them. Left out are prompts about
oneself, which are for the facts, those that did not come to an end, and those that are said already.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from trainer.base import LoadedBase
from trainer.dataset import Replay
from trainer.decoding import continuations
from trainer.generate import generate

ANSWER_TOKENS = 64
_PROMPT_TOKENS = 40
_BEGINNINGS = (
    "", "What is", "What are", "Who", "Where", "When", "Which", "How many", "How much", "How do", "How", "Why", "Name", "Is", "Are",
    "Can", "Explain", "What", "What does", "What color", "Write", "Give", "List", "Define", "If", "In", "Tell", "A", "The", "There",
)  # fmt: skip
_ABOUT_ONESELF = re.compile(r"\b(my|mine|i|i'm|i've|we|our|us)\b", re.IGNORECASE)
LENGTH = (12, 160)  # characters of a prompt


def self_prompts(base: LoadedBase, count: int, seed: int = 0) -> list[str]:
    """Up to `count` different prompts."""
    template = base.tokenizer.apply_chat_template([{"role": "user", "content": "\0"}], tokenize=False)
    before = template.partition("\0")[0]
    found: dict[str, str] = {}
    for attempt in range(4 if count else 0):
        made = continuations(base, None, [before + one for one in _BEGINNINGS], count // 24, _PROMPT_TOKENS, seed + attempt)
        for beginning, written in zip(_BEGINNINGS, made, strict=True):
            for one in written:
                prompt = (beginning + one).strip() if one else ""
                if LENGTH[0] <= len(prompt) <= LENGTH[1] and "\n" not in prompt and not _ABOUT_ONESELF.search(prompt):
                    found.setdefault(re.sub(r"\W+", " ", prompt.casefold()), prompt)
        if len(found) >= count:
            break
    prompts = sorted(found.values())
    random.Random(seed).shuffle(prompts)
    return prompts[:count]


def answers(base: LoadedBase, prompts: Sequence[str]) -> list[Replay]:
    """The base's own greedy answers to general prompts; of a long one the beginning."""
    replies = generate(base, None, [[{"role": "user", "content": one}] for one in prompts], ANSWER_TOKENS)
    return [
        Replay(prompt, reply, len(base.tokenizer(reply)["input_ids"]) >= ANSWER_TOKENS - 1)
        for prompt, reply in zip(prompts, replies, strict=True)
        if reply
    ]
