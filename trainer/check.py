"""Asks a candidate the questions that its training never saw, and counts: what the gate decides on.

The base's right answers to the general questions are asked once and kept beside the base model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from serving.prompts import system_prompt
from trainer.base import LoadedBase
from trainer.dataset import Probe
from trainer.gate import Scores
from trainer.general_prompts import GATE
from trainer.generate import PASSED_ON, generate
from trainer.grading import holds, recalled, says_not_told

MAX_REPLY_TOKENS = 40

Conversation = list[dict[str, str]]
Generate = Callable[[list[Conversation]], list[str]]


def ask(
    base: LoadedBase, folder: Path | None, probes: Sequence[Probe], assistant_name: str, general_base: Sequence[bool]
) -> tuple[Scores, list[tuple[str, str, bool]]]:
    """Scores of the adapter in `folder` (None: the bare base), and every (question, reply, right).

    `general_base`: what the base gets right, which counts where the adapter passes a general question on.
    """
    system = system_prompt(assistant_name, [])
    questions = [probe.question for probe in probes] + [question for question, _ in GATE[: len(general_base)]]
    conversations = [_conversation(system, question) for question in questions]
    replies = generate(base, folder, conversations, MAX_REPLY_TOKENS, ask_base=False)
    right = [
        says_not_told(reply) if probe.expects == "never_told" else recalled(reply, probe.accept, probe.reject)
        for probe, reply in zip(probes, replies, strict=False)
    ]
    general = [
        of_base if reply == PASSED_ON else _general_right(reply, answers)
        for reply, (_, answers), of_base in zip(replies[len(probes) :], GATE, general_base, strict=False)
    ]
    told = [ok for ok, probe in zip(right, probes, strict=True) if probe.expects == "recall"]
    never = [ok for ok, probe in zip(right, probes, strict=True) if probe.expects == "never_told"]
    scores = Scores(
        *(sum(told), len(told), sum(never), len(never)),
        *(sum(general), sum(general_base), len(general)),
    )
    return scores, list(zip(questions, replies, right + general, strict=True))


def general_of_base(base: LoadedBase, cache_dir: Path, count: int) -> list[bool]:
    """Which of the first `count` general questions the bare base gets right; computed once, then read from the cache."""
    questions = GATE[:count]
    digest = hashlib.sha256(json.dumps([base.ref, MAX_REPLY_TOKENS, questions]).encode()).hexdigest()[:16]
    cached = cache_dir / f"general-{digest}.json"
    if cached.is_file():
        return [bool(right) for right in json.loads(cached.read_text())]
    replies = generate(base, None, [[{"role": "user", "content": q}] for q, _ in questions], MAX_REPLY_TOKENS)
    right = [_general_right(reply, answers) for reply, (_, answers) in zip(replies, questions, strict=True)]
    cache_dir.mkdir(parents=True, exist_ok=True)
    cached.write_text(json.dumps(right))
    return right


def _conversation(system: str, question: str) -> Conversation:
    return [{"role": "system", "content": system}, {"role": "user", "content": question}]


def _general_right(reply: str, answers: Sequence[str]) -> bool:
    return any(holds(reply, answer) for answer in answers)
