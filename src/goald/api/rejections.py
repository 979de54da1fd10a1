"""How much unauthenticated work one address may cause (D8)."""

from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final

from goald.api.problems import TooManyRequests
from goald.ports.clock import Clock

DELAY_S: Final = 1.0
MAX_DELAYED: Final = 1_024
"""Responses that are delayed at a time; further ones are sent immediately."""
TOTAL_PER_SECOND: Final = 100
"""Rejections of all addresses together until further ones are delayed, whatever their address."""
MAX_KNOWN: Final = 4_096
"""Senders of webhooks that are remembered; the least recently used are forgotten."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The sender of a request, as far as it is known before authentication."""

    address: str
    tenant: str = ""
    """Of a signed request: the tenant and the provider that it names, which may be made up."""
    provider: str = ""


class RejectionLimiter:
    """Counts the rejected callers of each address in each second. Bound to one event loop.

    Rejections of a webhook that was verified from the same address before count separately: other
    clients behind the address (of a proxy, or of a network) cannot use up what it may do, unless
    they know its tenant.
    """

    def __init__(self, clock: Clock, per_second: int) -> None:
        """`per_second`: rejections of one address until its further ones are delayed; 0 for no
        limit, also in all."""
        self._clock = clock
        self._per_second = per_second
        self._second = 0
        self._total = 0
        self._rejections: Counter[Origin] = Counter()
        self._known: OrderedDict[Origin, None] = OrderedDict()
        self._delayed = 0

    def check(self, origin: Origin) -> None:
        """Raise TooManyRequests if the origin had too many rejections in this second. Call it
        before work for a caller whose identity is unknown."""
        self._begin_second()
        if self._is_exceeded(self._counted(origin)):
            raise TooManyRequests("Too many requests from this address were refused")

    def accept(self, origin: Origin) -> None:
        """Remember the origin of a verified webhook."""
        self._known[origin] = None
        self._known.move_to_end(origin)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    async def add(self, origin: Origin) -> None:
        """Count a rejection, also one by `check`. Returns after DELAY_S if there are too many, so
        that each connection causes little work."""
        self._begin_second()
        counted = self._counted(origin)
        self._rejections[counted] += 1
        self._total += 1
        are_many = self._per_second > 0 and self._total > TOTAL_PER_SECOND
        if (are_many or self._is_exceeded(counted)) and self._delayed < MAX_DELAYED:
            self._delayed += 1
            try:
                await self._clock.sleep(DELAY_S)
            finally:
                self._delayed -= 1

    def _counted(self, origin: Origin) -> Origin:
        return origin if origin in self._known else Origin(origin.address)

    def _is_exceeded(self, counted: Origin) -> bool:
        return 0 < self._per_second < self._rejections[counted]

    def _begin_second(self) -> None:
        second = int(self._clock.monotonic())
        if second != self._second:
            self._second, self._total = second, 0
            self._rejections.clear()
