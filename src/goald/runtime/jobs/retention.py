"""The job that creates monthly partitions, drops old ones (GOALD_RETENTION, GOALD_LOG_RETENTION),
and removes old used events (GOALD_USED_KEEP), what paused workflows missed (E19), and answers."""

from typing import NamedTuple, Protocol

import structlog

from goald.domain.errors import GoaldError
from goald.ports.clock import Clock

AHEAD_MONTHS = 3
EVERY_SECONDS = 3_600.0
RETRY_SECONDS = 60.0
BETWEEN_SECONDS = 1.0
"""Between two drops, so that queries that waited for the first run before the second."""
PURGED_ROWS = 1_000
"""Rows of each table that one transaction removes."""

_log = structlog.stdlib.get_logger(__name__)


class Months(Protocol):
    """The monthly partitions of the achievements, of the audit log and of the log of executions."""

    async def make(self, ahead: int) -> int:
        """Create the missing partitions up to this many months ahead, and return their number."""

    async def drop_oldest(self, keep_days: int) -> str | None:
        """Drop the oldest partition of one table that ended more than this many days ago (at
        least 31), and return its name; None if there is none, or if another process is dropping
        one. Raises ServiceUnavailable without dropping anything if the table is in use."""

    async def drop_oldest_log(self, keep_days: int) -> str | None:
        """As `drop_oldest`, for the log of executions (at least 1 day)."""

    async def purge_deleted(self, keep_days: int, most: int) -> int:
        """Remove up to `most` goals and workflows each that were deleted more than this many days
        ago (at least 31), and return the number of removed rows. Raises ServiceUnavailable."""

    async def purge_used_events(self, keep_days: int, most: int) -> int:
        """Remove up to `most` used events that are older than this many days, and return their
        number. A tenant with a longer conversion window keeps them for 366 days (E18). Raises
        ServiceUnavailable."""

    async def purge_missed(self, most: int) -> int:
        """Remove up to `most` enrollments, and events, that paused workflows missed more than 30
        days ago (E19), and return their number. Raises ServiceUnavailable."""

    async def purge_answers(self, most: int) -> int:
        """Remove up to `most` answers to requests that are older than an hour, and return their
        number. Raises ServiceUnavailable."""

    async def close(self) -> None: ...


class Keep(NamedTuple):
    """How long rows are kept, in days."""

    months: int
    """GOALD_RETENTION."""
    used_events: int
    """`Settings.used_keep_days` (E11)."""
    logs: int
    """GOALD_LOG_RETENTION."""


class Retention:
    """Creates and drops partitions. Several instances may run it at the same time."""

    def __init__(self, months: Months, keep: Keep, clock: Clock) -> None:
        self._months = months
        self._keep = keep
        self._clock = clock

    async def run(self) -> None:
        """Run immediately and then every hour, until cancelled. Logs a failure and retries within a
        minute; a failure never ends the daemon."""
        try:
            while True:
                await self._clock.sleep(EVERY_SECONDS if await self._once() else RETRY_SECONDS)
        finally:
            await self._months.close()

    async def _once(self) -> bool:
        """Whether everything succeeded."""
        try:
            if created := await self._months.make(AHEAD_MONTHS):
                _log.info("created monthly partitions", partitions=created)
            keep = self._keep
            while name := await self._months.drop_oldest(keep.months):
                _log.info("dropped a monthly partition", partition=name, keep_days=keep.months)
                await self._clock.sleep(BETWEEN_SECONDS)
            while name := await self._months.drop_oldest_log(keep.logs):
                _log.info("dropped a monthly partition", partition=name, keep_days=keep.logs)
                await self._clock.sleep(BETWEEN_SECONDS)
            while removed := await self._months.purge_deleted(keep.months, PURGED_ROWS):
                _log.info("removed deleted workflows and goals", rows=removed)
            while removed := await self._months.purge_used_events(keep.used_events, PURGED_ROWS):
                _log.info("removed used events", rows=removed)
            while removed := await self._months.purge_missed(PURGED_ROWS):
                _log.info("removed events that paused workflows missed", rows=removed)
            while removed := await self._months.purge_answers(PURGED_ROWS):
                _log.info("removed answers to requests", rows=removed)
        except GoaldError as error:
            _log.warning("cannot maintain monthly partitions; retrying", error=str(error))
            return False
        return True
