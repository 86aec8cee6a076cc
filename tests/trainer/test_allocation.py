"""A trainer's process starts itself anew with what glibc is to read, once, and with its arguments."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from trainer.allocation import LARGE_PAGES

TELLS = "import os, sys; from trainer.allocation import use_large_pages as use; use(); print(os.environ['GLIBC_TUNABLES'], *sys.argv[1:])"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
@pytest.mark.parametrize(("own", "seen"), [(None, LARGE_PAGES["GLIBC_TUNABLES"]), ("glibc.malloc.check=0", "glibc.malloc.check=0")])
def test_what_glibc_reads_is_set_unless_it_was(own: str | None, seen: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in LARGE_PAGES}
    if own:
        environment["GLIBC_TUNABLES"] = own
    told = subprocess.run([sys.executable, "-c", TELLS, "some", "arguments"], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [seen, "some", "arguments"]
