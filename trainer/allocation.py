"""Has a trainer's process get its memory in large pages.

A training on a CPU frees and allocates the same gigabytes at every step, and the system hands them out page by page: in pages of 2 MiB
instead of 4 KiB that takes a fraction of the time (docs/experiments.md). glibc reads this when a process starts, so the process
starts itself anew. Not covered: other C libraries, which ignore it.
"""

from __future__ import annotations

import os
import sys

LARGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}  # asks for transparent ones (madvise)


def use_large_pages() -> None:
    """Starts this process anew, under the same number, with `LARGE_PAGES` in its environment; one with tunables of its own is left."""
    if sys.platform == "linux" and not LARGE_PAGES.keys() & os.environ.keys():
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | LARGE_PAGES)
