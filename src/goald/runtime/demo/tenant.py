"""The demo: a tenant with workflows for every goal type, and generated traffic."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from goald.client import Publisher
from goald.domain.errors import RetryableError
from goald.runtime.demo.traffic import TENANT, DemoTraffic, Event

WORKFLOWS = Path(__file__).with_name("demo.yaml")
"""A configuration file for `goald apply`."""
TICK_S = 0.05
PAUSE_S = 1.0


async def send_traffic(
    publisher: Publisher, stop: asyncio.Event, *, rate: float = 300, seed: int = 7
) -> None:
    """Send generated events, `rate` per second, until `stop` is set. While Redis is unavailable
    it waits, and does not send the events of that time later."""
    loop = asyncio.get_running_loop()
    events = _endless(DemoTraffic(seed=seed, started_at=datetime.now(UTC)))
    due, last = 0.0, loop.time()
    while not stop.is_set():
        await _pause(stop, TICK_S)
        now = loop.time()
        due = min(due + (now - last) * rate, rate)  # never more than one second of events
        last = now
        count = int(due)
        due -= count
        try:
            for event in islice(events, count):
                payload = json.dumps(event).encode()
                await publisher.publish_encoded(TENANT, event["data"]["contact_id"], payload)
        except RetryableError:
            await _pause(stop, PAUSE_S)


def _endless(traffic: DemoTraffic) -> Iterator[Event]:
    while True:
        yield traffic.next(datetime.now(UTC))


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait this many seconds, or until `stop` is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
