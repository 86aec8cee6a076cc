"""The worker: claims jobs from the store, trains a batch, checks each candidate, publishes or rejects it.

Kill it at any moment: a candidate lives in the staging folder until it is whole, publishing is one rename inside one
transaction, and the jobs of a dead worker are claimed again. Not covered: how training works (the engines), that only
one worker is at work in a data folder (`__main__.py`).
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bot.language import parse
from bot.memory import Memory
from bot.memory.records import Adapter, Job, StoredFact
from serving import adapters as adapter_folders
from serving.base_model import BaseModel
from serving.errors import ServingError
from serving.settings import ServingSettings
from trainer import check, gate, qlora, stacked
from trainer.base import LoadedBase, fast_dtype, load, pick_device, release_memory
from trainer.dataset import Dataset
from trainer.engine import Progress, Trained, UserExamples
from trainer.model_phrasings import generator_for
from trainer.phrasings import Generator, Rules
from trainer.primer import replay_pairs, start_folder
from trainer.recipes import RECIPES
from trainer.settings import TrainerSettings
from trainer.user_dataset import user_dataset

log = logging.getLogger(__name__)

LEARNING_SHARE = 0.85  # of the whole job; checking is the rest
REPORT_SECONDS = 0.5  # between two reports of a job's progress
TIDY_SECONDS = 30.0  # between two rounds of tidying, at least
UNLOAD_TIMEOUT_SECONDS = 5.0
ENGINES = {"stacked": stacked.train, "trl": qlora.train}


@dataclass(slots=True)
class Candidate:
    """One job's way through a batch."""

    job: Job
    facts: list[StoredFact]
    dataset: Dataset
    adapter: Adapter
    folder: Path
    set_aside: tuple[int, ...]  # facts that later ones take the place of
    trained: Trained | None = None
    lost: bool = False


class LostJob(Exception):
    """The job is not this worker's any more (the user deleted everything, or its lease ran out)."""


class Stopped(BaseException):
    """The process is asked to stop; like KeyboardInterrupt it is nobody's to swallow on the way."""


