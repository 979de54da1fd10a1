"""A worker: receives jobs, lets providers perform them, and reports the results.

It is asyncio with hundreds of calls in flight. It dies safely at any point: another worker takes
its jobs over after their timeout (X4).
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from goald.domain.actions.gates import TOKEN_BYTES, ActionType
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import Outcome, OutcomeKind, result_event
from goald.domain.errors import GoaldError, ServiceUnavailable
from goald.ports.actions.jobs import Finished, JobQueue, JobResult, Passed, ReceivedJob
from goald.ports.clock import Clock
from goald.workers.batcher import Batcher
from goald.workers.entrance import Entrance, GateKeeper, GateRefused
from goald.workers.provider import ActionFailed, Performed, Provider

_log = logging.getLogger(__name__)

Render = Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]

_PAUSE_S: Final = 0.5
_PAGE: Final = 100


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker works."""

    concurrency: int = 200
    """The number of jobs in flight."""
    idle_s: float = 60.0
    """A job that another worker has had for this long is taken over."""
    drain_s: float = 20.0
    """How long `run` waits for calls in flight after `stop` (D7)."""
    wait_s: float = 1.0
    """How long a read waits for jobs, and so how soon `stop` takes effect."""


class Worker:
    """Performs jobs of some types. Bound to one event loop."""

    def __init__(
        self,
        queue: JobQueue,
        providers: Mapping[ActionType, Provider],
        render: Render,
        clock: Clock,
        settings: WorkerSettings | None = None,
        new_token: Callable[[], bytes] | None = None,
    ) -> None:
        """`render` renders the templates of a job; it may raise GoaldError. `new_token` returns 16
        random bytes, by default of the system's source."""
        self._queue = queue
        self._providers = providers
        self._render = render
        self._clock = clock
        self._settings = settings or WorkerSettings()
        random_bytes = random.SystemRandom().randbytes
        token = new_token or (lambda: random_bytes(TOKEN_BYTES))
        self._gates = GateKeeper(queue, clock, token)
        self._finish = Batcher(queue.finish)
        self._in_flight: set[asyncio.Task[None]] = set()
        self._entries: set[tuple[ActionType, bytes]] = set()
        """The entries of the jobs in flight."""
        self._stopped = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """The number of jobs that this worker performs now."""
        return len(self._in_flight)

    def stop(self) -> None:
        """Receive no more jobs. `run` returns when those in flight are done."""
        self._stopped.set()

    async def run(self) -> None:
        """Perform jobs until `stop`, then finish the calls in flight, for at most `drain_s`. Jobs
        that are not finished then are taken over by other workers."""
        receiving = asyncio.create_task(self._receive())
        taking_over = asyncio.create_task(self._take_over())
        both = (receiving, taking_over)
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # raises an unexpected error
            # Only then, because a cancelled read may have been answered.
            await self._cancel([taking_over])
            if self._in_flight:
                await asyncio.wait(self._in_flight, timeout=self._settings.drain_s)
        finally:
            await self._cancel([*both, *self._in_flight])
            for provider in dict.fromkeys(self._providers.values()):
                await provider.close()

    async def _cancel(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self) -> None:
        types = list(self._providers)
        while not self._stopped.is_set():
            free = await self._wait_free()
            try:
                received = await self._queue.receive(
                    types, max(1, free // len(types)), self._settings.wait_s
                )
            except ServiceUnavailable as error:
                _log.warning("Cannot receive jobs, retrying: %s", error)
                await self._clock.sleep(_PAUSE_S)
                continue
            for each in received:
                self._start(each, is_taken_over=False)

    async def _take_over(self) -> None:
        """Take jobs over that their workers have not finished."""
        while True:
            await self._clock.sleep(self._settings.idle_s / 4)
            for action in self._providers:
                free = await self._wait_free()
                try:
                    found = await self._queue.take_idle(
                        action, self._settings.idle_s, min(free, _PAGE)
                    )
                except ServiceUnavailable as error:
                    _log.warning("Cannot take jobs over, retrying: %s", error)
                    break
                for each in found:
                    self._start(each, is_taken_over=True)

    async def _wait_free(self) -> int:
        """Wait until a job can be started. Returns how many can."""
        while len(self._in_flight) >= self._settings.concurrency:
            await asyncio.wait(self._in_flight, return_when=asyncio.FIRST_COMPLETED)
        return self._settings.concurrency - len(self._in_flight)

    def _start(self, received: ReceivedJob, *, is_taken_over: bool) -> None:
        entry = received.action, received.entry_id
        if entry in self._entries:  # this worker is still processing it
            return
        self._entries.add(entry)
        task = asyncio.create_task(self._process(received, is_taken_over=is_taken_over))
        self._in_flight.add(task)

        def end(task: asyncio.Task[None]) -> None:
            self._in_flight.discard(task)
            self._entries.discard(entry)

        task.add_done_callback(end)

    async def _process(self, received: ReceivedJob, *, is_taken_over: bool) -> None:
        try:
            job = Job.parse(received.payload)
        except ValueError as error:
            _log.error("Entry %s is not a job: %s", received.entry_id.decode(), error)
            await self._queue.discard(received.action, received.entry_id)
            return
        provider = self._providers[received.action]
        while True:
            entrance = Entrance(
                job, self._gates, is_taken_over=is_taken_over, is_keyed=provider.is_keyed
            )
            started = self._clock.monotonic()
            performed = await self._perform(job, provider, entrance)
            if performed is _AGAIN:
                await self._clock.sleep(_PAUSE_S)
            elif performed is not None:
                duration = self._clock.monotonic() - started
                await self._report(job, received, provider, performed, entrance.token, duration)
                return
            else:
                return

    async def _perform(self, job: Job, provider: Provider, entrance: Entrance) -> Performed | None:
        """The outcome; `_AGAIN` if the job must be tried again, and None if another worker has
        it."""
        try:
            config = self._render(job.config, job.variables)
        except GoaldError as error:
            return Performed(Outcome(OutcomeKind.SKIP, str(error)))
        try:
            return await provider.perform(job, config, entrance)
        except GateRefused as refused:
            return _refused(refused.answer)
        except ActionFailed as failed:
            return Performed(failed.outcome)
        except Exception:
            _log.exception("Provider of %s failed; job %s", job.action, job.gate)
            kind = OutcomeKind.RETRY if entrance.token is None else OutcomeKind.UNKNOWN
            return Performed(Outcome(kind, "the provider failed unexpectedly"))

    async def _report(
        self,
        job: Job,
        received: ReceivedJob,
        provider: Provider,
        performed: Performed,
        token: bytes | None,
        duration_s: float,
    ) -> None:
        event = result_event(
            job,
            performed.outcome,
            token,
            is_keyed=provider.is_keyed,
            duration_ms=round(duration_s * 1_000),
            at_us=self._clock.now_us(),
        )
        result = JobResult(
            job.gate, job.slot, token, received.action, received.entry_id, event, performed.effect
        )
        while True:
            try:
                answer = await self._finish(result)
            except ServiceUnavailable as error:
                _log.warning("Cannot report job %s, retrying: %s", job.gate, error)
                await self._clock.sleep(_PAUSE_S)
                continue
            if answer is Finished.REFUSED:
                _log.warning("The result of job %s is late: another worker has it", job.gate)
            return


_AGAIN: Final = Performed(Outcome(OutcomeKind.RETRY, "again"))
_UNKNOWN: Final = Performed(
    Outcome(OutcomeKind.UNKNOWN, "a worker died, or was too slow, while it called the provider")
)


def _refused(answer: Passed) -> Performed | None:
    if answer is Passed.REFUSED_PASSED:
        return None
    if answer is Passed.NOT_ADMITTED:
        return _AGAIN
    if answer in {Passed.TAKEN_OVER, Passed.TAKEN_OVER_CLOSED}:
        return _UNKNOWN
    if answer is Passed.REFUSED_INACTIVE:
        return Performed(Outcome(OutcomeKind.REFUSED_INACTIVE))
    return Performed(Outcome(OutcomeKind.REFUSED))
