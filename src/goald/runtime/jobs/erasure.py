"""The job that finishes the erasure of deleted contacts (GOALD_ERASURE).

`erasure_pages` erases the contact in Postgres. This job removes its entries from `goald:exits`,
`goald:notices` and `goald:dead`. It may be interrupted at any point: an erasure is
finished in Postgres after a whole scan, and a scan may be repeated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from goald.domain.errors import GoaldError
from goald.domain.records.erasure import DueErasures, ErasableEntry, PendingErasures, Subject
from goald.metrics.jobs import ErasureMetrics
from goald.ports.clock import Clock
from goald.redis_keys import DEAD, EXITS, NOTICES

TICK_SECONDS = 10.0
PAGE_ENTRIES = 1_000
PROGRESS_SECONDS = 10.0

_log = structlog.stdlib.get_logger(__name__)


class Erasures(Protocol):
    """The erasures in Postgres. Every coroutine may raise ServiceUnavailable."""

    async def pending(self) -> PendingErasures: ...

    async def due(self, hold_s: float) -> DueErasures:
        """The oldest erasures requested at least this many seconds ago, whose rows are
        erased and whose messages are published."""

    async def finish(self, due: DueErasures) -> int:
        """Finish these erasures, except those requested again later, which become due later.
        Returns how many were finished."""

    async def refresh_statistics(self) -> None:
        """Collect the planner's statistics again of the tables with contacts that have changed,
        each in its own transaction, so that they contain no erased contact. Takes about a second
        for each large table; an empty table keeps its statistics."""

    async def any_tombstone(self) -> bool: ...

    async def erased_enrollments(
        self, subjects: Sequence[Subject], before_us: int
    ) -> Sequence[int]:
        """The indexes of the subjects whose enrollments are erased by a deletion at or before this
        time, in microseconds, or whose contacts are deleted while their enrollments have moved to
        other contacts (E21)."""

    async def erased_contacts(self, subjects: Sequence[tuple[Subject, int]]) -> Sequence[int]:
        """The indexes of the subjects whose contacts are deleted; each with the time at which its
        entry was added. An entry of a contact that was enrolled again counts only if it precedes
        the deletion."""

    async def expire(self, keep_days: int) -> int:
        """Delete finished tombstones that are older, and return how many."""

    async def close(self) -> None: ...


class ErasableStreams(Protocol):
    """The streams in Redis. Every coroutine may raise ServiceUnavailable."""

    async def now(self) -> int:
        """The server's time, in microseconds."""

    async def length(self, stream: str) -> int:
        """The number of entries of a stream."""

    async def page(self, stream: str, after: str | None, count: int) -> Sequence[ErasableEntry]:
        """The next entries of a stream, oldest first."""

    async def delete(self, stream: str, ids: Sequence[str]) -> int: ...

    async def report(self, pending: PendingErasures) -> None:
        """Store the state for `goald status`."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ErasureSettings:
    """`erasure_s`: GOALD_ERASURE. `keep_days`: how long tombstones are kept (GOALD_RETENTION)."""

    erasure_s: float
    keep_days: int

    @property
    def hold_s(self) -> float:
        """How long entries stay for readers that are late. The rest is for the scan."""
        return self.erasure_s * 3 / 4

    @property
    def every_s(self) -> float:
        """Seconds between two scans."""
        return self.erasure_s / 24


class ScanProgress:
    """Shows how far a scan is: in metrics, and in the log every PROGRESS_SECONDS."""

    def __init__(self, entries: int, metrics: ErasureMetrics, clock: Clock) -> None:
        """`entries`: how many the streams have."""
        self._entries = entries
        self._metrics = metrics
        self._clock = clock
        self._logged_at = clock.monotonic()
        self.scanned = self.removed = 0
        metrics.scan_ratio.set(0)

    def add(self, stream: str, scanned: int, removed: int) -> None:
        """Called for each page of a stream."""
        self.scanned += scanned
        self.removed += removed
        self._metrics.removed.labels(stream).inc(removed)
        # Entries that are added during the scan may be read too.
        done = min(1.0, self.scanned / self._entries) if self._entries else 1.0
        self._metrics.scan_ratio.set(done)
        if self._clock.monotonic() - self._logged_at >= PROGRESS_SECONDS:
            self._logged_at = self._clock.monotonic()
            _log.info(
                "searching the streams for deleted contacts",
                stream=stream, percent=int(done * 100), scanned=self.scanned,
                entries=self._entries, removed=self.removed,
            )  # fmt: skip

    def end(self) -> None:
        """The scan has ended, or failed and will be repeated."""
        self._metrics.scan_ratio.set(1)


class Erasure:
    """Scans the streams for entries of deleted contacts. Several instances may run it."""

    def __init__(
        self,
        settings: ErasureSettings,
        erasures: Erasures,
        streams: ErasableStreams,
        subject_of: Callable[[bytes], Subject | None],
        metrics: ErasureMetrics,
        clock: Clock,
    ) -> None:
        """`subject_of` reads an event; None if its tenant and contact cannot be found."""
        self._settings = settings
        self._erasures = erasures
        self._streams = streams
        self._subject_of = subject_of
        self._metrics = metrics
        self._clock = clock
        self._failed = False

    async def run(self) -> None:
        """Run until cancelled. Logs a failure and retries; it never ends the daemon."""
        next_scan = self._clock.monotonic()
        try:
            while True:
                if await self._report() and self._clock.monotonic() >= next_scan:
                    if await self.once():
                        next_scan = self._clock.monotonic() + self._settings.every_s
                    await self._report()
                await self._clock.sleep(min(TICK_SECONDS, self._settings.every_s))
        finally:
            await self._erasures.close()
            await self._streams.close()

    async def once(self) -> bool:
        """Finish the erasures that are due, and return whether everything succeeded."""
        try:
            if await self._erasures.any_tombstone():
                while await self._scan():
                    pass
                await self._erasures.expire(self._settings.keep_days)
        except GoaldError as error:
            _log.warning("cannot erase deleted contacts; retrying", error=str(error))
            return False
        return True

    async def _scan(self) -> bool:
        """Scan the streams once, and finish what was due before. Returns whether more is due."""
        due = await self._erasures.due(self._settings.hold_s)
        outbound = (EXITS, NOTICES) if due.marks else ()
        entries = sum([await self._streams.length(stream) for stream in (*outbound, DEAD)])
        progress = ScanProgress(entries, self._metrics, self._clock)
        try:
            for stream in outbound:
                await self._scan_outbound(stream, due.before_us, progress)
            await self._scan_dead(progress)
        finally:
            progress.end()
        if not due.marks:
            return False
        await self._erasures.refresh_statistics()
        finished = await self._erasures.finish(due)
        self._metrics.finished.inc(finished)
        _log.info(
            "erased deleted contacts",
            contacts=finished, scanned=progress.scanned, removed=progress.removed,
        )  # fmt: skip
        await self._report()
        return due.has_more

    async def _scan_outbound(self, stream: str, before_us: int, progress: ScanProgress) -> None:
        """Remove the exits or notices of enrollments that a deletion before this time erased."""
        after = None
        while entries := await self._streams.page(stream, after, PAGE_ENTRIES):
            after = entries[-1].id
            read = [(entry, self._subject_of(entry.event)) for entry in entries]
            about = [(entry, subject) for entry, subject in read if subject and subject.enrollment]
            subjects = [subject for _, subject in about]
            erased = await self._erasures.erased_enrollments(subjects, before_us)
            removed = await self._streams.delete(stream, [about[at][0].id for at in erased])
            progress.add(stream, len(entries), removed)

    async def _scan_dead(self, progress: ScanProgress) -> None:
        """Remove the dead letters of deleted contacts, and those whose contact is unknown."""
        before = await self._streams.now() - int(self._settings.hold_s * 1e6)
        after = None
        while entries := await self._streams.page(DEAD, after, PAGE_ENTRIES):
            after = entries[-1].id
            old = [entry for entry in entries if entry.added_at <= before]
            read = [(entry, self._subject_of(entry.event)) for entry in old]
            known = [(entry, subject) for entry, subject in read if subject is not None]
            unknown = [entry.id for entry, subject in read if subject is None]
            erased = await self._erasures.erased_contacts(
                [(subject, entry.added_at) for entry, subject in known]
            )
            ids = unknown + [known[at][0].id for at in erased]
            progress.add(DEAD, len(entries), await self._streams.delete(DEAD, ids))
            if len(old) < len(entries):
                break

    async def _report(self) -> bool:
        try:
            pending = await self._erasures.pending()
            await self._streams.report(pending)
        except GoaldError as error:
            if not self._failed:
                _log.warning("cannot read the erasures; retrying", error=str(error))
            self._failed = True
            return False
        self._failed = False
        self._metrics.pending.set(pending.count)
        self._metrics.oldest.set(pending.oldest_s)
        self._metrics.in_tables_oldest.set(pending.in_tables_oldest_s)
        return True
