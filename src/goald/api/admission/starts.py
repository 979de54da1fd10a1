"""Refuses starts of enrollments beyond the limit of their contact, as far as Postgres shows it."""

import asyncio
from collections.abc import Sequence
from typing import Final

import orjson
import structlog

from goald.domain.errors import ServiceUnavailable
from goald.metrics.api import AdmissionMetrics
from goald.pipeline.intake import AcceptedEvent, RefusedEvent
from goald.pipeline.start_check import StartCheck
from goald.ports.clock import Clock

PATIENCE_S: Final = 0.25
"""How long a request waits for Postgres. Without an answer its starts are admitted, and the shards
decide."""
_PAUSE_S: Final = 1.0

_log = structlog.stdlib.get_logger(__name__)


class StartAdmission:
    """The check of an API process. Bound to one event loop."""

    def __init__(self, check: StartCheck, clock: Clock, metrics: AdmissionMetrics) -> None:
        self._check = check
        self._clock = clock
        self._metrics = metrics
        self._paused_until: float | None = None

    async def admit(
        self, tenant: str, events: Sequence[AcceptedEvent]
    ) -> tuple[Sequence[AcceptedEvent], list[RefusedEvent]]:
        """Return the events without the starts that are refused, and those, both in order."""
        if self._paused_until is not None and self._clock.monotonic() < self._paused_until:
            return events, []
        try:
            async with asyncio.timeout(PATIENCE_S):
                positions = await self._check.refused(tenant, events)
        except (ServiceUnavailable, TimeoutError) as error:
            if self._paused_until is None:
                _log.warning("the limit of enrollments is not checked", error=str(error))
            self._paused_until = self._clock.monotonic() + _PAUSE_S
            return events, []
        self._paused_until = None
        if not positions:
            return events, []
        self._metrics.starts_refused.inc(len(positions))
        reason = self._check.reason
        refused = [
            RefusedEvent(event.index, orjson.loads(event.payload)["id"], reason, False)
            for position, event in enumerate(events)
            if position in positions
        ]
        admitted = [event for at, event in enumerate(events) if at not in positions]
        return admitted, refused
