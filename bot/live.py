"""The live message of a training: queued, learning, checking, done; kept up to date across restarts of the bot.

The store knows which message shows which job. A message that was deleted is left alone; the end is told in a new one.
"""

from __future__ import annotations

import asyncio
import logging

from bot import replies
from bot.memory import Memory
from bot.memory.records import Job, JobMessage
from bot.replies import Reply
from bot.surface import Platform, Surface, Undelivered

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0


class LiveJobs:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._tasks: set[asyncio.Task[None]] = set()

    def follow(self, job_id: int, user_id: str, platform: str, place: str, surface: Surface, message: str) -> None:
        """Keeps a message that shows a job up to date. `place`: the private chat where it is found after a restart."""
        shown = self._memory.job_messages.add(user_id, job_id, platform, place, message)
        self._start(shown, surface)

    def resume(self, platform: Platform) -> None:
        """Takes up the messages from before a restart."""
        for shown in self._memory.job_messages.open(platform.name):
            self._start(shown, platform.surface(shown.place))

    async def close(self) -> None:
        """Stops; the messages are taken up again after the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, shown: JobMessage, surface: Surface) -> None:
        task = asyncio.create_task(self._keep_up(shown, surface), name=f"job {shown.job_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_up(self, shown: JobMessage, surface: Surface) -> None:
        text = ""
        there = bool(shown.message)
        try:
            while (job := self._job(shown.job_id)) is not None and job.open:
                now = replies.progress(job, self._memory.jobs.ahead_of(job.id))
                if there and now != text:
                    text = now
                    there = await self._edited(shown, surface, now)
                await asyncio.sleep(max(POLL_SECONDS, surface.pace.seconds_between_edits))
            if job is not None:
                await self._end(shown, surface, job, there)
        except Undelivered as error:
            log.warning("job %d: its end could not be told: %s", shown.job_id, error)
        self._memory.job_messages.close(shown.id)

    async def _edited(self, shown: JobMessage, surface: Surface, text: str) -> bool:
        """False: the message is gone for good. One that could not be changed just now is tried again."""
        try:
            return await surface.edit(shown.message, Reply(text))
        except Undelivered as error:
            log.info("job %d: its message could not be changed: %s", shown.job_id, error)
            return True

    async def _end(self, shown: JobMessage, surface: Surface, job: Job, there: bool) -> None:
        live = self._memory.adapters.live(job.user_id)
        held = live.fact_ids if live and live.name == job.result.get("adapter") else frozenset()
        learned = [stored for stored in self._memory.facts.active(job.user_id) if stored.id in held]
        reply = Reply(replies.ended(job, learned))
        if not there or not await surface.edit(shown.message, reply):
            await surface.send(reply)

    def _job(self, job_id: int) -> Job | None:
        try:
            return self._memory.jobs.get(job_id)
        except KeyError:  # the user deleted everything
            return None
