"""The mean of primers is one; adapters of different shapes have none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from trainer.__main__ import app
from trainer.averaging import NotAlike, average


def primer(folder: Path, value: float, rank: int = 2) -> Path:
    folder.mkdir()
    save_file({"a": torch.full((rank, 3), value, dtype=torch.bfloat16)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank}))
    (folder / "primer.json").write_text(json.dumps({"reads_notes": True, "minutes": value}))
    return folder


def test_shares_weigh_and_what_it_was_made_of_is_kept(tmp_path: Path) -> None:
    first, second, out = primer(tmp_path / "a", 1.0), primer(tmp_path / "b", 3.0), tmp_path / "out"
    done = CliRunner().invoke(app, ["average", f"{first}=1", f"{second}=3", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert load_file(out / "adapter_model.safetensors")["a"].tolist() == [[2.5] * 3] * 2
    made = json.loads((out / "primer.json").read_text())
    assert made["reads_notes"]
    assert [(part["share"], part["minutes"]) for part in made["average_of"]] == [(0.25, 1.0), (0.75, 3.0)]


def test_what_cannot_be_averaged_is_said(tmp_path: Path) -> None:
    first, other = primer(tmp_path / "a", 1.0), primer(tmp_path / "b", 1.0, rank=4)
    with pytest.raises(NotAlike):
        average({first: 1.0, other: 1.0}, tmp_path / "out")
    done = CliRunner().invoke(app, ["average", f"{first}=1", f"{tmp_path / 'none'}=1", "--out", str(tmp_path / "out")])
    assert done.exit_code == 1
    assert "cannot average" in done.output
