"""Publishes the events of a round during the fault: in its own thread, at a rate, in order.

It tolerates every outage, and can send again from the beginning after Redis lost data, as the
platform's producers can (D10). Probes are enrollments that one event completes. That event is sent
when the fault is over, so its exit shows how soon goald recovers.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count

from tests.fault.harness.history import Event, contact_of, encoded, merged, started, tagged

from goald.client import Publisher

BATCH_SECONDS = 0.05
FINAL_RATE = 300.0
"""Events a second once the fault is over and goald has recovered."""
PATIENCE_S = 300.0
PROBES_BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
PROBES_END = datetime(2026, 6, 2, tzinfo=UTC)


class Probe:
    """An enrollment that completes with one event."""

    def __init__(self, tenant: str, contact: str) -> None:
        self.key = (tenant, f"{contact}-e")
        self.enrolled = started(
            tenant, contact, self.key[1], "re-engage", PROBES_BEGIN, f"{contact}-s"
        )
        self.completing = tagged(tenant, contact, f"{contact}-t", PROBES_END)


class Workload:
    """Publishes from `start` until `finish` returns."""

    def __init__(
        self, redis_url: str, events: Sequence[Event], probes: Sequence[Probe], *, rate: float
    ) -> None:
        """`rate`: events a second."""
        self._url = redis_url
        self._events = [*(probe.enrolled for probe in probes), *events]
        self._probe_count = len(probes)
        self._probes = list(probes)
        self._batch = max(1, round(rate * BATCH_SECONDS))
        self._fillers = count()
        self._next = 0
        self._stop: Callable[[], object] | None = None
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._ending = threading.Event()
        self._moved = threading.Condition()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="workload")

    @property
    def published(self) -> list[Event]:
        """All events, in order for each contact. Complete only after `finish`."""
        return list(self._events)

    @property
    def sent(self) -> int:
        """Events that Redis has accepted since the beginning, or since `send_again`."""
        return self._next

    def start(self) -> None:
        """Start, and return when Redis has accepted the probes' enrollments."""
        self._thread.start()
        self.until_sent(self._probe_count)

    def until_sent(self, events: int) -> None:
        """Wait until Redis has accepted this many events, or all."""
        with self._moved:
            done = self._moved.wait_for(
                lambda: self._failure or self._next >= min(events, len(self._events)), PATIENCE_S
            )
        if self._failure is not None:
            raise self._failure
        assert done, f"only {self._next} of {events} events were sent"

    def send_again(self) -> None:
        """Send everything again, in order, because Redis lost data. Call it while `paused`."""
        with self._lock:
            self._next = 0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Send nothing inside the block. Entering waits until Redis has accepted the batch in
        progress."""
        with self._sending:
            yield

    def send_probes(self) -> None:
        """Send the completing events of the probes next, but after their enrollments."""
        self.insert(*(probe.completing for probe in self._probes))

    def insert(self, *events: Event) -> None:
        """Send these events next, but after the probes' enrollments."""
        with self._lock:
            # A batch in progress may include the next positions.
            at = min(len(self._events), max(self._next, self._probe_count) + self._batch)
            self._events[at:at] = events

    def insert_filler(self, *, effective: bool) -> None:
        """If everything is sent, add an event: without effect, or events that complete a new
        enrollment."""
        if self._next < len(self._events):
            return
        tenant, name = self._probes[0].key
        contact, number = f"{name}-filler", next(self._fillers)
        at = PROBES_BEGIN + timedelta(seconds=number)
        enrollment = f"{contact}-{number}"
        if effective:
            self.insert(
                started(tenant, contact, enrollment, "re-engage", at, f"{enrollment}-s"),
                tagged(tenant, contact, f"{enrollment}-t", at),
            )
        else:
            self.insert(tagged(tenant, f"{contact}-not-enrolled", f"{enrollment}-t", at))

    def insert_merge(self) -> None:
        """If everything is sent, add two merges of contacts with an enrollment, each with an event
        that completes it: of the contact that continues, and of the old id."""
        if self._next < len(self._events):
            return
        tenant, name = self._probes[0].key
        number = next(self._fillers)
        at = PROBES_BEGIN + timedelta(seconds=number)
        for completes in ("new", "old"):
            of = f"{name}-{completes}-{number}"
            old, new = f"{of}-old", f"{of}-new"
            self.insert(
                started(tenant, old, f"{of}-e", "re-engage", at, f"{of}-s"),
                merged(tenant, old, new, f"{of}-m", at),
                tagged(tenant, new if completes == "new" else old, f"{of}-t", at),
            )

    def finish(self) -> None:
        """Wait until Redis has accepted everything. The rest is sent at FINAL_RATE at least."""
        self._batch = max(self._batch, round(FINAL_RATE * BATCH_SECONDS))
        self._ending.set()
        self._thread.join(PATIENCE_S)
        if self._failure is not None:
            raise self._failure
        assert not self._thread.is_alive(), f"only {self._next} of {len(self._events)} were sent"

    def abandon(self) -> None:
        """Stop sending, because the round has failed."""
        if self._stop is not None:
            self._stop()
            self._thread.join(PATIENCE_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._send())
        except BaseException as error:  # raised by the waiting methods
            self._failure = error
        with self._moved:
            self._moved.notify_all()

    async def _send(self) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._stop = partial(loop.call_soon_threadsafe, task.cancel)
        async with Publisher(self._url, patience_s=PATIENCE_S) as publisher:
            while True:
                with self._sending:
                    with self._lock:
                        first = self._next
                        batch = self._events[first : first + self._batch]
                    if not batch and self._ending.is_set():
                        return
                    for event in batch:
                        await publisher.publish_encoded(*contact_of(event), encoded(event))
                    await publisher.flush()
                    with self._lock:
                        self._next = first + len(batch)
                with self._moved:
                    self._moved.notify_all()
                await asyncio.sleep(BATCH_SECONDS)
