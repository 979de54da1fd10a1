"""Early events (E7): events that arrive before the enrollment they are for.

All of the feature is here, and its objects exist only if GOALD_EARLY_EVENTS is set. A shard keeps
the events of the last seconds and evaluates them again when their contact is enrolled
(`EarlyEvents`). Consumers acknowledge no event before that time is over (`HeldInFlight`), and send
processed batches again to a shard that restarted (`HeldOutstanding`), because nothing else stores
what the shard kept.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from goald import _native
from goald.pipeline.ingest.in_flight import InFlight, InFlightBatch
from goald.pipeline.ingest.outstanding import Outstanding, QueuedBatch
from goald.pipeline.ingest.window import InFlightWindow
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard.group import Group
from goald.pipeline.shard.progress import GroupProgress
from goald.pipeline.shard.turns import Turns
from goald.pipeline.shard_batch import Forwarded, ShardBatch
from goald.pipeline.stall_detector import STALL_SECONDS
from goald.ports.clock import Clock

MAX_EARLY_EVENTS = 100_000
"""How many events a shard keeps at most; beyond that it drops the oldest."""

Contact = tuple[str, str]


class EarlyEvents:
    """The recent events of a shard that goals may listen to, by contact, in order.

    Every event is kept, whether it met a goal or not: a goal that was met stays met, and a
    repeat changes nothing (D1).
    """

    def __init__(self, seconds: float, clock: Clock, limit: int = MAX_EARLY_EVENTS) -> None:
        self._seconds = seconds
        self._clock = clock
        self._limit = limit
        self._order: deque[tuple[float, Contact]] = deque()
        self._events: dict[Contact, deque[ShardBatch]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def progress(
        self, group: Group, evaluator: Evaluator, breaker: CircuitBreaker, turns: Turns
    ) -> GroupProgress:
        """Return the progress of a group, which keeps its events once they are committed."""
        return _ProgressWithEarlyEvents(self, group, evaluator, breaker, turns)

    def keep(self, group: Group, deferred: Sequence[bytes] = ()) -> None:
        """Keep the events of a group, except those in the buffers `deferred`, and drop those
        whose time is over."""
        now, now_us = self._clock.monotonic(), self._clock.now_us()
        waiting = {buffer for _, _, buffer in _native.goal_events(deferred, now_us)}
        for batch in group.batches:
            for tenant, contact, buffer in _native.goal_events([batch.buffer], now_us):
                if buffer in waiting:
                    continue
                self._order.append((now + self._seconds, (tenant, contact)))
                events = self._events.setdefault((tenant, contact), deque())
                events.append(batch._replace(buffer=buffer))
        while self._order and (self._order[0][0] <= now or len(self._order) > self._limit):
            self._drop(self._order.popleft()[1])

    def of(self, contacts: Iterable[Contact]) -> Group | None:
        """Return the kept events of these contacts as a group that no caller waits for, or None."""
        now = self._clock.monotonic()
        while self._order and self._order[0][0] <= now:
            self._drop(self._order.popleft()[1])
        batches: Sequence[ShardBatch] = [
            batch for contact in sorted(contacts) for batch in self._events.get(contact, ())
        ]
        return Group(batches, ()) if batches else None

    def _drop(self, contact: Contact) -> None:
        events = self._events[contact]
        events.popleft()
        if not events:
            del self._events[contact]


class _ProgressWithEarlyEvents(GroupProgress):
    """Evaluates the early events of contacts that a group enrolled, after the whole group is
    committed: the kept events include those of the group's own end (E5)."""

    def __init__(
        self,
        early: EarlyEvents,
        group: Group,
        evaluator: Evaluator,
        breaker: CircuitBreaker,
        turns: Turns,
    ) -> None:
        super().__init__(group, evaluator, breaker, turns)
        self._early = early
        self._enrolled: set[Contact] = set()

    def slices(self, proposal: _native.Proposal) -> Iterator[_native.Proposal]:
        for each in super().slices(proposal):
            # Noted before the commit, whose outcome may become unknown.
            self._enrolled |= _enrolled(each)
            yield each

    def _on_current_committed(self, proposal: _native.Proposal) -> None:
        if self._current.completions:  # not early events themselves
            self._early.keep(self._current, [buffer for *_, buffer in proposal.deferred])
        if self._bisection.is_finished:
            early = self._early.of(self._enrolled)
            self._enrolled.clear()
            if early is not None:
                self._bisection.next(early)


class HeldInFlight(InFlight):
    """Batches that are acknowledged only when their events have been kept long enough."""

    def __init__(
        self,
        window: InFlightWindow,
        clock: Clock,
        awaits_deferred: Callable[[], bool],
        seconds: float,
    ) -> None:
        super().__init__(window, clock, awaits_deferred)
        self._seconds = seconds
        self.patience = STALL_SECONDS + seconds

    async def wait_processed(self, batch: InFlightBatch) -> None:
        await batch.wait()
        await self._clock.sleep(batch.dispatched_at + self._seconds - self._clock.monotonic())

    async def wait_idle(self) -> None:
        """Wait until the shards have processed everything. Does not wait until it is
        acknowledged; otherwise each isolated entry would take the whole time."""
        for batch in tuple(self._batches):
            await batch.wait()


class HeldOutstanding(Outstanding):
    """Processed batches stay outstanding until their events have been kept long enough."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = seconds
        self._processed_at: dict[QueuedBatch, float] = {}

    def complete(self, batch: QueuedBatch, forwarded: Sequence[Forwarded] = ()) -> None:
        now = self._clock.monotonic()
        if not batch.processed.done():
            batch.processed.set_result(forwarded)
            self._processed_at[batch] = now
        outstanding = self._streams[batch.stream]
        while outstanding and (first := outstanding[0]).processed.done():
            if now - self._processed_at.get(first, 0.0) < self._seconds:
                break
            self._processed_at.pop(first, None)
            outstanding.popleft()

    def resend(
        self,
        queue: Collection[QueuedBatch],
        suspects: Collection[QueuedBatch],
        sent: Collection[QueuedBatch] = (),
    ) -> deque[QueuedBatch]:
        again = super().resend(queue, suspects, sent)
        kept = {batch for outstanding in self._streams.values() for batch in outstanding}
        self._processed_at = {b: at for b, at in self._processed_at.items() if b in kept}
        return again

    def _is_resent(self, batch: QueuedBatch) -> bool:
        return True


def _enrolled(proposal: _native.Proposal) -> set[Contact]:
    """Return the contacts of the active enrollments that a commit starts, or may start."""
    effects = proposal.effects
    columns = zip(
        effects.is_new, effects.status, effects.tenant_id, effects.contact_id, strict=True
    )
    return {
        (tenant, contact)
        for is_new, status, tenant, contact in columns
        if is_new and status == "active"
    }