class Worker:
    """One process's worker. `stop`: once it is set, the batch in hand is handed back and `run` returns."""

    def __init__(
        self,
        memory: Memory,
        settings: TrainerSettings,
        serving: ServingSettings,
        model: BaseModel,
        stop: threading.Event,
    ) -> None:
        self._memory = memory
        self._settings = settings
        self._serving = serving
        self._model = model
        self._stop = stop
        self._recipe = RECIPES[settings.recipe]
        self._name = f"{os.uname().nodename}-{os.getpid()}"
        self._base: LoadedBase | None = None
        self._generator: Generator = Rules()

    def recover(self) -> None:
        """Clears what a killed worker left: staged candidates, folders never committed, leases. No other may run."""
        shutil.rmtree(self._settings.staging_dir, ignore_errors=True)
        self._memory.adapters.reject_unfinished()
        if taken_up := self._memory.jobs.end_leases():
            log.info("%d jobs of a worker that died are taken up again", taken_up)
        if gone := self._memory.adapters.retire_unservable(self._model.ref, self._published()):
            log.warning("%d adapters are of another base model or missing on disk; their users are trained again", gone)
        self._tidy()

    def run(self) -> None:
        """Works until stopped."""
        self._get_ready()
        tidied = time.monotonic()
        while not self._stop.is_set():
            try:
                worked = self.work_once()
                if time.monotonic() - tidied > TIDY_SECONDS:
                    self._tidy()
                    tidied = time.monotonic()
                if worked:
                    continue
            except sqlite3.OperationalError as error:  # disk full, or locked for longer than anyone should
                log.error("the store cannot be used now: %s", error)
            self._stop.wait(self._settings.poll_seconds)

    def _get_ready(self) -> None:
        """On a CPU, where the base stays in memory anyway, it is loaded before the first job, and so is the parser."""
        if pick_device(self._settings.device) != "cpu":
            return
        try:
            parse("Ready.")
            self._loaded([])
        except Exception as error:  # noqa: BLE001 - the boundary: the first job tries again, and tells what is wrong
            log.warning("not ready before the first job: %s", type(error).__name__)

    def work_once(self) -> int:
        """Claims and does one batch; returns how many jobs it had."""
        limit = self._settings.batch_limit(pick_device(self._settings.device))
        jobs = self._memory.jobs.claim(self._name, self._settings.lease_seconds, limit)
        if not jobs:
            return 0
        log.info("batch of %d jobs", len(jobs))
        try:
            with self._leases(jobs):
                self._do(jobs)
        except Stopped:
            for job in jobs:
                self._memory.jobs.release(job.id, self._name)
            log.info("stopped; the batch is handed back")
        except Exception as error:  # noqa: BLE001 - the boundary: the jobs end with a sentence and the worker lives
            for job in jobs:
                self._fail(job, error)
        finally:
            self._memory.adapters.reject_unfinished()
            shutil.rmtree(self._settings.staging_dir, ignore_errors=True)
            if self._base is not None and self._base.device == "cuda":
                self._base = None
                release_memory()  # the card is the model server's again
        return len(jobs)

    def tidy_up(self) -> None:
        """Waits until no reply can use a retired adapter any more, and leaves none of them on disk."""
        adapters = self._memory.adapters
        while adapters.served_names(self._in_use_seconds) - adapters.served_names(0):
            if self._stop.wait(self._settings.poll_seconds):
                break
        self._tidy()

    @property
    def _in_use_seconds(self) -> float:
        """For how long after its end a reply under way may still use an adapter."""
        return 2 * self._serving.answer_timeout_seconds

    def _tidy(self) -> None:
        """Deletes expired turns; unloads and deletes retired adapters once the replies that use them must be done."""
        self._memory.turns.expire()
        keep = self._memory.adapters.served_names(retired_within_seconds=self._in_use_seconds)
        for name in adapter_folders.remove_others(self._serving.adapters_dir, keep):
            log.info("adapter %s removed", name)
            try:
                httpx.post(
                    f"{self._serving.url}/v1/unload_lora_adapter",
                    json={"lora_name": name},
                    headers={"Authorization": f"Bearer {self._serving.key()}"},
                    timeout=UNLOAD_TIMEOUT_SECONDS,
                )
            except httpx.HTTPError:
                log.info("the model server does not answer; %s is unloaded when it restarts", name)

    def _published(self) -> set[str]:
        folder = self._serving.adapters_dir
        return {one.name for one in folder.iterdir()} if folder.is_dir() else set()

    @contextmanager
    def _leases(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Renews the leases from a thread of its own: a step, a load or a check may take longer than a lease."""
        finished = threading.Event()

        def renew() -> None:
            with closing(Memory.open(self._settings.store_path)) as memory:
                while not finished.wait(self._settings.lease_seconds / 4):
                    try:
                        for job in jobs:
                            memory.jobs.renew(job.id, self._name, self._settings.lease_seconds)
                    except sqlite3.OperationalError as error:
                        log.warning("leases not renewed, trying again: %s", error)

        thread = threading.Thread(target=renew, name="leases", daemon=True)
        thread.start()
        try:
            yield
        finally:
            finished.set()
            thread.join()

    def _do(self, jobs: Sequence[Job]) -> None:
        base = self._loaded(jobs)
        self._generator = generator_for(self._settings, self._serving, base.path, self._go_on)
        candidates: list[Candidate] = []
        for job in jobs:
            with self._alone(job):
                if candidate := self._prepare(job, base):
                    candidates.append(candidate)
        self._train(base, candidates)
        for candidate in candidates:
            with self._alone(candidate.job):
                self._finish(base, candidate)

    @contextmanager
    def _alone(self, job: Job) -> Iterator[None]:
        """What goes wrong with one user's job ends that job, and no other of the batch."""
        self._go_on()
        try:
            yield
        except LostJob:
            log.warning("job %d is not ours any more", job.id)
        except Exception as error:  # noqa: BLE001 - the boundary of one job
            self._fail(job, error)

    def _go_on(self) -> None:
        """Raises `Stopped` once the process is asked to stop."""
        if self._stop.is_set():
            raise Stopped

    def _fail(self, job: Job, error: Exception) -> None:
        """Ends a job with a sentence; the log gets where it happened, not the error's text, which may quote data."""
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("job %d failed: %s\n%s", job.id, type(error).__name__, where)
        self._memory.jobs.finish(job.id, self._name, "failed", {}, _sentence(error))

    def _loaded(self, jobs: Sequence[Job]) -> LoadedBase:
        if self._base is None:
            for job in jobs:
                self._memory.jobs.report(job.id, self._name, self._settings.lease_seconds, "getting ready", 0.0, None)
            self._base = load(
                Path(self._model.path),
                ref=self._model.ref,
                device=self._settings.device,
                quantization=self._settings.quantization,
                dtype=fast_dtype(self._settings.device),
            )
        return self._base

    def _prepare(self, job: Job, base: LoadedBase) -> Candidate | None:
        """The user's dataset and a reserved name; None where there is nothing to train (no facts: no adapter)."""
        self._report(job, "getting ready", 0.0, None)
        facts = self._memory.facts.active(job.user_id)
        if not facts:
            with self._memory.transaction():
                self._memory.adapters.retire_live(job.user_id)
                self._memory.facts.purge_forgotten(job.user_id)
                self._end_job(job, "done", {"facts": 0})
            return None
        user = self._memory.user(job.user_id)
        made = user_dataset(
            base,
            self._recipe,
            [stored.fact for stored in facts],
            assistant_name=user.assistant_name,
            seed=self._settings.seed,
            replay=replay_pairs(base, self._recipe, self._settings.data_dir / "base"),
            generator=self._generator,
        )
        set_aside = tuple(stored.id for at, stored in enumerate(facts) if at in made.outdated)
        adapter = self._memory.adapters.reserve(job.user_id, facts, base.ref, adapter_folders.adapter_name)
        return Candidate(job, facts, made.dataset, adapter, self._settings.staging_dir / adapter.name, set_aside)

    def _train(self, base: LoadedBase, candidates: Sequence[Candidate]) -> None:
        """Trains the batch; a job lost on the way is let go of, and the training itself when all are."""
        if not candidates:
            return
        by_user = {candidate.job.user_id: candidate for candidate in candidates}
        started = time.monotonic()
        reported: dict[str, float] = {}

        def on_progress(progress: Progress) -> None:
            self._go_on()
            now = time.monotonic()
            if now - reported.get(progress.user_id, 0.0) < REPORT_SECONDS and progress.step < progress.steps:
                return
            reported[progress.user_id] = now
            done = progress.step / progress.steps
            left = (now - started) / done * (1 / LEARNING_SHARE - done)
            candidate = by_user[progress.user_id]
            try:
                self._report(candidate.job, "learning", LEARNING_SHARE * done, left)
            except LostJob:
                candidate.lost = True
                if all(each.lost for each in candidates):
                    raise

        users = [
            UserExamples(
                candidate.job.user_id,
                candidate.dataset.examples,
                seed=self._settings.seed,
                folder=candidate.folder,
                start=start_folder(base, self._recipe),
            )
            for candidate in candidates
        ]
        try:
            for trained in ENGINES[self._settings.engine](base, users, self._recipe, on_progress):
                by_user[trained.user_id].trained = trained
        except LostJob:
            log.warning("nobody waits for this batch any more")

    def _finish(self, base: LoadedBase, candidate: Candidate) -> None:
        """Checks a trained candidate, books its cost, and publishes or rejects it."""
        job, trained = candidate.job, candidate.trained
        self._report(job, "checking", LEARNING_SHARE, None)
        if trained is None or trained.error:
            why = trained.error if trained else "training gave no result"
            with self._memory.transaction():
                self._memory.adapters.reject(candidate.adapter.id, {})
                self._end_job(job, "failed", {}, why)
            return
        started = time.monotonic()
        general_base = check.general_of_base(base, Path(self._serving.data_dir) / "base", self._recipe.general_probes)
        name = self._memory.user(job.user_id).assistant_name
        scores, asked = check.ask(base, candidate.folder, candidate.dataset.probes, name, general_base)
        self._describe(candidate, trained, scores, asked)
        self._decide(base, candidate, trained, scores, check_seconds=time.monotonic() - started)

    def _describe(
        self, candidate: Candidate, trained: Trained, scores: gate.Scores, asked: Sequence[tuple[str, str, bool]]
    ) -> None:
        """JSON beside the weights: recipe, scores, and which questions were trained and which were asked."""
        held = {
            "recipe": self._recipe.name,
            "facts": len(candidate.facts) - len(candidate.set_aside),
            "examples": len(candidate.dataset.examples),
            "losses": [round(loss, 4) for loss in trained.losses],
            "scores": scores.as_dict(),
            "trained_questions": [example.user for example in candidate.dataset.examples],
            "asked": [{"question": question, "reply": reply, "right": right} for question, reply, right in asked],
        }
        (candidate.folder / "training.json").write_text(json.dumps(held, indent=1, ensure_ascii=False))

    def _decide(
        self, base: LoadedBase, candidate: Candidate, trained: Trained, scores: gate.Scores, check_seconds: float
    ) -> None:
        """Publishes or rejects: the rename and every row in one transaction, which holds the store's write lock.

        So nothing can be forgotten, replaced or deleted between the decision and its commit.
        """
        job, adapter = candidate.job, candidate.adapter
        against = "; ".join(gate.reasons_against(scores, self._settings.thresholds))
        size = adapter_folders.size_bytes(candidate.folder)
        seconds = trained.seconds + check_seconds
        published = False
        try:
            with self._memory.transaction():
                self._report(job, "checking", 1.0, 0.0)  # raises where the job is not ours
                cost_usd = self._memory.ledger.add(
                    job.user_id,
                    "training",
                    job_id=job.id,
                    device=base.device,
                    seconds=seconds,
                    tokens=trained.tokens,
                    rate_usd_per_hour=self._settings.rate(base.device),
                )
                result: dict[str, Any] = {
                    "facts": len(candidate.facts) - len(candidate.set_aside),
                    "set_aside": candidate.set_aside,
                    **scores.as_dict(),
                    "adapter": adapter.name,
                    "train_seconds": round(trained.seconds, 3),
                    "seconds": round(seconds, 3),
                    "cost_usd": cost_usd,
                }
                if against:
                    self._memory.adapters.reject(adapter.id, scores.as_dict())
                    if self._memory.facts.any_forgotten(job.user_id):  # and the earlier adapter still knows it
                        self._memory.adapters.retire_live(job.user_id)
                        self._memory.facts.purge_forgotten(job.user_id)
                        result["earlier_adapter"] = "deleted"
                    self._end_job(job, "rejected", result, against)
                elif adapter.fact_ids - {stored.id for stored in self._memory.facts.active(job.user_id)}:
                    # forgotten, replaced or undone while it was learned: it must be in no weight, so learn again
                    self._memory.adapters.reject(adapter.id, scores.as_dict())
                    self._memory.jobs.release(job.id, self._name)
                else:
                    adapter_folders.publish(candidate.folder, self._serving.adapters_dir, adapter.name)
                    published = True
                    self._memory.adapters.go_live(adapter.id, scores.as_dict(), size)
                    self._memory.facts.purge_forgotten(job.user_id)
                    self._end_job(job, "done", result)
        except BaseException:
            if published:
                adapter_folders.delete(self._serving.adapters_dir, adapter.name)
            raise
        log.info("job %d: %s, %.1f s", job.id, "live" if published else "not published", seconds)

    def _end_job(self, job: Job, state: str, result: dict[str, Any], error: str = "") -> None:
        if not self._memory.jobs.finish(job.id, self._name, state, result, error):
            raise LostJob

    def _report(self, job: Job, stage: str, share: float, seconds_left: float | None) -> None:
        """Progress for the user to see, which renews the lease.

        Raises:
            LostJob: the job is not this worker's any more.
        """
        if not self._memory.jobs.report(job.id, self._name, self._settings.lease_seconds, stage, share, seconds_left):
            raise LostJob


def _sentence(error: Exception) -> str:
    """What a user may read of an unexpected error: our own errors' message, else its kind alone."""
    if isinstance(error, ServingError):
        return str(error)
    return f"something went wrong on the training machine ({type(error).__name__})"
