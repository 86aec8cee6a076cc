"""Where a step's time goes on the card: a user's last epoch under torch's profiler, summed by the name of the kernel.

On a CPU torch's operators are summed instead. Not covered: what the host does meanwhile.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from trainer.bench_measure import Bench, check, users_of
from trainer.bench_table import Row
from trainer.engine import Progress

TOP = 25
NAME_LENGTH = 90


class LastEpoch:
    """Profiles a run's last epoch, when all steps are recorded that will be; `tick` is the run's on_progress."""

    def __init__(self, device: str, epochs: int) -> None:
        from torch.profiler import ProfilerActivity, profile

        self._card, self._epochs = device == "cuda", epochs
        self.profiler = profile(activities=[ProfilerActivity.CUDA if self._card else ProfilerActivity.CPU])
        self._ticks: list[tuple[float, int]] = []
        self._steps = 0

    def tick(self, progress: Progress) -> None:
        if self._ticks and self._ticks[-1][1] == progress.step:
            return
        self._steps = progress.steps // self._epochs
        if progress.step == progress.steps - self._steps:
            self.profiler.start()
        self._ticks.append((time.perf_counter(), progress.step))
        if progress.step == progress.steps:
            self.profiler.stop()

    def found(self) -> dict[str, Any]:
        """Milliseconds a step by kernel, the longest first; wall time with and without the profiler."""
        wanted = "CUDA" if self._card else "CPU"
        kernels = []
        for event in self.profiler.key_averages():
            spent = event.self_device_time_total if self._card else event.self_cpu_time_total
            if event.device_type.name == wanted and spent:
                kernels.append((spent / 1e3 / self._steps, event.count / self._steps, event.key))
        kernels.sort(reverse=True)
        times = [at for at, _ in self._ticks]
        return {
            "steps": self._steps,
            "busy_ms": sum(spent for spent, _, _ in kernels),
            "wall_ms": (times[-1] - times[-1 - self._steps]) * 1e3 / self._steps,
            "wall_ms_before": (times[-1 - self._steps] - times[-1 - 2 * self._steps]) * 1e3 / self._steps,
            "kernels": [{"name": name, "ms": spent, "calls": calls} for spent, calls, name in kernels],
        }


def profiled(bench: Bench, row: Row) -> dict[str, Any]:
    """The row's training, three epochs of it, the last under the profiler. All of its users share the steps."""
    from trainer import stacked

    recipe = replace(row.recipe, epochs=3)
    with users_of(bench, row.users) as (_, users):
        epoch = LastEpoch(bench.device, recipe.epochs)
        check(stacked.train(bench.base_with(row.quantization), users, recipe, epoch.tick, row.options))
    return {"name": row.name, **epoch.found()}


def shown(found: dict[str, Any]) -> str:
    """The longest kernels for a reader."""
    head = (
        f"{found['name']}: {found['busy_ms']:.1f} ms a step in kernels, {found['wall_ms']:.1f} ms of wall time "
        f"({found['wall_ms_before']:.1f} ms without the profiler), mean of {found['steps']} steps"
    )
    lines = [f"{one['ms']:9.2f} ms {one['calls']:7.1f}×  {one['name'][:NAME_LENGTH]}" for one in found["kernels"][:TOP]]
    rest = found["busy_ms"] - sum(one["ms"] for one in found["kernels"][:TOP])
    return "\n".join([head, *lines, f"{rest:9.2f} ms           all others"])
