"""The job that erases deleted contacts from their rows in Postgres, a bounded page at a time.

The transaction of a deletion only adds a tombstone, because a contact may have any number of rows.
This job may be interrupted at any point, and run in several instances: a page is a transaction, and
a row that is erased is not found again.
"""

from typing import Protocol

import structlog

from goald.domain.errors import GoaldError
from goald.domain.records.erasure import ErasurePage
from goald.ports.clock import Clock

POLL_SECONDS = 1.0
MOST_PAUSE_SECONDS = 5.0

_log = structlog.stdlib.get_logger(__name__)


class Pages(Protocol):
    """The rows of deleted contacts."""

    async def rewrite(self) -> ErasurePage:
        """Erase one bounded page of rows, those of the oldest deletions first, in its own
        transaction. Rewrites nothing if there are none, or another instance rewrites. Raises
        ServiceUnavailable."""

    async def close(self) -> None: ...


class ErasurePages:
    """Rewrites pages while there are any."""

    def __init__(self, pages: Pages, clock: Clock) -> None:
        self._pages = pages
        self._clock = clock
        self._failed = False

    async def run(self) -> None:
        """Run until cancelled. Logs a failure and retries; it never ends the daemon."""
        try:
            while True:
                await self.once()
                await self._clock.sleep(POLL_SECONDS)
        finally:
            await self._pages.close()

    async def once(self) -> None:
        """Rewrite everything that is pending, or log why that is not possible. Pauses after each
        page for as long as the page took, so that commits get their part of Postgres."""
        rows = contacts = 0
        try:
            started = self._clock.monotonic()
            while (page := await self._pages.rewrite()) != ErasurePage():
                rows, contacts = rows + page.rows, contacts + page.contacts
                took = self._clock.monotonic() - started
                await self._clock.sleep(min(took, MOST_PAUSE_SECONDS))
                started = self._clock.monotonic()
        except GoaldError as error:
            if not self._failed:
                _log.warning(
                    "cannot erase the rows of deleted contacts; retrying", error=str(error)
                )
            self._failed = True
            return
        self._failed = False
        if contacts:
            _log.info("erased the rows of deleted contacts", contacts=contacts, rows=rows)
