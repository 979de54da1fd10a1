"""The latest deliveries of each source."""

from collections.abc import Sequence
from typing import Final, Protocol

from goald.domain.records.deliveries import DeliveryRecord

MAX_KEPT: Final = 100
"""The verified deliveries of a source that are kept, and as many that are not verified."""


class DeliveryLog(Protocol):
    """The latest deliveries, apart for verified and unverified ones: a flood of forged deliveries
    hides no genuine one. Bounded, and kept for a limited time."""

    def add(self, tenant: str, source: str, record: DeliveryRecord) -> None:
        """Add a delivery of an existing source. Does not block and never raises: a record may be
        lost if it cannot be stored soon."""

    async def latest(self, tenant: str, source: str, *, verified: bool) -> Sequence[DeliveryRecord]:
        """Return at most MAX_KEPT deliveries, newest first. Raises ServiceUnavailable."""

    async def clear(self, tenant: str, source: str) -> None:
        """Delete the deliveries of a source. Raises ServiceUnavailable."""
