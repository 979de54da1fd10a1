"""A consumer is not ready while its events are in flight for too long."""

from prometheus_client import CollectorRegistry

from goald.adapters.memory.clock import ManualClock
from goald.metrics.pipeline import ConsumerMetrics
from goald.pipeline.ingest.in_flight import InFlight
from goald.pipeline.ingest.route import RoutedBatch
from goald.pipeline.ingest.window import InFlightWindow


async def test_events_that_are_deferred_do_not_make_the_consumer_unready() -> None:
    """Otherwise one tenant's expensive event would take the whole instance out of service."""
    clock, is_deferred = ManualClock(), True
    gauge = ConsumerMetrics(CollectorRegistry()).in_flight_bytes
    in_flight = InFlight(InFlightWindow(1 << 20, gauge), clock, lambda: is_deferred)
    await in_flight.add([(b"1-0", [])], RoutedBatch([], [], 0), [])
    await clock.advance(in_flight.patience + 1)
    assert in_flight.not_ready_reason is None
    is_deferred = False
    assert in_flight.not_ready_reason == "events read 4 s ago have not been processed"
