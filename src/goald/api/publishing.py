"""Publication of events to the streams while the caller waits, fair between tenants."""

import asyncio
from collections.abc import Sequence
from typing import Final, Protocol
from weakref import WeakValueDictionary

from goald.api.ports import EventSink
from goald.api.problems import TooManyRequests
from goald.domain.errors import ServiceUnavailable
from goald.pipeline.intake import AcceptedEvent

PATIENCE_S: Final = 2.0
"""How long Redis may fail or not respond before the caller gets an error."""
UNIT_BYTES: Final = 1 << 10
"""An event counts as one unit per started UNIT_BYTES, or per started UNIT_WORK if that is more."""
UNIT_WORK: Final = 1_200
"""The work of half an exit (docs/decisions/0036-quotas-of-work.md)."""
MAX_UNITS_IN_FLIGHT: Final = 1_000
"""The units of one tenant that are being sent to Redis at a time, or one request if that is
larger. Other tenants wait behind this much of each tenant, and no more (D8)."""
MAX_WAITING: Final = 64
"""Requests of one tenant that wait for earlier ones of the same tenant: at most 64 MiB."""


def payload_bytes(events: Sequence[AcceptedEvent]) -> int:
    """Return the bytes of these events, for the quota of the tenant."""
    return sum(len(event.payload) for event in events)


def size_units(events: Sequence[AcceptedEvent]) -> int:
    """Return the number of units of the size of these events."""
    return sum(-(-len(event.payload) // UNIT_BYTES) for event in events)


def units(events: Sequence[AcceptedEvent]) -> int:
    """Return the number of units of these events, for the quota and the share of the tenant."""
    return sum(
        max(-(-len(event.payload) // UNIT_BYTES), -(-event.work // UNIT_WORK)) for event in events
    )


class EventAdmission(Protocol):
    """Decides whether events can be processed."""

    async def admit(self, tenant: str, events: Sequence[AcceptedEvent]) -> None:
        """Return if these events may be sent. Raises TooManyRequests or Unavailable."""


class TenantPublisher:
    """Sends the events of every tenant over one sink, a bounded share per tenant at a time.

    Requests of one tenant are sent in their order. Requests of other tenants do not wait for
    those that are queued. Bound to the event loop that uses it first.
    """

    def __init__(self, sink: EventSink, admissions: Sequence[EventAdmission] = ()) -> None:
        """The caller closes `sink`; nothing else may publish to it. Events are sent if
        every admission, asked in order, admits them."""
        self._sink = sink
        self._admissions = admissions
        self._shares: WeakValueDictionary[str, _TenantShare] = WeakValueDictionary()

    async def publish(self, tenant: str, events: Sequence[AcceptedEvent]) -> None:
        """Return when Redis has all of the events, in their order.

        Raises TooManyRequests, having sent nothing, if MAX_WAITING requests of the tenant wait
        already, or if earlier ones leave no room within PATIENCE_S although Redis accepts them;
        and the admission's errors. Raises ServiceUnavailable after PATIENCE_S: some events
        may have been sent or may still be, and sending them again changes nothing (D1). While Redis
        fails, no event is buffered in memory (D6).
        """
        for admission in self._admissions:
            await admission.admit(tenant, events)
        share = self._shares.get(tenant)
        if share is None:
            share = self._shares[tenant] = _TenantShare()
        sent_before, is_reserved, count = share.sent, False, units(events)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await share.reserve(count)
                is_reserved = True
                await self._sink.flush(patience_s=0)
                for event in events:
                    await self._sink.publish_encoded(tenant, event.contact, event.payload)
                await self._sink.flush(patience_s=PATIENCE_S)
                share.sent += 1
        except TimeoutError:
            if not is_reserved and share.sent > sent_before:
                raise TooManyRequests(
                    f"Earlier events of this tenant took more than {PATIENCE_S:g} s. None of these "
                    "were sent: retry later, with fewer requests at the same time."
                ) from None
            raise ServiceUnavailable(
                f"Redis did not accept the events within {PATIENCE_S:g} s"
            ) from None
        finally:
            if is_reserved:
                share.free(count)


class _TenantShare:
    """The units of one tenant in flight, and the queue of its waiting requests."""

    def __init__(self) -> None:
        self.sent = 0
        """Requests whose events Redis has accepted."""
        self._in_flight = 0
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def reserve(self, count: int) -> None:
        """Take `count` units of the share, until `free`. Requests get their units in order of
        arrival."""
        if self._waiting >= MAX_WAITING:
            raise TooManyRequests(
                f"{MAX_WAITING} requests of this tenant are waiting to send events already"
            )
        if not self._waiting and self._has_room(count):
            self._in_flight += count
            return
        self._waiting += 1
        try:
            # Only the first request in the queue checks for room, so that small requests cannot
            # overtake a large one forever.
            async with self._turn:
                while not self._has_room(count):
                    self._freed.clear()
                    await self._freed.wait()
                self._in_flight += count
        finally:
            self._waiting -= 1

    def free(self, count: int) -> None:
        """Return units to the share."""
        self._in_flight -= count
        self._freed.set()

    def _has_room(self, count: int) -> bool:
        return not self._in_flight or self._in_flight + count <= MAX_UNITS_IN_FLIGHT
