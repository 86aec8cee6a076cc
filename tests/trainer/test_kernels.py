"""Triton's kernels give what plain torch gives: in Triton's interpreter, which is chosen when it is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.trainer.conftest import ROOT

CHECKED = ("adamw", "dropout", "swiglu", "add_norm", "for_attention", "label_loss", "training")


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("triton"), reason="triton is not installed")
def test_every_kernel_gives_what_plain_torch_gives() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.trainer.kernel_checks"],
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = [f"{name} torch.{dtype}: as plain torch" for name in CHECKED for dtype in ("float32", "bfloat16")]
    assert [line for line in done.stdout.splitlines() if line.startswith(CHECKED)] == expected
