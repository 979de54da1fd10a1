"""Writes dead letters, unless the circuit breaker opens (D4)."""

from collections.abc import Sequence
from functools import partial

from goald.domain.fail_points import FailPoint
from goald.pipeline.context import ConsumerContext
from goald.pipeline.poison.breaker import CircuitBreaker
from goald.pipeline.poison.delivery_attempts import dead_letters, tenant_of
from goald.ports.outbound import DeadLetter, Outbound


class DeadLetters:
    """Dead-letters the events of a consumer that cannot be routed or processed."""

    def __init__(
        self, context: ConsumerContext, outbound: Outbound, breaker: CircuitBreaker
    ) -> None:
        self.breaker = breaker
        self._context = context
        self._outbound = outbound

    async def write(self, rejected: Sequence[DeadLetter]) -> None:
        """Append to `goald:dead`. Retried until Redis accepts all of them."""
        await self._context.retry(
            "Redis: dead-letter", "dead_letter", partial(self._outbound.dead_letter, rejected)
        )
        self._context.fail_point(FailPoint.REJECTS_DEAD_LETTERED)

    async def write_poison(self, stream: str, buffer: bytes) -> None:
        """Dead-letter a batch of one event that was attempted MAX_ATTEMPTS times. Raises
        BreakerOpen, without dead-lettering it, if too many events in a row failed."""
        self.breaker.record_failure(tenant_of(buffer))
        poison = dead_letters(stream, buffer)
        await self.write(poison)
        self._context.metrics.poison_events.inc(len(poison))
