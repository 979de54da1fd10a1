"""The job that removes the entries of deleted contacts from the streams."""

from collections.abc import Callable, Sequence

import pytest
import structlog
from prometheus_client import CollectorRegistry

from goald.adapters.memory.clock import ManualClock
from goald.domain.errors import ServiceUnavailable
from goald.domain.records.erasure import DueErasures, ErasableEntry, PendingErasures, Subject
from goald.metrics.jobs import ErasureMetrics
from goald.redis_keys import DEAD, EXITS, NOTICES
from goald.runtime.jobs import erasure
from goald.runtime.jobs.erasure import Erasure, ErasureSettings

MARK = b"mark"
HOUR_US = 3_600_000_000
BEFORE_US = 1_780_000_000_000_000


def subject_of(event: bytes) -> Subject | None:
    """An event is `contact/enrollment`, or cannot be read."""
    contact, slash, enrollment = event.decode().partition("/")
    return Subject("acme", contact, enrollment or None) if slash else None


class ErasuresInMemory:
    """`ann` is deleted, and her enrollment `e-1` erased."""

    def __init__(self) -> None:
        self.marks = [MARK]
        self.finished: list[bytes] = []
        self.most_due = 10

    async def pending(self) -> PendingErasures:
        return PendingErasures(len(self.marks), 64_800.0 if self.marks else 0.0)

    async def due(self, hold_s: float) -> DueErasures:
        most = self.most_due
        return DueErasures(self.marks[:most], BEFORE_US, has_more=len(self.marks) > most)

    async def finish(self, due: DueErasures) -> int:
        self.finished += due.marks
        self.marks = self.marks[len(due.marks) :]
        return len(due.marks)

    async def refresh_statistics(self) -> None:
        """There are no statistics."""

    async def any_tombstone(self) -> bool:
        return True

    async def erased_enrollments(
        self, subjects: Sequence[Subject], before_us: int
    ) -> Sequence[int]:
        assert before_us == BEFORE_US
        return [at for at, each in enumerate(subjects) if each.enrollment == "e-1"]

    async def erased_contacts(self, subjects: Sequence[tuple[Subject, int]]) -> Sequence[int]:
        return [at for at, (each, _) in enumerate(subjects) if each.contact == "ann"]

    async def expire(self, keep_days: int) -> int:
        return 0

    async def close(self) -> None:
        """Nothing is open."""


class StreamsInMemory:
    """Entries by stream. Every page takes `page_seconds`; page number `fails_at` fails."""

    def __init__(self, clock: ManualClock) -> None:
        self.entries: dict[str, list[ErasableEntry]] = {EXITS: [], NOTICES: [], DEAD: []}
        self.page_seconds = 0.0
        self.fails_at = 0
        self.pages = 0
        self.before_page: Callable[[], object] = lambda: None
        self._clock = clock

    def add(self, stream: str, *events: bytes, hours_ago: int = 24) -> None:
        for event in events:
            number = len(self.entries[stream])
            at = self._clock.now_us() - hours_ago * HOUR_US
            self.entries[stream].append(ErasableEntry(f"{number:09}", at, event))

    def events(self, stream: str) -> list[bytes]:
        return [entry.event for entry in self.entries[stream]]

    async def now(self) -> int:
        return self._clock.now_us()

    async def length(self, stream: str) -> int:
        return len(self.entries[stream])

    async def page(self, stream: str, after: str | None, count: int) -> Sequence[ErasableEntry]:
        self.before_page()
        self.pages += 1
        if self.pages == self.fails_at:
            raise ServiceUnavailable("Redis is down")
        await self._clock.advance(self.page_seconds)
        later = [each for each in self.entries[stream] if after is None or each.id > after]
        return later[:count]

    async def delete(self, stream: str, ids: Sequence[str]) -> int:
        before = len(self.entries[stream])
        self.entries[stream] = [each for each in self.entries[stream] if each.id not in ids]
        return before - len(self.entries[stream])

    async def report(self, pending: PendingErasures) -> None:
        """Not read by these tests."""

    async def close(self) -> None:
        """Nothing is open."""


class Job:
    """The job, over these in-memory services."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.erasures = ErasuresInMemory()
        self.streams = StreamsInMemory(self.clock)
        self.registry = CollectorRegistry()
        self.job = Erasure(
            ErasureSettings(86_400.0, 731), self.erasures, self.streams, subject_of,
            ErasureMetrics(self.registry), self.clock,
        )  # fmt: skip

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def job() -> Job:
    return Job()


async def test_entries_of_deleted_contacts_are_removed(job: Job) -> None:
    for stream in (EXITS, NOTICES):
        job.streams.add(stream, b"ann/e-1", b"bob/e-2", b"ann/e-3", b"about a workflow")
    job.streams.add(DEAD, b"ann/e-9", b"bob/e-2", b"unreadable")
    assert await job.job.once()
    for stream in (EXITS, NOTICES):
        assert job.streams.events(stream) == [b"bob/e-2", b"ann/e-3", b"about a workflow"]
    assert job.streams.events(DEAD) == [b"bob/e-2"]
    assert job.erasures.finished == [MARK]
    assert job.metric("goald_erasure_entries_removed_total", stream=DEAD) == 2
    assert job.metric("goald_erasures_total") == 1


async def test_dead_letters_stay_for_three_quarters_of_the_time(job: Job) -> None:
    job.streams.add(DEAD, b"ann/e-1", hours_ago=19)
    job.streams.add(DEAD, b"ann/e-1", b"unreadable", hours_ago=17)
    assert await job.job.once()
    assert job.streams.events(DEAD) == [b"ann/e-1", b"unreadable"]


async def test_interrupted_scan_finishes_no_erasure_and_is_repeated(job: Job) -> None:
    job.streams.add(EXITS, b"bob/e-2", b"ann/e-1")
    job.streams.add(DEAD, b"ann/e-1")
    job.streams.fails_at = 3  # after the exits
    assert not await job.job.once()
    assert job.erasures.finished == []
    assert job.metric("goald_erasure_scan_ratio") == 1
    assert await job.job.once()
    assert job.erasures.finished == [MARK]
    assert job.streams.events(EXITS) == [b"bob/e-2"]
    assert job.streams.events(DEAD) == []


async def test_every_erasure_that_is_due_is_finished_in_one_run(job: Job) -> None:
    """More may be due than one query returns; the next run may be an hour later."""
    job.erasures.marks = marks = [b"%d" % number for number in range(25)]
    assert await job.job.once()
    assert job.erasures.finished == marks


async def test_scan_shows_its_progress(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "PAGE_ENTRIES", 1)
    job.streams.add(EXITS, *[b"ann/e-1"] * 3, b"bob/e-2")
    job.streams.page_seconds = 6.0
    job.streams.before_page = lambda: seen.append(job.metric("goald_erasure_scan_ratio"))
    seen: list[float | None] = []
    with structlog.testing.capture_logs() as logged:
        assert await job.job.once()
    assert seen == [0, 0.25, 0.5, 0.75, 1, 1, 1]
    assert job.metric("goald_erasure_scan_ratio") == 1
    percents = [each["percent"] for each in logged if "percent" in each]
    assert percents == [50, 100]
    assert (logged[-1]["scanned"], logged[-1]["removed"]) == (4, 3)
