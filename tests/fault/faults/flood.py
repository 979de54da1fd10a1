"""Many events, a fifth of them twice, a twentieth in another order among contacts; and as fast as
they are taken, while Postgres is away."""

import json
import threading
import time
from functools import partial

import psutil
import redis
from tests.fault.harness.history import Shape
from tests.fault.harness.probes import STREAMS
from tests.fault.harness.registry import FAULTS, Act, Fault, Round, fault, play_round
from tests.fault.harness.servers import until
from tests.fault.harness.serving import Serving
from tests.fault.harness.stage import Stage, daemon_stage

from goald.client import event
from goald.domain.streams import partition_of
from goald.redis_keys import FIELD, GROUP, event_stream

EVENTS_PER_CONTACT = 9 * 1.2
"""About: its steps, and those that come again."""
FLOOD_RATE = 20_000.0
GROWTH_BYTES = 300 << 20
"""By which the largest of goald's actors may grow while it can write nothing down: its
windows, what is evaluated of them, and what allocators keep."""
FILLER_RATE = 4_000
"""Events a second beside the workload, which achieve nothing: they are to fill windows."""
FILLER_BYTES = 600
BATCH = 200


def flood_stage() -> Stage:
    """One of its own: what was published to it is looked at after each round."""
    return daemon_stage()


def _flood(events: int, stage: Stage, seed: int) -> Round:
    shape = Shape(contacts=round(events / EVENTS_PER_CONTACT / 2))
    return play_round(stage, seed, _amid_it, shape=shape, rate=FLOOD_RATE)


def _amid_it(act: Act) -> None:
    """A shard dies amid it; the rest follows at full rate."""
    assert isinstance(act.stage.engine, Serving)
    act.notes.append(f"{len(act.workload.published)} events")
    act.stage.engine.process_of("shard:0").kill()
    act.workload.until_sent(len(act.workload.published))


for _events, _test, _torture in ((100_000, 1, 0), (1_000_000, 0, 1)):
    _name = f"{_events} events: 20% duplicated and 5% reordered"
    FAULTS[_name] = Fault(_name, _test, _torture, flood_stage, partial(_flood, _events))


@fault("Postgres away for 20 s at full rate", test=1, torture=0)
def away(act: Act) -> None:
    _away(act, 20.0)


@fault("Postgres away for 10 min at full rate", test=0, torture=1)
def long_away(act: Act) -> None:
    _away(act, 600.0)


def _away(act: Act, seconds: float) -> None:
    """Bounded memory, nothing acknowledged, not ready; then it drains."""
    stage = act.stage
    engine = stage.engine
    assert isinstance(engine, Serving)
    postgres = stage.servers.postgres
    filler = _Filler(stage.redis_url)
    filler.start()
    try:
        until("filler", lambda: filler.sent > FILLER_RATE)
        postgres.kill()
        time.sleep(1)  # what was committed may still be acknowledged
        acknowledged, before = _positions(stage.redis_url), _bytes_of(engine)
        until("unreadiness", lambda: not stage.is_ready())
        grown, deadline = 0, time.monotonic() + seconds
        while time.monotonic() < deadline:
            grown = max(grown, _bytes_of(engine) - before)
            assert grown < GROWTH_BYTES, f"grown by {grown >> 20} MiB without Postgres"
            assert _positions(stage.redis_url) == acknowledged, "acknowledged without Postgres"
            assert not stage.is_ready(), "ready without Postgres"
            time.sleep(0.5)
        act.notes.append(f"{filler.sent} events meanwhile, grown by {grown >> 20} MiB")
    finally:
        filler.stop()
        postgres.start()


class _Filler:
    """A producer of events that nobody waits for, at a rate, in a thread."""

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
                    made = event("contact.updated", "filler", contact, data)
                    pipeline.xadd(stream, {FIELD: json.dumps(made)})
                pipeline.execute()
                self.sent += BATCH


def _positions(redis_url: str) -> list[bytes]:
    """Up to where each stream is acknowledged."""
    with redis.Redis.from_url(redis_url) as client:
        return [
            group["last-delivered-id"]
            for number in range(STREAMS)
            for group in client.xinfo_groups(event_stream(number))
            if group["name"] == GROUP.encode()
        ]


def _bytes_of(engine: Serving) -> int:
    """The memory of the largest of its actors."""
    sizes = [0]
    for each in engine.family():
        try:
            if each.name().startswith("ray::"):
                sizes.append(each.memory_info().rss)
        except psutil.NoSuchProcess:
            continue
    return max(sizes)
