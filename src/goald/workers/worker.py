"""A worker: receives jobs, lets providers perform them, and reports the results.

It is asyncio with hundreds of calls in flight. It dies safely at any point: another worker takes
its jobs over after their timeout (X4).
"""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Final

from goald.domain.actions.gates import TOKEN_BYTES, ActionType
from goald.domain.actions.job import Job
from goald.domain.errors import ServiceUnavailable
from goald.ports.actions.jobs import JobQueue, ReceivedJob
from goald.ports.clock import Clock
from goald.ports.secrets.cipher import SecretCipher
from goald.workers.backlog import Backlog, Receiver, ReceiverLimits
from goald.workers.entrance import GateKeeper
from goald.workers.observer import Unobserved, WorkerObserver
from goald.workers.payloads import Payloads
from goald.workers.performing import Performer, Render, Work
from goald.workers.provider import Provider
from goald.workers.reporting import Reporter
from goald.workers.signal import Signal

_log = logging.getLogger(__name__)

_PAUSE_S: Final = 0.5
_STARTS: Final = 10
"""Jobs that start in one turn of the event loop. The templates of a job take up to 0.1 s, and a
worker whose loop does not turn for 10 s is ended."""
_SUSPECT_DELIVERIES: Final = 3
"""From this delivery on, a job may be what ended its workers. This worker receives the next one
when it has ended."""


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker works."""

    concurrency: int = 200
    """The number of jobs that are performed at the same time."""
    backlog: int = 500
    """The number of jobs that wait in the worker."""
    idle_s: float = 60.0
    """A job that another worker has had for this long is taken over."""
    limits: ReceiverLimits = field(default_factory=ReceiverLimits)
    """The limits of each connection, and of each host of webhooks without one. A job that waits
    for them has no place."""
    drain_s: float = 20.0
    """How long `run` waits for calls in flight after `stop` (D7)."""
    wait_s: float = 1.0
    """How long a read waits for jobs, and so how soon `stop` takes effect."""
    max_deliveries: int = 5
    """A job that was delivered more often is reported as unknown, without a call: it may be what
    ends its workers."""


class Worker:
    """Performs jobs of some types. Bound to one event loop."""

    def __init__(
        self,
        queue: JobQueue,
        providers: Mapping[ActionType, Provider],
        render: Render,
        clock: Clock,
        settings: WorkerSettings | None = None,
        cipher: SecretCipher | None = None,
        observer: WorkerObserver | None = None,
    ) -> None:
        """`render` renders the templates of a job; it may raise GoaldError. `cipher` encrypts the
        payloads that a further attempt sends again; without it, each attempt renders the templates
        of its job."""
        self._queue = queue
        self._providers = providers
        self._clock = clock
        self._settings = settings or WorkerSettings()
        random_bytes = random.SystemRandom().randbytes
        self._observer = observer or Unobserved()
        gates = GateKeeper(queue, clock, lambda: random_bytes(TOKEN_BYTES), self._observer)
        payloads = None if cipher is None else Payloads(queue, cipher)
        self._performer = Performer(gates, Reporter(queue, clock), render, payloads)
        self._backlog: Backlog[Work] = Backlog(self._settings.concurrency, self._settings.limits)
        self._tasks: set[asyncio.Task[None]] = set()
        self._entries: dict[tuple[ActionType, bytes], Work] = {}
        """The jobs in the backlog and in flight, by their entries."""
        self._change = Signal()
        """Notified when a job was added or has ended."""
        self._stopped = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """The number of jobs that this worker performs now."""
        return self._backlog.running

    @property
    def waiting(self) -> int:
        """The number of jobs that wait in this worker."""
        return len(self._backlog)

    @property
    def receivers_waiting(self) -> int:
        """The number of receivers with jobs that wait in this worker."""
        return self._backlog.receivers_waiting

    def stop(self) -> None:
        """Receive no more jobs. `run` returns when those in flight are done."""
        self._stopped.set()

    async def run(self) -> None:
        """Perform jobs until `stop`, then finish the jobs that were received, for at most
        `drain_s`. Jobs that are not finished then are taken over by other workers."""
        receiving = asyncio.create_task(self._receive())
        dispatching = asyncio.create_task(self._dispatch())
        taking_over = asyncio.create_task(self._take_over())
        renewing = asyncio.create_task(self._renew())
        all_tasks = (receiving, dispatching, taking_over, renewing)
        try:
            done, _ = await asyncio.wait(all_tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # raises an unexpected error
            # Only then, because a cancelled read may have been answered.
            await self._cancel([taking_over])
            with suppress(TimeoutError):
                await asyncio.wait_for(self._drain(), self._settings.drain_s)
        finally:
            await self._cancel([*all_tasks, *self._tasks])
            for provider in dict.fromkeys(self._providers.values()):
                await provider.close()

    async def _cancel(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drain(self) -> None:
        while changed := self._change.next():
            if not self._entries:
                return
            await changed.wait()

    async def _receive(self) -> None:
        types = list(self._providers)
        while not self._stopped.is_set():
            free = await self._wait_room()
            try:
                received = await self._queue.receive(
                    types, max(1, free // len(types)), self._settings.wait_s
                )
            except ServiceUnavailable as error:
                _log.warning("Cannot receive jobs, retrying: %s", error)
                await self._clock.sleep(_PAUSE_S)
                continue
            for each in received:
                await self._add(each, is_taken_over=False)

    async def _take_over(self) -> None:
        """Take jobs over that their workers have not finished, at the start too: this process may
        replace an ended one."""
        while True:
            for action in self._providers:
                try:
                    await self._take_over_type(action)
                except ServiceUnavailable as error:
                    _log.warning("Cannot take jobs over, retrying: %s", error)
                    break
            await self._clock.sleep(self._settings.idle_s / 4)

    async def _take_over_type(self, action: ActionType) -> None:
        """Take over the idle jobs of a type, one after another: each one counts as delivered, and
        the next one may be what ends this worker."""
        while found := await self._take_next(action):
            for each in found:
                work = await self._add(each, is_taken_over=True)
                if work is not None:
                    self._observer.taken_over(action)
                if work is not None and each.deliveries >= _SUSPECT_DELIVERIES:
                    await self._wait_attempt(work)

    async def _take_next(self, action: ActionType) -> list[ReceivedJob]:
        await self._wait_room()
        return await self._queue.take_idle(action, self._settings.idle_s, 1)

    async def _wait_attempt(self, work: Work) -> None:
        """Wait until a job was performed once."""
        while changed := self._change.next():
            if work.attempts:
                return
            await changed.wait()

    async def _renew(self) -> None:
        """Keep the jobs that wait in this worker: that it has them is no sign that it ended."""
        while True:
            await self._clock.sleep(self._settings.idle_s / 5)
            now = self._clock.monotonic()
            kept = sorted(entry for entry, work in self._entries.items() if work.is_kept(now))
            try:
                for action, entries in groupby(kept, key=lambda entry: entry[0]):
                    await self._queue.renew(action, [entry_id for _, entry_id in entries])
            except ServiceUnavailable as error:
                _log.warning("Cannot renew jobs, retrying: %s", error)

    async def _wait_room(self) -> int:
        """Wait until a job can be added. Returns how many can."""
        most = self._settings.concurrency + self._settings.backlog
        while changed := self._change.next():
            if len(self._entries) < most:
                break
            await changed.wait()
        return most - len(self._entries)

    async def _add(self, received: ReceivedJob, *, is_taken_over: bool) -> Work | None:
        """The job of an entry, which waits from now on; None for an entry that is not a job, and
        for a job that this worker has already."""
        entry = received.action, received.entry_id
        if entry in self._entries:
            return None
        work = await self._read(received, is_taken_over)
        if work is not None:
            self._entries[entry] = work
            self._backlog.add(work.receiver, work)
            self._change.notify()
        return work

    async def _read(self, received: ReceivedJob, is_taken_over: bool) -> Work | None:
        """The job of an entry. Removes an entry that is not a job."""
        provider = self._providers[received.action]
        is_given_up = received.deliveries > self._settings.max_deliveries
        try:
            job = Job.parse(received.payload)
            return Work(received, job, provider, is_taken_over, is_given_up)
        except ValueError as error:
            _log.error("Entry %s: %s", received.entry_id.decode(), error)
        with suppress(ValueError):
            job = Job.parse_identity(received.payload)
            return Work(received, job, provider, is_taken_over, is_unreadable=True)
        try:
            await self._queue.discard(received)
        except ServiceUnavailable as error:  # it is taken over later
            _log.warning("Cannot remove entry %s: %s", received.entry_id.decode(), error)
        return None

    async def _dispatch(self) -> None:
        """Start the jobs that may start, a few at a time: each one renders its templates first,
        which keeps all others waiting."""
        started = 0
        while True:
            changed = self._change.next()
            while (next_job := self._backlog.take(self._clock.monotonic())) is not None:
                task = asyncio.create_task(self._perform(*next_job))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                started += 1
                if started % _STARTS == 0:
                    await asyncio.sleep(0)
            await self._wait(changed, self._backlog.next_time())

    async def _wait(self, changed: asyncio.Event, until: float | None) -> None:
        """Wait for a change, or until a time."""
        if until is None:
            await changed.wait()
            return
        pause = max(0.0, until - self._clock.monotonic())
        waits: list[asyncio.Task[Any]] = [
            asyncio.create_task(changed.wait()),
            asyncio.create_task(self._clock.sleep(pause)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._cancel(waits)

    async def _perform(self, receiver: Receiver, work: Work) -> None:
        has_ended = True
        try:
            has_ended = await self._performer.perform(work)
        except Exception as error:  # it is taken over later
            _log.error("Job %s was not reported: %s", work.job.gate, type(error).__name__)
        finally:
            work.attempts += 1
            self._backlog.end(receiver)
            if has_ended:
                self._entries.pop((work.received.action, work.received.entry_id), None)
            else:
                work.started_at = work.entrance = None
                self._backlog.add(receiver, work, self._clock.monotonic() + _PAUSE_S)
            self._change.notify()
