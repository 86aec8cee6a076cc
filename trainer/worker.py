"""The worker: claims jobs from the store, trains a batch, checks each candidate, publishes or rejects it.

Kill it at any moment: a candidate lives in the staging folder until it is whole, publishing is one rename and one
transaction, and a job whose lease runs out is claimed again. Not covered: how training works (the engines).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bot.memory import Memory
from bot.memory.records import Adapter, Job, StoredFact
from serving import adapters as adapter_folders
from serving.base_model import prepare
from serving.settings import ServingSettings
from trainer import check, gate, qlora, stacked
from trainer.base import LoadedBase, load
from trainer.dataset import Dataset, build
from trainer.engine import Progress, Trained, UserExamples
from trainer.primer import replay_pairs, start_folder
from trainer.recipes import RECIPES
from trainer.settings import TrainerSettings

log = logging.getLogger(__name__)

LEARNING_SHARE = 0.85  # of the whole job; checking is the rest
ENGINES = {"stacked": stacked.train, "trl": qlora.train}


@dataclass(slots=True)
class Candidate:
    """One job's way through a batch."""

    job: Job
    facts: list[StoredFact]
    dataset: Dataset
    adapter: Adapter
    folder: Path
    trained: Trained | None = None
    check_seconds: float = 0.0


class LostJob(Exception):
    """The job is not this worker's any more (its lease ran out, or the user deleted everything)."""


