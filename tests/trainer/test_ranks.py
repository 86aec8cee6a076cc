"""Processes that train together: what they share is the same in each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from trainer.ranks import Ranks

PROGRAM = """
import sys
from pathlib import Path

import torch
from trainer.ranks import Ranks

ranks = Ranks.join()
gradient = torch.tensor([1.0, 2.0]) * (ranks.number + 1)
ranks.average(gradient)
seen = f"{ranks.count} {gradient.tolist()} {ranks.furthest(0.25 * (ranks.number + 1))}"
Path(sys.argv[1], str(ranks.number)).write_text(seen)
ranks.leave()
"""


def test_one_process_alone_changes_nothing():
    ranks = Ranks.join()
    assert (ranks.first, ranks.count, ranks.furthest(0.3)) == (True, 1, 0.3)


def test_two_processes_agree(tmp_path):
    program = tmp_path / "together.py"
    program.write_text(PROGRAM)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [*torchrun, str(program), str(tmp_path)], capture_output=True, text=True, timeout=120, env=_environment(root)
    )
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / number).read_text() for number in "01"] == ["2 [1.5, 3.0] 0.5"] * 2


def _environment(root: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": root, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
