"""Measures what one tenant's expensive events cost another tenant of the same shard.

    python -m bench.neighbours [--attack items|exits|judged] [--seconds N] [--json]

A separate process sends the worst events that the event quota of one tenant allows, first 60,000
enrollments of one contact, then continuously:

items
    payments with 2,400 line items, against three goals that each look for another product
exits
    payments that complete all enrollments of the contact together, and new enrollments
judged
    small payments that meet a goal that every enrollment has met before (`all`)

Another tenant's contacts reach their goal at a constant rate meanwhile. All contacts belong to
one shard, and their events are spread over all streams. The latency is the time from an event of
the other tenant to the publication of its exit. `quiet` is the same without the first tenant.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import redis
from prometheus_client import CollectorRegistry

from bench.stage import Stage
from goald.adapters.clock import SystemClock
from goald.adapters.redis.throttle import RedisTenantThrottle
from goald.api.admission.throttle import ThrottleAdmission
from goald.api.problems import TooManyRequests
from goald.api.publishing import units
from goald.configuration.file import parse_configuration
from goald.domain.streams import DEFAULT_STREAMS as STREAMS
from goald.metrics.api import AdmissionMetrics
from goald.pipeline.intake import AcceptedEvent, intake
from goald.redis_keys import EXITS, FIELD, STREAM_COUNT, event_stream
from goald.runtime.actors.ray_cluster import RayCluster
from goald.runtime.actors.supervisor import Supervisor
from goald.runtime.wiring.daemon import configuration_service
from goald.settings import Settings

ATTACKS = ("quiet", "items", "exits", "judged")
NOISY, OTHER, CONTACT = "noisy", "other", "crowded"
ENROLLMENTS = 60_000
LINE_ITEMS = 2_400
RATE = 50
WARM_UP_SECONDS = 2
DRAIN_SECONDS = 60
SEND_EVERY = 0.002
WORKFLOWS = """\
tenant: {tenant}
workflows:
  - id: any
    name: Any
    goal_logic: any
    active: true
    goals:
      - goal_type: purchase_made
        criteria: {{product_id: p-none-1}}
        effective_from: 2026-01-01T00:00:00Z
      - goal_type: purchase_made
        criteria: {{product_id: p-none-2}}
        effective_from: 2026-01-01T00:00:00Z
      - goal_type: purchase_made
        criteria: {{product_id: p-goal}}
        effective_from: 2026-01-01T00:00:00Z
  - id: all
    name: All
    goal_logic: all
    active: true
    goals:
      - goal_type: purchase_made
        criteria: {{product_id: p-part}}
        effective_from: 2026-01-01T00:00:00Z
      - goal_type: purchase_made
        criteria: {{product_id: p-none-1}}
        effective_from: 2026-01-01T00:00:00Z
