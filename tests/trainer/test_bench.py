"""The benchmark's figures add up, on a shape that a CPU trains in a blink, and it needs nothing of the bot."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.trainer.conftest import ROOT
from trainer import bench_measure
from trainer.__main__ import app
from trainer.bench_measure import Clock, flop_per_user
from trainer.bench_shapes import random_base, random_users
from trainer.bench_table import rows
from trainer.engine import Progress
from trainer.recipes import PAPER, PAPER_RATE_USD_PER_HOUR
from trainer.stacked import Options


def bench(tmp_path: Path, *arguments: str) -> dict[str, Any]:
    out = tmp_path / "out.json"
    result = CliRunner().invoke(app, ["bench", "--shape", "tiny", "--device", "cpu", "--json", str(out), *arguments])
    assert result.exit_code == 0, result.output
    held: dict[str, Any] = json.loads(out.read_text())
    return held


def test_a_run_says_what_a_user_costs_and_what_it_ran_on(tmp_path: Path) -> None:
    out = bench(tmp_path, "--users", "3", "--users-per-step", "2", "--own-rate", "0.1", "--epochs", "1")
    (run,) = out["runs"]
    assert out["ran_on"].keys() == {"device", "torch", "transformers"}
    assert run["users_per_step"] == 2
    assert run["usd_per_user"] == pytest.approx(run["seconds_per_user"] / 3600 * PAPER_RATE_USD_PER_HOUR)
    assert run["usd_per_user_own_rate"] == pytest.approx(run["seconds_per_user"] / 3600 * 0.1)
    assert run["users_per_hour"] == pytest.approx(3600 / run["seconds_per_user"])
    assert 0 < run["share_of_ceiling"] < 1
    assert run["seconds_per_user"] > run["fixed_seconds_per_user"] >= 0


def test_sweep_and_plot(tmp_path: Path) -> None:
    plot = tmp_path / "plots" / "users.png"
    out = bench(tmp_path, "--users", "1", "--epochs", "1", "--sweep", "1,4", "--plot", str(plot))
    assert [run["users_per_step"] for run in out["runs"]] == [1, 1, 4]
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_both_engines_in_one_run(tmp_path: Path) -> None:
    out = bench(tmp_path, "--users", "2", "--engine", "both", "--epochs", "1")
    assert [run["engine"] for run in out["runs"]] == ["stacked", "trl"]
    assert out["runs"][1]["quantization"] == "nf4"


def test_a_run_that_fails_is_named_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = bench_measure.measure

    def first_fails(held: Any, row: Any) -> dict[str, Any]:
        if row.name == "asked for":
            raise RuntimeError("no such kernel")
        return measure(held, row)

    monkeypatch.setattr(bench_measure, "measure", first_fails)
    out = tmp_path / "out.json"
    options = ["--shape", "tiny", "--device", "cpu", "--epochs", "1", "--sweep", "1", "--json", str(out)]
    assert CliRunner().invoke(app, ["bench", *options]).exit_code == 1
    failed, made = json.loads(out.read_text())["runs"]
    assert failed == {"name": "asked for", "error": "RuntimeError: no such kernel"}
    assert made["seconds_per_user"] > 0


def test_a_savings_switch_changes_the_work(tmp_path: Path) -> None:
    (saved,) = bench(tmp_path, "--users", "1", "--epochs", "1")["runs"]
    (plain,) = bench(tmp_path, "--users", "1", "--epochs", "1", "--no-shared-prefix", "--no-label-logits")["runs"]
    assert saved["tokens_per_user"] < 0.65 * plain["tokens_per_user"]
    assert saved["flop_per_user"] < 0.65 * plain["flop_per_user"]


def test_users_have_the_papers_tokens(tmp_path: Path) -> None:
    for user in random_users(3, 512, tmp_path):
        assert len(user.examples) == 61
        lengths = [len(one.input_ids) for one in user.examples]  # type: ignore[union-attr]
        assert sum(lengths) * PAPER.epochs == 15_530


def test_flop_are_those_of_the_products() -> None:
    model = random_base("tiny", "cpu", "float32", "none").model
    linear = sum(value.numel() for name, value in model.named_parameters() if "proj" in name)
    lora = PAPER.rank * sum(sum(value.shape) for name, value in model.named_parameters() if "proj" in name)
    head = model.lm_head.weight.numel()
    expected = 1000 * (4 * linear + 6 * lora) + PAPER.epochs * 30 * 4 * head
    assert flop_per_user(model, PAPER, Options(), 1000, 30) == expected


def test_the_time_of_fewer_epochs_is_scaled_but_not_the_fixed_part(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 3.0, 4.0, 5.0, 7.0])
    monkeypatch.setattr("trainer.bench_measure.time.monotonic", lambda: next(now))
    clock = Clock(1, 5)
    for step in (1, 2, 3):
        clock.tick(Progress("user", step, 3, 0.1))
    clock.stop()
    assert (clock.fixed, clock.seconds) == (4.0, 4.0 + 3.0 * 5)


def test_epochs_left_out_last_as_long_as_the_last_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 10.0, 20.0, 21.0, 22.0, 22.0])
    monkeypatch.setattr("trainer.bench_measure.time.monotonic", lambda: next(now))
    clock = Clock(2, 5)
    for step in (1, 2, 3, 4):
        clock.tick(Progress("user", step, 4, 0.1))
    clock.stop()
    first_step = 4.0  # the mean of the others, of which 22 s leave 6 for what is fixed
    assert (clock.fixed, clock.seconds) == (22.0 - first_step - 12.0, 22.0 + 3 * 2.0)


def test_every_row_of_the_table_has_a_name_of_its_own() -> None:
    names = [row.name for row in rows(PAPER, 28)]
    assert len(names) == len(set(names)) > 15


@pytest.mark.slow
def test_rows_of_the_table_can_be_run_alone_and_shown_later(tmp_path: Path) -> None:
    out = bench(tmp_path, "--users", "0", "--epochs", "1", "--rows", "2 users;1 users")
    assert [run["users_per_step"] for run in out["runs"]] == [2, 1]
    shown = subprocess.run(
        [sys.executable, "-m", "trainer.bench_table", str(tmp_path / "out.json"), str(tmp_path / "plot.png")],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert shown.stdout.count("\n| ") == 3, shown.stderr
    assert (tmp_path / "plot.png").is_file()
    wrong = CliRunner().invoke(app, ["bench", "--shape", "tiny", "--device", "cpu", "--rows", "3 users"])
    assert "there are: 8 users; 1 users" in " ".join(wrong.output.replace("│", " ").split())


def test_a_run_that_is_cut_off_leaves_what_it_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = bench_measure.measure

    def cut_off(held: Any, row: Any) -> dict[str, Any]:
        if row.name == "2 users":
            raise KeyboardInterrupt
        return measure(held, row)

    monkeypatch.setattr(bench_measure, "measure", cut_off)
    out = tmp_path / "out.json"
    options = ["--users", "0", "--epochs", "1", "--sweep", "1,2", "--json", str(out)]
    assert CliRunner().invoke(app, ["bench", "--shape", "tiny", "--device", "cpu", *options]).exit_code
    assert [run["name"] for run in json.loads(out.read_text())["runs"]] == ["1 users"]


def test_a_profile_names_what_a_step_spends_its_time_on(tmp_path: Path) -> None:
    out = bench(tmp_path, "--users", "2", "--epochs", "1", "--profile")
    found = out["profile"]
    assert found["steps"] == 8
    assert 0 < found["busy_ms"] == pytest.approx(sum(one["ms"] for one in found["kernels"]))
    assert "aten::baddbmm_" in [one["name"] for one in found["kernels"]]


def test_training_needs_nothing_of_the_bot() -> None:
    """A rented card has torch, transformers, peft and typer, and not what the bot and the store are made of."""
    block = (
        "import sys; sys.modules.update(dict.fromkeys(['bot', 'spacy', 'pydantic_settings', 'sqlite_utils', 'httpx']))"
    )
    names = "trainer.bench, trainer.bench_profile, trainer.bench_shapes, trainer.stacked, trainer.qlora, trainer.base"
    done = subprocess.run([sys.executable, "-c", f"{block}; import {names}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
