"""Many events, 20% duplicated and 5% reordered; and events at full rate while Postgres is down."""

import json
import threading
import time
from functools import partial

import psutil
import redis
from tests.fault.harness.daemon_process import DaemonProcess
from tests.fault.harness.environment import FaultEnvironment, daemon_environment
from tests.fault.harness.history import Shape
from tests.fault.harness.probes import STREAMS
from tests.fault.harness.registry import FAULTS, Fault, FaultContext, Round, fault, run_round
from tests.fault.harness.servers import until

from goald.client import event
from goald.domain.streams import partition_of
from goald.redis_keys import FIELD, GROUP, event_stream

EVENTS_PER_CONTACT = 9 * 1.2
"""Approximate number, with duplicates."""
FLOOD_RATE = 20_000.0
GROWTH_BYTES = 300 << 20
"""Allowed growth of goald's largest actor while it cannot commit: its windows, their
evaluation, and memory that allocators keep."""
FILLER_RATE = 4_000
"""Events per second in addition to the workload, without effect, to fill the windows."""
FILLER_BYTES = 600
BATCH = 200


def flood_environment() -> FaultEnvironment:
    """A separate environment, because the oracle evaluates everything published in it."""
    return daemon_environment()


def _flood(events: int, environment: FaultEnvironment, seed: int) -> Round:
    shape = Shape(contacts=round(events / EVENTS_PER_CONTACT / 2))
    return run_round(environment, seed, _kill_shard, shape=shape, rate=FLOOD_RATE)


def _kill_shard(context: FaultContext) -> None:
    """A shard dies, while events continue at full rate."""
    assert isinstance(context.environment.goald, DaemonProcess)
    context.notes.append(f"{len(context.workload.published)} events")
    context.environment.goald.process_of("shard:0").kill()
    context.workload.until_sent(len(context.workload.published))


for _events, _test, _torture in ((100_000, 1, 0), (1_000_000, 0, 1)):
    _name = f"{_events} events: 20% duplicated and 5% reordered"
    FAULTS[_name] = Fault(_name, _test, _torture, flood_environment, partial(_flood, _events))


@fault("Postgres down for 20 s at full rate", test=1, torture=0)
def postgres_down(context: FaultContext) -> None:
    _stop_postgres(context, 20.0)


@fault("Postgres down for 10 min at full rate", test=0, torture=1)
def postgres_down_long(context: FaultContext) -> None:
    _stop_postgres(context, 600.0)


def _stop_postgres(context: FaultContext, seconds: float) -> None:
    """Memory stays bounded, nothing is acknowledged, goald is not ready; then it drains."""
    environment = context.environment
    goald = environment.goald
    assert isinstance(goald, DaemonProcess)
    postgres = environment.servers.postgres
    filler = _Filler(environment.redis_url)
    filler.start()
    try:
        until("filler", lambda: filler.sent > FILLER_RATE)
        postgres.kill()
        time.sleep(1)  # events committed before may still be acknowledged
        acknowledged, before = _positions(environment.redis_url), _bytes_of(goald)
        until("goald not ready", lambda: not environment.is_ready())
        grown, deadline = 0, time.monotonic() + seconds
        while time.monotonic() < deadline:
            grown = max(grown, _bytes_of(goald) - before)
            assert grown < GROWTH_BYTES, f"grown by {grown >> 20} MiB without Postgres"
            assert _positions(environment.redis_url) == acknowledged, (
                "acknowledged without Postgres"
            )
            assert not environment.is_ready(), "ready without Postgres"
            time.sleep(0.5)
        context.notes.append(f"{filler.sent} events, grown by {grown >> 20} MiB")
    finally:
        filler.stop()
        postgres.start()


class _Filler:
    """Publishes events without effect, at a rate, in a thread."""

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="filler")
        self.sent = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        with redis.Redis.from_url(self._url) as client:
            while not self._ending.wait(BATCH / FILLER_RATE):
                pipeline = client.pipeline(transaction=False)
                for number in range(self.sent, self.sent + BATCH):
                    contact = f"filler-{number % 10_000}"
                    stream = event_stream(partition_of("filler", contact, STREAMS))
                    data = {"note": "x" * FILLER_BYTES}
                    filler_event = event("contact.viewed", "filler", contact, data)
                    pipeline.xadd(stream, {FIELD: json.dumps(filler_event)})
                pipeline.execute()
                self.sent += BATCH


def _positions(redis_url: str) -> list[bytes]:
    """The acknowledged position of each stream."""
    with redis.Redis.from_url(redis_url) as client:
        return [
            group["last-delivered-id"]
            for number in range(STREAMS)
            for group in client.xinfo_groups(event_stream(number))
            if group["name"] == GROUP.encode()
        ]


def _bytes_of(goald: DaemonProcess) -> int:
    """The memory of its largest actor."""
    sizes = [0]
    for each in goald.family():
        try:
            if each.name().startswith("ray::"):
                sizes.append(each.memory_info().rss)
        except psutil.NoSuchProcess:
            continue
    return max(sizes)
