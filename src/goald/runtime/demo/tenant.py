"""The demo: a tenant with workflows over every goal type, and traffic made for it."""

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
"""A file for `goald apply`."""
TICK_S = 0.05
PAUSE_S = 1.0


async def traffic(
    publisher: Publisher, stop: asyncio.Event, *, rate: float = 300, seed: int = 7
) -> None:
    """Send made events, `rate` a second, until `stop` is set. Where Redis is away it waits
    for it and goes on; what it could not send then is left out."""
    loop = asyncio.get_running_loop()
    events = _endless(DemoTraffic(seed=seed, started_at=datetime.now(UTC)))
    due, last = 0.0, loop.time()
    while not stop.is_set():
        await _pause(stop, TICK_S)
        now = loop.time()
        due = min(due + (now - last) * rate, rate)  # after a pause: no more than a second's
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
    """Wait, unless it is stopped meanwhile."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
