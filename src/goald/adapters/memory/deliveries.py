"""The latest deliveries of each source, in memory."""

from collections import deque
from collections.abc import Sequence

from goald.domain.records.deliveries import DeliveryRecord
from goald.ports.sources.deliveries import MAX_KEPT


class MemoryDeliveries:
    """`ports.DeliveryLog`. Keeps records without a limit of time."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, bool], deque[DeliveryRecord]] = {}

    def add(self, tenant: str, source: str, record: DeliveryRecord) -> None:
        kept = self._kept.setdefault((tenant, source, record.is_verified), deque(maxlen=MAX_KEPT))
        kept.appendleft(record)

    async def latest(self, tenant: str, source: str, *, verified: bool) -> Sequence[DeliveryRecord]:
        return list(self._kept.get((tenant, source, verified), ()))

    async def clear(self, tenant: str, source: str) -> None:
        for verified in (True, False):
            self._kept.pop((tenant, source, verified), None)

    async def close(self) -> None:
        """Does nothing."""