"""


@dataclass(frozen=True)
class Neighbour:
    """Event to exit of the other tenant, in milliseconds."""

    attack: str
    noisy_per_s: float
    """Events of the noisy tenant per second that its quota allowed."""
    exits: int
    lost: int
    """Exits that were not published within a minute after the end."""
    p50: float
    p95: float
    p99: float
    worst: float


def slot_of(tenant: str, contact: str) -> int:
    return zlib.crc32(f"{tenant}\x1f{contact}".encode()) % 256


def is_neighbour(slot: int) -> bool:
    """Whether the slot belongs to the shard of the crowded contact; there are two shards."""
    return slot // 128 == slot_of(NOISY, CONTACT) // 128


def event(kind: str, tenant: str, contact: str, **data: Any) -> bytes:
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": "urn:bench:platform",
            "type": kind,
            "time": datetime.now(UTC).isoformat(timespec="microseconds"),
            "tenantid": tenant,
            "data": {"contact_id": contact, **data},
        }
    )


def _start(number: int, workflow: str) -> bytes:
    ids = {"workflow_id": workflow, "enrollment_id": f"n-{number}"}
    return event("workflow.enrollment.started", NOISY, CONTACT, **ids)


def noisy_events(attack: str) -> Iterator[bytes]:
    """The events of the noisy tenant, without an end."""
    workflow = "all" if attack == "judged" else "any"
    for number in range(ENROLLMENTS):
        yield _start(number, workflow)
    number = ENROLLMENTS
    many = [{"product_id": f"p-{item}"} for item in range(LINE_ITEMS)]
    while True:
        if attack == "items":
            yield event("payment.completed", NOISY, CONTACT, line_items=many)
        elif attack == "judged":
            yield event("payment.completed", NOISY, CONTACT, product_id="p-part")
        else:
            yield event("payment.completed", NOISY, CONTACT, product_id="p-goal")
            for _ in range(5_000):
                yield _start(number, workflow)
                number += 1


def annoy(redis_url: str, attack: str, quota: int, rate: Any, stop: Any) -> None:
    """Send the noisy tenant's events at the rate that its quota and the admission of the API
    allow, until `stop` is set."""
    rate.value = asyncio.run(_annoy(redis_url, attack, quota, stop))


async def _annoy(redis_url: str, attack: str, quota: int, stop: Any) -> float:
    client = redis.Redis.from_url(redis_url)
    throttle = RedisTenantThrottle(redis_url)
    metrics = AdmissionMetrics(CollectorRegistry())
    admission = ThrottleAdmission(throttle, SystemClock(), metrics)
    stream = event_stream(slot_of(NOISY, CONTACT) % STREAMS)
    events, started, spent, sent = noisy_events(attack), time.perf_counter(), 0, 0
    while not stop.is_set():
        await asyncio.sleep(SEND_EVERY)
        try:
            await admission.admit(NOISY, [AcceptedEvent(CONTACT, b"")])
        except TooManyRequests:
            spent = max(spent, round((time.perf_counter() - started) * quota))
            continue
        pipe = client.pipeline(transaction=False)
        while spent < (time.perf_counter() - started) * quota and len(pipe) < 200:
            body = next(events)
            accepted = intake(body, NOISY, time.time_ns() // 1000).accepted
            spent += units(accepted)
            pipe.xadd(stream, {FIELD: body})
        sent += len(pipe)
        pipe.execute()
    client.close()
    await throttle.close()
    return sent / (time.perf_counter() - started)


def behave(redis_url: str, contacts: list[str]) -> None:
    """Complete an enrollment of the other tenant RATE times a second."""
    client = redis.Redis.from_url(redis_url)
    started = time.perf_counter()
    for number, contact in enumerate(contacts):
        time.sleep(max(0.0, started + number / RATE - time.perf_counter()))
        body = event("payment.completed", OTHER, contact, product_id="p-goal")
        client.xadd(event_stream(slot_of(OTHER, contact) % STREAMS), {FIELD: body})
    client.close()


async def measure(stage: Stage, settings: Settings, attack: str, seconds: int) -> Neighbour:
    """Measure one attack."""
    client = redis.Redis.from_url(settings.redis.url)
    client.flushall()
    client.set(STREAM_COUNT, STREAMS)
    prefix = uuid.uuid4().hex[:8]
    names = (f"{prefix}-{number}" for number in range(1 << 30))
    count = RATE * (seconds + WARM_UP_SECONDS)
    contacts: list[str] = []
    while len(contacts) < count:
        name = next(names)
        if is_neighbour(slot_of(OTHER, name)):
            contacts.append(name)
    supervisor = Supervisor(settings, stage.endpoints(settings), STREAMS)
    await supervisor.start()
    pipe = client.pipeline(transaction=False)
    for contact in contacts:
        ids = {"workflow_id": "any", "enrollment_id": f"e-{contact}"}
        body = event("workflow.enrollment.started", OTHER, contact, **ids)
        pipe.xadd(event_stream(slot_of(OTHER, contact) % STREAMS), {FIELD: body})
    pipe.execute()
    await asyncio.sleep(2)
    spawn = multiprocessing.get_context("spawn")
    stop, rate = spawn.Event(), spawn.Value("d", 0.0)
    arguments = (settings.redis.url, attack, settings.quota_events, rate, stop)
    noisy = spawn.Process(target=annoy, args=arguments)
    if attack != "quiet":
        noisy.start()
        # The enrollments of the crowded contact.
        await asyncio.sleep(ENROLLMENTS / settings.quota_events * 4 + 2)
    behaving = spawn.Process(target=behave, args=(settings.redis.url, contacts))
    behaving.start()
    await asyncio.to_thread(behaving.join)
    deadline = time.monotonic() + DRAIN_SECONDS
    while len(latencies := _latencies(client)) < count and time.monotonic() < deadline:
        await asyncio.sleep(0.25)
    stop.set()
    if attack != "quiet":
        await asyncio.to_thread(noisy.join)
    await supervisor.stop()
    lost = count - len(latencies)
    # An exit that never came took at least as long as the wait.
    found = sorted([*latencies[RATE * WARM_UP_SECONDS :], *[1000.0 * DRAIN_SECONDS] * lost])
    cuts = statistics.quantiles(found, n=100)
    p50, p95, p99, worst = (round(each, 1) for each in (cuts[49], cuts[94], cuts[98], found[-1]))
    return Neighbour(attack, round(rate.value), len(latencies), lost, p50, p95, p99, worst)


def _latencies(client: Any) -> list[float]:
    """The latencies of the other tenant's exits in milliseconds, in the order of publication."""
    found = []
    for _, fields in client.xrange(EXITS):
        exit_ = json.loads(fields[FIELD.encode()])
        if exit_["tenantid"] == OTHER:
            data = exit_["data"]
            occurred = datetime.fromisoformat(data["occurred_at"])
            found.append((datetime.fromisoformat(data["published_at"]) - occurred).total_seconds())
    return [1000 * seconds for seconds in found]


async def run(attacks: list[str], seconds: int) -> list[Neighbour]:
    """Measure each attack, each with fresh services."""
    found = []
    for attack in attacks:
        directory = tempfile.TemporaryDirectory(prefix="goald-")
        with directory as path, Stage(Path(path)) as stage:
            settings = Settings(redis_url=stage.redis_url, postgres_dsn=stage.postgres_dsn)
            service = configuration_service(stage.postgres_dsn)
            for tenant in (NOISY, OTHER):
                await service.apply(parse_configuration(WORKFLOWS.format(tenant=tenant)))
            await service.close()
            cluster = RayCluster(stage.short / "ray", None)
            cluster.start(stage.record)
            try:
                found.append(await measure(stage, settings, attack, seconds))
            finally:
                cluster.stop()
    return found


def main() -> None:
    """Print a line per attack, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.neighbours")
    parser.add_argument("--attack", nargs="*", choices=ATTACKS, default=list(ATTACKS))
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(run(options.attack, options.seconds))
    if options.json:
        print(json.dumps([asdict(neighbour) for neighbour in found]))
        return
    for each in found:
        print(
            f"{each.attack:7} ({each.noisy_per_s:>7,.0f} noisy events/s): p50 {each.p50:>8} ms"
            f"  p95 {each.p95:>8} ms  p99 {each.p99:>8} ms  worst {each.worst:>8} ms"
            f"  of {each.exits} exits, {each.lost} lost"
        )


if __name__ == "__main__":
    main()
