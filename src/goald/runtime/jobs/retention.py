"""The daemon's job that makes months ahead and drops old ones (GOALD_RETENTION)."""

from typing import Protocol

import structlog

from goald.domain.errors import GoaldError
from goald.ports.clock import Clock

AHEAD_MONTHS = 3
EVERY_SECONDS = 3_600.0
RETRY_SECONDS = 60.0
BETWEEN_SECONDS = 1.0
"""Between two drops, so that who waited behind the one comes before the next."""

_log = structlog.stdlib.get_logger(__name__)


class Months(Protocol):
    """The months that achievements and the audit log are kept by."""

    async def make(self, ahead: int) -> int:
        """Make what is missing up to so many months ahead; how many tables were made."""

    async def drop_oldest(self, keep_days: int) -> str | None:
        """Drop the oldest month, of one table, that ended more than so many days ago (31 at
        least); its name, None where there is none or another process drops one. Raises
        ServiceUnavailable, having dropped nothing, where the table is in use."""

    async def close(self) -> None: ...


class Retention:
    """Keeps months made and dropped. Two of them at once do no harm."""

    def __init__(self, months: Months, keep_days: int, clock: Clock) -> None:
        self._months = months
        self._keep_days = keep_days
        self._clock = clock

    async def run(self) -> None:
        """Work at once and then every hour, until it is cancelled. Whatever fails is logged
        and tried again within a minute: it never ends the daemon."""
        try:
            while True:
                await self._clock.sleep(EVERY_SECONDS if await self._once() else RETRY_SECONDS)
        finally:
            await self._months.close()

    async def _once(self) -> bool:
        """Whether all was done."""
        try:
            if made := await self._months.make(AHEAD_MONTHS):
                _log.info("made months ahead", tables=made)
            while table := await self._months.drop_oldest(self._keep_days):
                _log.info("dropped a month", table=table, retention_days=self._keep_days)
                await self._clock.sleep(BETWEEN_SECONDS)
        except GoaldError as error:
            _log.warning("could not keep the months; trying again", error=str(error))
            return False
        return True