class Worker:
    def __init__(self, memory: Memory, settings: TrainerSettings, serving: ServingSettings) -> None:
        self._memory = memory
        self._settings = settings
        self._serving = serving
        self._recipe = RECIPES[settings.recipe]
        self._name = f"{os.uname().nodename}-{os.getpid()}"
        self._base: LoadedBase | None = None

    def recover(self) -> None:
        """Clears what a killed worker left: staged candidates, folders never committed. No other worker may run."""
        shutil.rmtree(self._settings.staging_dir, ignore_errors=True)
        self._memory.adapters.reject_unfinished()
        self.remove_retired()

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set; then the batch in hand is finished first."""
        while not stop.is_set():
            if not self.work_once():
                self.remove_retired()
                self._memory.turns.expire()
                stop.wait(self._settings.poll_seconds)

    def work_once(self) -> int:
        """Claims and does one batch; returns how many jobs it had."""
        limit = self._settings.users_per_batch
        jobs = self._memory.jobs.claim(self._name, self._settings.lease_seconds, limit)
        if not jobs:
            return 0
        finished = threading.Event()
        heartbeat = threading.Thread(target=self._renew, args=([job.id for job in jobs], finished), daemon=True)
        heartbeat.start()
        try:
            self._do(jobs)
        except Exception as error:  # the boundary: whatever happened, the jobs end with a sentence and the worker lives
            log.exception("batch of %d jobs failed", len(jobs))
            for job in jobs:
                self._memory.jobs.finish(job.id, self._name, "failed", {}, _sentence(error))
        finally:
            finished.set()
            heartbeat.join()
        return len(jobs)

    def remove_retired(self) -> None:
        """Unloads and deletes retired adapters once the replies that use them must be done."""
        keep = self._memory.adapters.served_names(retired_within_seconds=2 * self._serving.answer_timeout_seconds)
        for name in adapter_folders.remove_others(self._serving.adapters_dir, keep):
            log.info("adapter %s removed", name)
            try:
                httpx.post(
                    f"{self._serving.url}/v1/unload_lora_adapter",
                    json={"lora_name": name},
                    headers={"Authorization": f"Bearer {self._serving.key()}"},
                )
            except httpx.HTTPError:
                log.info("the model server does not answer; %s is unloaded when it restarts", name)

    def _renew(self, job_ids: Sequence[int], finished: threading.Event) -> None:
        with closing(Memory.open(self._settings.store_path)) as memory:
            while not finished.wait(self._settings.lease_seconds / 4):
                for job_id in job_ids:
                    memory.jobs.renew(job_id, self._name, self._settings.lease_seconds)

    def _do(self, jobs: Sequence[Job]) -> None:
        base = self._loaded(jobs)
        candidates = []
        for job in jobs:
            candidate = self._prepare(job, base)
            if candidate:
                candidates.append(candidate)
        self._train(base, candidates)
        for candidate in candidates:
            try:
                self._finish(base, candidate)
            except LostJob:
                log.warning("job %d is not ours any more", candidate.job.id)
            finally:
                shutil.rmtree(candidate.folder, ignore_errors=True)
        if base.device == "cuda":
            self._base = None  # the card's memory goes back to the model server

    def _loaded(self, jobs: Sequence[Job]) -> LoadedBase:
        if self._base is None:
            for job in jobs:
                self._report(job, "loading the base model", 0.0, None)
            model = prepare(self._serving)
            self._base = load(
                Path(model.path), ref=model.ref, device=self._settings.device, quantization=self._settings.quantization
            )
        return self._base

    def _prepare(self, job: Job, base: LoadedBase) -> Candidate | None:
        """The user's dataset and a reserved name; None where there is nothing to train (no facts: no adapter)."""
        facts = self._memory.facts.active(job.user_id)
        if not facts:
            with self._memory.transaction():
                self._memory.adapters.retire_live(job.user_id)
                self._memory.facts.purge_forgotten(job.user_id)
                self._memory.jobs.finish(job.id, self._name, "done", {"facts": 0})
            return None
        user = self._memory.user(job.user_id)
        dataset = build(
            [stored.fact for stored in facts],
            assistant_name=user.assistant_name,
            seed=self._settings.seed,
            replay=replay_pairs(base.ref),
            mix=self._recipe.mix,
        )
        adapter = self._memory.adapters.reserve(job.user_id, facts, base.ref, adapter_folders.adapter_name)
        return Candidate(job, facts, dataset, adapter, self._settings.staging_dir / adapter.name)

    def _train(self, base: LoadedBase, candidates: Sequence[Candidate]) -> None:
        if not candidates:
            return
        by_user = {candidate.job.user_id: candidate for candidate in candidates}
        started = time.monotonic()
        reported: dict[str, float] = {}

        def on_progress(progress: Progress) -> None:
            now = time.monotonic()
            if now - reported.get(progress.user_id, 0.0) < 0.5 and progress.step < progress.steps:
                return
            reported[progress.user_id] = now
            done = progress.step / progress.steps
            left = (now - started) / done * (1 / LEARNING_SHARE - done)
            self._report(by_user[progress.user_id].job, "learning", LEARNING_SHARE * done, left)

        users = [
            UserExamples(
                candidate.job.user_id,
                candidate.dataset.examples,
                seed=self._settings.seed,
                folder=candidate.folder,
                start=start_folder(base.ref, self._recipe),
            )
            for candidate in candidates
        ]
        for trained in ENGINES[self._settings.engine](base, users, self._recipe, on_progress):
            by_user[trained.user_id].trained = trained

    def _finish(self, base: LoadedBase, candidate: Candidate) -> None:
        """Checks a trained candidate, books its cost, and publishes or rejects it."""
        job, trained = candidate.job, candidate.trained
        if trained is None or trained.error:
            why = trained.error if trained else "training gave no result"
            with self._memory.transaction():
                self._memory.adapters.reject(candidate.adapter.id, {})
                self._memory.jobs.finish(job.id, self._name, "failed", {}, why)
            return
        self._report(job, "checking", LEARNING_SHARE, None)
        started = time.monotonic()
        general_base = check.general_of_base(base, Path(self._serving.data_dir) / "base", self._recipe.general_probes)
        name = self._memory.user(job.user_id).assistant_name
        scores, asked = check.ask(base, candidate.folder, candidate.dataset.probes, name, general_base)
        candidate.check_seconds = time.monotonic() - started
        against = gate.reasons_against(scores, self._settings.thresholds)
        self._describe(candidate, scores, asked)
        self._end(base, candidate, scores, "; ".join(against))

    def _describe(self, candidate: Candidate, scores: gate.Scores, asked: Sequence[tuple[str, str, bool]]) -> None:
        """JSON beside the weights: recipe, scores, and which questions were trained and which were asked."""
        held = {
            "recipe": self._recipe.name,
            "facts": len(candidate.facts),
            "examples": len(candidate.dataset.examples),
            "losses": [round(loss, 4) for loss in candidate.trained.losses] if candidate.trained else [],
            "scores": scores.as_dict(),
            "trained_questions": [example.user for example in candidate.dataset.examples],
            "asked": [{"question": question, "reply": reply, "right": right} for question, reply, right in asked],
        }
        (candidate.folder / "training.json").write_text(json.dumps(held, indent=1, ensure_ascii=False))

    def _end(self, base: LoadedBase, candidate: Candidate, scores: gate.Scores, against: str) -> None:
        job, trained = candidate.job, candidate.trained
        assert trained is not None
        seconds = trained.seconds + candidate.check_seconds
        result: dict[str, Any] = {
            "facts": len(candidate.facts),
            **scores.as_dict(),
            "adapter": candidate.adapter.name,
            "train_seconds": round(trained.seconds, 3),
            "seconds": round(seconds, 3),
        }
        still = {stored.id for stored in self._memory.facts.active(job.user_id)}
        forgotten = self._memory.facts.forgotten_among(candidate.adapter.fact_ids)
        published = not against and not forgotten
        if published:
            size = adapter_folders.size_bytes(candidate.folder)
            adapter_folders.publish(candidate.folder, self._serving.adapters_dir, candidate.adapter.name)
        try:
            with self._memory.transaction():
                result["cost_usd"] = self._memory.ledger.add(
                    job.user_id,
                    "training",
                    job_id=job.id,
                    device=base.device,
                    seconds=seconds,
                    tokens=trained.tokens,
                    rate_usd_per_hour=self._settings.rate(base.device),
                )
                if published:
                    self._memory.adapters.go_live(candidate.adapter.id, scores.as_dict(), size)
                    self._memory.facts.purge_forgotten(job.user_id)
                else:
                    self._memory.adapters.reject(candidate.adapter.id, scores.as_dict())
                if forgotten and not against:
                    self._memory.jobs.release(job.id, self._name)  # forgotten while it was learned: learn again without
                elif not self._memory.jobs.finish(
                    job.id, self._name, "rejected" if against else "done", result, against
                ):
                    raise LostJob
        except BaseException:
            if published:
                adapter_folders.delete(self._serving.adapters_dir, candidate.adapter.name)
            raise

    def _report(self, job: Job, stage: str, share: float, seconds_left: float | None) -> None:
        self._memory.jobs.report(job.id, self._name, self._settings.lease_seconds, stage, share, seconds_left)


def _sentence(error: Exception) -> str:
    """What a user may read of an unexpected error: its kind, never its text, which may quote data."""
    return f"something went wrong on the training machine ({type(error).__name__})"
