"""Questions and answers for a fact, written by the served base model, for bases large enough to write them well.

The model writes under a JSON schema (guided decoding), a few calls a fact, each for another way of asking. Then a round
trip: asked each question with the statement in its prompt, it must give the value, else the question is dropped. The
rules add what the model is not asked for (yes, no, reverse), fill up to `MIN_PHRASINGS`, and write everything where the
server fails. Not covered: starting the server (`serving`), and bases too small to write (`generator_for` leaves those out).
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.facts import Fact, you_form
from serving.client import Message, ServingClient
from serving.errors import ServingError
from serving.prompts import DEFAULT_ASSISTANT_NAME, system_prompt
from serving.settings import BASE_NAME, ServingSettings
from trainer.grading import holds, recalled
from trainer.phrasings import MIN_PHRASINGS, QUOTAS, Generator, Phrasing, Rules, accepted, same_question, typed_badly
from trainer.settings import TrainerSettings

log = logging.getLogger(__name__)

AUTO_MIN_PARAMETERS = 3_000_000_000
PER_STYLE = 8  # questions asked for in one call
MAX_QUESTION_CHARS, MAX_ANSWER_CHARS = 120, 160
MAX_REPLY_TOKENS = 40
TEMPERATURE = 0.7
STYLES = {  # family → how its questions are asked for
    "direct": "plain questions, each in other words",
    "indirect": "polite or roundabout requests, some of them inside a longer sentence about the user's day",
    "imperative": "short commands",
    "fragment": "fragments of two to four words, as people type them in a chat",
}
FROM_RULES = ("reverse", "yes", "no")  # which hold the value, so a round trip would prove nothing
_OF_THE_USER = re.compile(r"\b(?:i|i'm|i've|me|my|mine|we|our)\b", re.IGNORECASE)
_OF_THE_ASSISTANT = re.compile(r"\byours?\b", re.IGNORECASE)
_TO_THE_USER = re.compile(r"\byou(?:r|rs|'re|'ve)?\b", re.IGNORECASE)

Between = Callable[[], None]


@dataclass(slots=True)
class ModelGenerator:
    """`between` is called before every fact, and may raise to end the work. After a failure of the server all is rules."""

    serving: ServingSettings
    between: Between = lambda: None
    rules: Generator = Rules()  # noqa: RUF009 - holds nothing
    failed: bool = False

    def phrasings(self, fact: Fact, rng: random.Random) -> list[Phrasing]:
        """What the model wrote and could answer, then what the rules add. At least as many as the rules alone make sure of."""
        self.between()
        of_rules = self.rules.phrasings(fact, rng)
        if self.failed:
            return of_rules
        try:
            kept = asyncio.run(self._of_model(fact, rng.getrandbits(31)))
        except ServingError as error:
            self.failed = True
            log.warning("the model server does not write phrasings (%s): rules write them", error)
            return of_rules
        return together(kept, of_rules, rng)

    async def _of_model(self, fact: Fact, seed: int) -> list[Phrasing]:
        async with ServingClient(self.serving.url, self.serving.key(), self.serving.answer_timeout_seconds) as client:
            written = await asyncio.gather(*(write(client, fact, family, seed) for family in STYLES))
            usable = [one for of_style in written for one in of_style if fits(one, fact)]
            different = list({same_question(one.question): one for one in usable}.values())
            known = await asyncio.gather(*(knows(client, fact, one.question) for one in different))
        kept = [one for one, right in zip(different, known, strict=True) if right]
        log.info("phrasings: %d written, %d usable, %d kept", sum(map(len, written)), len(different), len(kept))
        return kept


def generator_for(
    settings: TrainerSettings, serving: ServingSettings, base_path: Path, between: Between = lambda: None
) -> Generator:
    """The generator that the settings choose for a base."""
    large = settings.phrasings == "auto" and parameters(base_path) >= AUTO_MIN_PARAMETERS
    return ModelGenerator(serving, between) if settings.phrasings == "model" or large else Rules()


def schema(count: int) -> dict[str, object]:
    """`count` questions with their answers."""
    text = {"type": "string", "minLength": 4}
    pair = {
        "type": "object",
        "properties": {
            "question": {**text, "maxLength": MAX_QUESTION_CHARS},
            "answer": {**text, "maxLength": MAX_ANSWER_CHARS},
        },
        "required": ["question", "answer"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"phrasings": {"type": "array", "items": pair, "minItems": count, "maxItems": count}},
        "required": ["phrasings"],
        "additionalProperties": False,
    }


async def write(client: ServingClient, fact: Fact, family: str, seed: int) -> list[Phrasing]:
    """What the model writes for one way of asking; errors as in `ServingClient.stream`."""
    task = (
        f"A user told their assistant: {json.dumps(fact.text, ensure_ascii=False)}\n"
        f"Write {PER_STYLE} different {STYLES[family]}, by which this user asks the assistant for that fact later. The user "
        'speaks of themselves as "I" and "my" and does not say the answer. Each with the assistant\'s answer: one sentence '
        'to the user, with "you" or "your", that says the fact and nothing else.'
    )
    reply = await client.complete(
        BASE_NAME,
        [Message("user", task)],
        max_tokens=PER_STYLE * (MAX_QUESTION_CHARS + MAX_ANSWER_CHARS) // 3,
        temperature=TEMPERATURE,
        seed=seed,
        json_schema=schema(PER_STYLE),
    )
    return parsed(reply, family)


def parsed(reply: str, family: str) -> list[Phrasing]:
    """The pairs of a reply; of one that was cut off, or is not of the shape asked for, those that are whole."""
    try:
        found = json.loads(reply)
        pairs = found["phrasings"] if isinstance(found, dict) else []
    except (json.JSONDecodeError, KeyError):
        pairs = [_object(text) for text in re.findall(r"\{[^{}]*\}", reply)]
    made = []
    for pair in pairs if isinstance(pairs, list) else []:
        texts = [pair.get(name) for name in ("question", "answer")] if isinstance(pair, dict) else []
        question, answer = (" ".join(text.split()) if isinstance(text, str) else "" for text in texts or ("", ""))
        if question and answer:
            made.append(Phrasing(question, answer, family))
    return made


def fits(one: Phrasing, fact: Fact) -> bool:
    """Whether a pair may be trained: the user asks about themselves without the value, and is told it as "you"."""
    accept = accepted(fact)
    asks = 2 <= len(one.question) <= MAX_QUESTION_CHARS and not _OF_THE_ASSISTANT.search(one.question)
    of_user = one.family == "fragment" or bool(_OF_THE_USER.search(one.question))
    told = any(holds(one.answer, value) for value in accept) and bool(_TO_THE_USER.search(one.answer))
    spoken = not _OF_THE_USER.search(one.answer) and len(one.answer) <= MAX_ANSWER_CHARS
    return asks and of_user and told and spoken and not any(holds(one.question, value) for value in accept)


async def knows(client: ServingClient, fact: Fact, question: str) -> bool:
    """The round trip: whether the model, with the statement in its prompt, answers the question with the value."""
    system = system_prompt(DEFAULT_ASSISTANT_NAME, [you_form(fact.text)])
    messages = [Message("system", system), Message("user", question)]
    return recalled(await client.complete(BASE_NAME, messages, max_tokens=MAX_REPLY_TOKENS), accepted(fact))


def together(of_model: Sequence[Phrasing], of_rules: Sequence[Phrasing], rng: random.Random) -> list[Phrasing]:
    """The model's, some of them typed badly, and of the rules' what is of other families or needed to be enough."""
    kept = list(of_model)
    kept += typed_badly(kept, min(QUOTAS["typed_badly"], len(kept) // 2), rng)
    taken = {same_question(one.question) for one in kept}
    new = [one for one in of_rules if same_question(one.question) not in taken]
    kept += [one for one in new if one.family in FROM_RULES]
    rest = [one for one in new if one.family not in FROM_RULES]
    return kept + rest[: max(0, MIN_PHRASINGS - len(kept))]


def parameters(base_path: Path) -> int:
    """How many weights a base on disk has, from the headers of its safetensors files; 0 where it has none."""
    count = 0
    for file in sorted(base_path.glob("*.safetensors")):
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(length))
        for name, tensor in header.items():
            if name != "__metadata__":
                size = 1
                for side in tensor["shape"]:
                    size *= side
                count += size
    return count


def _object(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None
