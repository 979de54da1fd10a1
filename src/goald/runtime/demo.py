"""The demo: a tenant with workflows over every goal type, and traffic made for it."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import structlog

from goald.client import Publisher
from goald.domain.errors import RetryableError
from goald.runtime.configuration_file import read_configuration
from goald.runtime.demo_traffic import TENANT, DemoTraffic, Event
from goald.runtime.wiring import configuration_service
from goald.settings import Settings

_log = structlog.get_logger("goald.demo")

WORKFLOWS = Path(__file__).with_name("demo.yaml")
"""A file for `goald apply`."""
TICK_S = 0.05
PAUSE_S = 1.0


class Demo:
    """What `goald serve --demo` adds, over the services that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._redis_url = settings.redis.url
        self._api_dsn = settings.postgres.api_dsn

    async def run(self, stop: asyncio.Event) -> None:
        """Make the tenant's configuration as demo.yaml says, then send traffic until `stop`
        is set. Tries again where a service is away."""
        wanted = read_configuration(WORKFLOWS)
        while not stop.is_set():
            service = configuration_service(self._api_dsn)
            try:
                await service.apply(wanted)
                break
            except RetryableError as error:
                _log.warning("the demo waits", reason=str(error))
                await _pause(stop, PAUSE_S)
            finally:
                await service.close()
        async with Publisher(self._redis_url) as publisher:
            await traffic(publisher, stop)


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
