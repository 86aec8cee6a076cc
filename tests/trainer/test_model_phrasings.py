"""Phrasings by the served model: over loopback with replies good and bad, and by real vLLM under guided decoding."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import validate

from bot.facts import understand
from bot.memory import Memory
from serving.base_model import BaseModel
from serving.settings import ServingSettings
from tests.bot.model_server import Answer
from tests.bot.model_server import ModelServer as Loopback
from tests.trainer.worker.conftest import Learning, learning  # noqa: F401 - a fixture
from tests.vllm_server import ModelServer, free_port
from trainer.model_phrasings import (
    AUTO_MIN_PARAMETERS,
    PER_STYLE,
    STYLES,
    ModelGenerator,
    fits,
    generator_for,
    parameters,
    parsed,
    schema,
    together,
    write,
)
from trainer.phrasings import MIN_PHRASINGS, Phrasing, Rules, same_question
from trainer.settings import TrainerSettings
from trainer.worker import Stopped, Worker

(FACT,) = understand("my donkey is Pim")
GOOD = Phrasing("How do I call my donkey?", "Your donkey is called Pim.", "direct")


def serving_at(url: str, tmp_path: Path) -> ServingSettings:
    host, port = url.removeprefix("http://").split(":")
    return ServingSettings(data_dir=tmp_path, host=host, port=int(port))


def writer(pairs: list[dict[str, str]], reply: str = "Your donkey's name is Pim.") -> Answer:
    """A model that writes `pairs` when it is to write, and says `reply` to every question."""

    def answer(_model: str, messages: list[dict[str, str]]) -> str:
        return json.dumps({"phrasings": pairs}) if "Write" in messages[-1]["content"] else reply

    return answer


@pytest.mark.parametrize(
    ("reply", "questions"),
    [
        ('{"phrasings": [{"question": "Who is my donkey?", "answer": "Your donkey is Pim."}]}', ["Who is my donkey?"]),
        ('{"phrasings": [{"question": "Who?", "answer": "Pim."}, {"question": "cut o', ["Who?"]),
        ('Sure! {"question": "Who?", "answer": "Pim."} {"question": "no answer"}', ["Who?"]),
        ('{"phrasings": [{"question": 7, "answer": "Pim."}, "Who?", null, {"question": "Who?", "answer": " "}]}', []),
        ('{"phrasings": {"question": "Who?"}}', []),
        ('[{"question": "Who?"}]', []),
        ('{"other": 1}', []),
        ('"a text"', []),
        ("", []),
        ("{" * 50, []),
    ],
)
def test_of_any_reply_the_whole_pairs_are_read(reply: str, questions: list[str]) -> None:
    assert [one.question for one in parsed(reply, "direct")] == questions


@pytest.mark.parametrize(
    "change",
    [
        {"question": "Is Pim my donkey?"},  # gives the answer away
        {"question": "What is your donkey called?"},  # not the user's words
        {"question": "What is a donkey?"},  # about the world
        {"question": "x" * 200},
        {"answer": "Your donkey is called Tom."},
        {"answer": "It is Pim."},  # to nobody
        {"answer": "My donkey is Pim, like your donkey."},
    ],
)
def test_pair_that_must_not_be_trained_does_not_fit(change: dict[str, str]) -> None:
    assert fits(GOOD, FACT)
    assert not fits(replace(GOOD, **change), FACT)


def test_rules_fill_up_what_the_model_leaves_and_nothing_is_twice() -> None:
    of_rules = Rules().phrasings(FACT, random.Random(0))
    for of_model in (
        [],
        [GOOD],
        [replace(GOOD, question=f"Donkey question {number} of mine?") for number in range(40)],
    ):
        made = together(of_model, of_rules, random.Random(0))
        assert len(made) >= MIN_PHRASINGS
        assert len({same_question(one.question) for one in made if one.family != "typed_badly"}) == len(
            [one for one in made if one.family != "typed_badly"]
        )
        assert made[: len(of_model)] == of_model
        assert {"yes", "no", "reverse"} <= {one.family for one in made}


async def test_model_writes_under_a_schema_and_what_it_cannot_answer_itself_is_dropped(tmp_path: Path) -> None:
    pairs = [
        {"question": GOOD.question, "answer": GOOD.answer},
        {"question": "What do I feed my animal?", "answer": "You feed Pim."},
        {"question": "What is your donkey's name?", "answer": "Your donkey is Pim."},
    ]

    def answer(_model: str, messages: list[dict[str, str]]) -> str:
        asked = messages[-1]["content"]
        if "Write" in asked:
            return json.dumps({"phrasings": pairs})
        return "Your donkey is Pim." if "call" in asked else "Hay."

    async with Loopback() as server:
        server.answer = answer
        generator = ModelGenerator(serving_at(server.url, tmp_path))
        made = await asyncio.to_thread(generator.phrasings, FACT, random.Random(0))
    questions = [one.question for one in made]
    assert questions[0] == GOOD.question
    assert "What do I feed my animal?" not in questions
    assert "What is your donkey's name?" not in questions
    writing = [one for one in server.asked if one.json_schema]
    assert len(writing) == len(STYLES)
    assert all(one.model == "base" and one.json_schema == schema(PER_STYLE) for one in writing)
    round_trips = [one for one in server.asked if not one.json_schema]
    assert {one.text for one in round_trips} == {GOOD.question, "What do I feed my animal?"}
    assert all("- Your donkey is Pim." in one.system for one in round_trips)


@pytest.mark.parametrize("failure", ["nobody there", "503", "broken off"])
async def test_server_that_fails_leaves_the_writing_to_the_rules_with_a_line_in_the_log(
    tmp_path: Path, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Loopback() as server:
        server.status = 503 if failure == "503" else 200
        server.break_off_after = 1 if failure == "broken off" else None
        url = f"http://127.0.0.1:{free_port()}" if failure == "nobody there" else server.url
        generator = ModelGenerator(serving_at(url, tmp_path))
        for _ in range(2):
            made = await asyncio.to_thread(generator.phrasings, FACT, random.Random(5))
            assert made == Rules().phrasings(FACT, random.Random(5))
        asked = len(server.asked)
    assert asked <= len(STYLES)  # the second fact does not try again
    assert caplog.text.count("rules write them") == 1
    assert "Pim" not in caplog.text


async def test_log_of_a_success_holds_counts_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Loopback() as server:
        server.answer = writer([{"question": GOOD.question, "answer": GOOD.answer}])
        generator = ModelGenerator(serving_at(server.url, tmp_path))
        with caplog.at_level(logging.INFO, logger="trainer"):
            await asyncio.to_thread(generator.phrasings, FACT, random.Random(0))
    assert "4 written, 1 usable, 1 kept" in caplog.text
    assert "Pim" not in caplog.text
    assert "donkey" not in caplog.text


def test_settings_and_the_size_of_the_base_choose_the_generator(tmp_path: Path, base_model: BaseModel) -> None:
    serving = ServingSettings(data_dir=tmp_path)
    small, large = Path(base_model.path), tmp_path / "large"
    large.mkdir()
    shapes = {"embed": {"dtype": "BF16", "shape": [AUTO_MIN_PARAMETERS // 1000, 1000], "data_offsets": [0, 0]}}
    header = json.dumps({"__metadata__": {}, **shapes}).encode()
    (large / "model-00001.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert 130e6 < parameters(small) < 140e6
    assert parameters(tmp_path) == 0
    chosen = {
        (how, base): type(generator_for(TrainerSettings(phrasings=how), serving, base))
        for how in ("rules", "model", "auto")
        for base in (small, large)
    }
    assert chosen == {
        ("rules", small): Rules,
        ("rules", large): Rules,
        ("model", small): ModelGenerator,
        ("model", large): ModelGenerator,
        ("auto", small): Rules,
        ("auto", large): ModelGenerator,
    }


@contextmanager
def loopback() -> Iterator[Loopback]:
    """The stand-in in a thread of its own, as the worker meets it: asyncio runs in none of the worker's."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = Loopback()
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_worker_trains_on_what_the_model_wrote_and_without_a_server_on_the_rules(
    tmp_path: Path,
    memory: Memory,
    learning: Learning,  # noqa: F811
) -> None:
    user = memory.user_for("terminal", "me")
    memory.facts.tell(user.id, FACT, lambda _new, _old: False)
    pairs = [
        {"question": f"{opening} do I call my donkey?", "answer": GOOD.answer}
        for opening in ("How", "By which name", "With what word")
    ]
    trained = []
    for there in (True, False):
        with loopback() as server:
            server.answer = writer(pairs)
            serving = serving_at(server.url if there else f"http://127.0.0.1:{free_port()}", tmp_path)
            settings = TrainerSettings(data_dir=tmp_path, phrasings="model")
            worker = Worker(memory, settings, serving, BaseModel("/base", "base/bundled"), threading.Event())
            job = memory.jobs.add(user.id, "retrain")
            worker.work_once()
        assert memory.jobs.get(job.id).state == "done"
        trained.append({pair["question"] for pair in pairs} & set(learning.trained[-1]))
    assert trained[0]  # what is not trained is kept for the check
    assert len(learning.trained[1]) >= MIN_PHRASINGS
    assert trained[1] == set()


def test_writing_ends_between_two_facts_when_the_process_is_asked_to_stop(tmp_path: Path) -> None:
    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        ModelGenerator(serving_at("http://127.0.0.1:1", tmp_path), stop).phrasings(FACT, random.Random(0))


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_real_server_decodes_under_the_schema_and_the_round_trip_decides(model_server: ModelServer) -> None:
    async with model_server.client(answer_timeout_seconds=240.0) as client:
        pairs = await write(client, FACT, "direct", seed=1)
        assert (
            len(pairs) == PER_STYLE
        )  # the count that the schema asks for, from a model that keeps to nothing by itself
        validate({"phrasings": [{"question": one.question, "answer": one.answer} for one in pairs]}, schema(PER_STYLE))
    serving = model_server.settings.model_copy(update={"answer_timeout_seconds": 240.0})
    generator = ModelGenerator(serving)
    made = await asyncio.to_thread(generator.phrasings, FACT, random.Random(0))
    assert not generator.failed
    assert len(made) >= MIN_PHRASINGS
    assert all("Pim" in one.answer for one in made)
