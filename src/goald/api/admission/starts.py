"""Refuses starts of enrollments beyond the limit of their contact, or under a used id, as far as
Postgres shows it."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import structlog

from goald.api.problems import EnrollmentIdUsed, EnrollmentLimitReached
from goald.domain.errors import ServiceUnavailable
from goald.metrics.api import AdmissionMetrics
from goald.pipeline.intake import AcceptedEvent, RefusedEvent
from goald.pipeline.start_check import OTHER_OWNER, USED_ID, StartCheck
from goald.ports.clock import Clock

PATIENCE_S: Final = 0.25
"""How long a request waits for Postgres. Without an answer its starts are admitted, and the shards
decide."""
_PAUSE_S: Final = 1.0
"""How long Postgres is not asked about a tenant after it did not answer: its contacts may have more
enrollments than can be counted in PATIENCE_S."""

_log = structlog.stdlib.get_logger(__name__)


def start_problem(first: RefusedEvent, **members: Any) -> EnrollmentIdUsed | EnrollmentLimitReached:
    """The response to a request whose starts are all refused, for the reason of the first."""
    if first.reason in (USED_ID, OTHER_OWNER):
        return EnrollmentIdUsed(first.reason, **members)
    return EnrollmentLimitReached(first.reason, **members)


class StartAdmission:
    """The check of an API process. Bound to one event loop."""

    def __init__(self, check: StartCheck, clock: Clock, metrics: AdmissionMetrics) -> None:
        self._check = check
        self._clock = clock
        self._metrics = metrics
        self._paused_until: dict[str, float] = {}
        """By tenant, the tenant whose pause ends next first."""

    async def admit(
        self, tenant: str, events: Sequence[AcceptedEvent]
    ) -> tuple[Sequence[AcceptedEvent], list[RefusedEvent]]:
        """Return the events without the starts that are refused, and those, both in order."""
        self._end_pauses()
        if tenant in self._paused_until:
            return events, []
        try:
            async with asyncio.timeout(PATIENCE_S):
                refused_at = await self._check.refused(tenant, events)
        except (ServiceUnavailable, TimeoutError) as error:
            if not self._paused_until:
                reason = str(error) or f"no answer within {PATIENCE_S:g} s"
                _log.warning("the limit of enrollments is not checked", reason=reason)
            self._paused_until.pop(tenant, None)
            self._paused_until[tenant] = self._clock.monotonic() + _PAUSE_S
            return events, []
        if not refused_at:
            return events, []
        self._metrics.starts_refused.inc(sum(start.is_limit for start in refused_at.values()))
        refused = [
            RefusedEvent(event.index, event.id, start.reason, False)
            for position, event in enumerate(events)
            if (start := refused_at.get(position)) is not None
        ]
        admitted = [event for at, event in enumerate(events) if at not in refused_at]
        return admitted, refused

    def _end_pauses(self) -> None:
        now = self._clock.monotonic()
        for tenant, until in list(self._paused_until.items()):
            if until > now:
                break
            del self._paused_until[tenant]
