"""The job that reports the transfers of merged contacts that are not finished (E21)."""

from typing import Final, Protocol

import structlog

from goald.domain.errors import GoaldError
from goald.domain.records.transfers import PendingTransfers
from goald.metrics.jobs import TransferMetrics
from goald.ports.clock import Clock

EVERY_SECONDS: Final = 10.0

_log = structlog.stdlib.get_logger(__name__)


class TransferSource(Protocol):
    """The transfers in Postgres."""

    async def pending(self) -> PendingTransfers:
        """Read their state. Raises ServiceUnavailable."""

    async def close(self) -> None: ...


class TransferReport(Protocol):
    """Stores the state for `goald status`."""

    async def write(self, pending: PendingTransfers) -> None:
        """Replace the state. Raises ServiceUnavailable."""

    async def close(self) -> None: ...


class TransferReporter:
    """Measures the transfers, for the metrics and for `goald status`. Several instances may run it
    at the same time."""

    def __init__(
        self, source: TransferSource, report: TransferReport, metrics: TransferMetrics, clock: Clock
    ) -> None:
        self._source = source
        self._report = report
        self._metrics = metrics
        self._clock = clock
        self._failed = False

    async def run(self) -> None:
        """Run until cancelled. Logs a failure once; it never ends the daemon."""
        try:
            while True:
                await self.once()
                await self._clock.sleep(EVERY_SECONDS)
        finally:
            await self._source.close()
            await self._report.close()

    async def once(self) -> None:
        """Read the state, and report it."""
        try:
            pending = await self._source.pending()
            await self._report.write(pending)
        except GoaldError as error:
            if not self._failed:
                _log.warning("cannot read the merges of contacts; retrying", error=str(error))
            self._failed = True
            return
        self._failed = False
        self._metrics.set(pending)
