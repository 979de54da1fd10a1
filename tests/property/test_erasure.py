"""Nothing personal is left in any table, Redis key or log after contact.deleted, in any order of
the events, also with events that are read twice and a crash."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import asyncpg
import msgpack
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from tests.support.services.servers import Database

from goald.adapters.clock import SystemClock
from goald.adapters.postgres.erasure_pages import PostgresErasurePages
from goald.adapters.postgres.erasures import PostgresErasures
from goald.adapters.redis.erasable_streams import RedisErasableStreams
from goald.adapters.redis.events.trim import RedisTrimmer
from goald.client.envelope import decode
from goald.domain.fail_points import FailPoint
from goald.domain.records.erasure import ErasurePage
from goald.domain.slots import SlotRange
from goald.metrics.jobs import ErasureMetrics
from goald.operations.audit import verify
from goald.pipeline.subject import SubjectReader
from goald.redis_keys import EXITS, GROUP, NOTICES, event_stream
from goald.runtime import logs
from goald.runtime.jobs.erasure import Erasure, ErasureSettings
from goald.runtime.processes.consumer import ConsumerSettings
from goald.runtime.processes.shard import ShardSettings
from goald.runtime.wiring.daemon import Endpoints, consumer_process, shard_process
from goald.runtime.wiring.operations import audit_log
from goald.settings import DispatchSettings, ReadSettings

STREAM = event_stream(0)
ALL = SlotRange(0, 255)
DELETED_AT = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
PERSONAL = ("ann-of-9f2c", "Ann Example", "1 Long Street", "DE89370400440532013000")
CRASHES = [
    FailPoint.ENROLLMENTS_WRITTEN, FailPoint.OUTBOX_WRITTEN, FailPoint.COMMITTED,
    FailPoint.APPLIED, FailPoint.PUBLISHED, FailPoint.MARKED, FailPoint.SHARDS_DONE,
]  # fmt: skip

hours = st.integers(-30, 20)
early_hours = st.integers(-30, 0)
kinds = st.one_of(
    st.tuples(st.just("started"), early_hours, st.sampled_from(["e-1", "e-2"])),
    st.tuples(st.just("ended"), hours, st.sampled_from(["e-1", "e-2", "e-3"])),
    st.tuples(st.just("tag"), hours, st.just("")),
    st.tuples(st.just("unread"), hours, st.just("")),
    st.tuples(st.just("updated"), early_hours, st.just("")),
    st.tuples(st.just("refused"), hours, st.just("")),
    st.tuples(st.just("broken"), hours, st.just("")),
    st.tuples(st.just("claimed"), early_hours, st.just("e-1")),
    st.tuples(st.just("other"), early_hours, st.sampled_from(["e-1", "e-2", "e-3"])),
    st.tuples(st.just("deleted"), early_hours, st.just("")),
)


def encoded(number: int, tenant: str, kind: str, hour: int, enrollment: str) -> bytes:
    """One event of the contact, with personal data; `other` is an event of another contact."""
    contact, name, address, iban = PERSONAL
    data: dict[str, Any] = {"contact_id": contact, "name": name, "address": address, "iban": iban}
    if kind == "other":
        data = {"contact_id": "bob"}
    types = {
        "started": "workflow.enrollment.started", "ended": "workflow.enrollment.ended",
        "claimed": "workflow.enrollment.started", "deleted": "contact.deleted",
        "unread": "contact.viewed", "updated": "contact.updated",
        "other": "workflow.enrollment.started",
    }  # fmt: skip
    if enrollment:
        workflow = "w-2" if kind == "claimed" else "w-1"
        data |= {"workflow_id": workflow, "enrollment_id": enrollment, "reason": "exited"}
        if kind != "other":
            data["match"] = {"iban": iban}
    data |= {"tag_name": 5 if kind == "refused" else "Customer"}
    event = {
        "id": f"ev-{number}", "source": "crm", "tenantid": tenant, "data": data,
        "type": types.get(kind, "contact.tag.added"),
        "time": (DELETED_AT + timedelta(hours=min(hour, 20))).isoformat(),
    }  # fmt: skip
    packed = json.dumps(event).encode() if number % 2 else bytes(msgpack.packb(event))
    return packed[:-3] if kind == "broken" else packed


class CrashError(Exception):
    """The process ends at a fail point."""


def crash_at(fail_point: FailPoint | None) -> Callable[[FailPoint], None]:
    pending = {fail_point}

    def reach(current: FailPoint) -> None:
        if current in pending:
            pending.clear()
            raise CrashError

    return reach


async def process(client: Any, endpoints: Endpoints, fail_point: FailPoint | None) -> None:
    """Process every event; a crashed shard and consumer are replaced."""
    reach = crash_at(fail_point)
    last = (await client.xinfo_stream(STREAM))["last-generated-id"]
    async with asyncio.timeout(60):
        while True:
            shard = shard_process(
                ShardSettings(index=0, slots=ALL, clock_skew=0, republish=600, group_bytes=4 << 20),
                endpoints,
                fail_point=reach,
            )
            consumer = consumer_process(
                ConsumerSettings(
                    index=0, streams=(STREAM,), ranges=(ALL,),
                    read=ReadSettings(entries=3, bytes=1 << 20, in_flight_bytes=4 << 20, pause=0),
                    dispatch=DispatchSettings(bytes=1 << 20, calls_in_flight=2),
                ),
                [shard],
                endpoints,
                fail_point=reach,
            )  # fmt: skip
            running = [asyncio.create_task(each.run()) for each in (shard, consumer)]
            while not any(task.done() for task in running):
                groups = await client.xinfo_groups(STREAM)
                if groups and groups[0]["last-delivered-id"] == last:
                    break
                await asyncio.sleep(0.02)
            else:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
                continue
            consumer.stop()
            await running[1]
            await asyncio.sleep(0.6)  # the publisher marks published rows every half second
            shard.stop()
            await running[0]
            return


async def erase(redis_url: str, dsn: str, client: Any) -> None:
    """The jobs of the daemon, when everything is due."""
    clock = SystemClock()
    erasures, streams = PostgresErasures(dsn), RedisErasableStreams(redis_url)
    pages = PostgresErasurePages(dsn)
    job = Erasure(
        ErasureSettings(0.0, 31), erasures, streams, SubjectReader(decode).read,
        ErasureMetrics(CollectorRegistry()), clock,
    )  # fmt: skip
    trimmer = RedisTrimmer(redis_url)
    try:
        while await pages.rewrite() != ErasurePage():
            pass
        assert await job.once()
        assert (await erasures.pending()).count == 0
        await asyncio.sleep(0.005)
        while await trimmer.trim(STREAM, 0, 0, GROUP):
            pass
        # The last acknowledged event stays until the next one.
        await client.xtrim(STREAM, maxlen=0, approximate=False)
    finally:
        await asyncio.gather(pages.close(), erasures.close(), streams.close(), trimmer.close())


async def everything(client: Any, admin: asyncpg.Connection) -> dict[str, str]:
    """The whole content of Redis and of the schema, by key and table."""
    found = {}
    async for key in client.scan_iter():
        kind = (await client.type(key)).decode()
        read = {
            "string": client.get,
            "hash": client.hgetall,
            "stream": client.xrange,
            "zset": lambda key: client.zrange(key, 0, -1),
        }[kind]
        found[key.decode()] = str(await read(key))
    for (table,) in await admin.fetch(
        "SELECT c.oid::regclass::text FROM pg_class c"
        " WHERE c.relnamespace = 'goald'::regnamespace AND c.relkind IN ('r', 'p')"
    ):
        rows = await admin.fetch(f"SELECT t::text FROM {table} t")
        found[table] = "\n".join(text for (text,) in rows)
    return found


async def run(
    redis_url: str,
    database: Database,
    sent: list[tuple[str, int, str]],
    batches: int,
    fail_point: FailPoint | None,
    is_early: bool,
) -> None:
    """`is_early`: the erasure is finished after each batch, before later events arrive."""
    tenant = str(uuid4())
    endpoints = Endpoints(redis_url, database.dsn)
    admin = await asyncpg.connect(database.admin_dsn)
    async with Redis.from_url(redis_url) as client:
        try:
            await client.flushall()
            await admin.execute(
                "INSERT INTO goald.workflows (tenant_id, id, name, is_active, config_version)"
                " VALUES ($1, 'w-1', 'w', true, nextval('goald.config_version'))",
                tenant,
            )
            await admin.execute(
                "INSERT INTO goald.workflow_goals (tenant_id, id, workflow_id, position, goal_type,"
                " criteria, effective_from) VALUES ($1, gen_random_uuid(), 'w-1', 0, 'tag_added',"
                """ '{"tag_name": "Customer"}', '2000-01-01Z')""",
                tenant,
            )
            await client.xgroup_create(EXITS, "engine", "0", mkstream=True)
            await client.xgroup_create(NOTICES, "late", "0", mkstream=True)
            size = max(1, len(sent) // batches)
            for start in range(0, len(sent), size):
                for number, event in enumerate(sent[start : start + size], start):
                    await client.xadd(STREAM, {"event": encoded(number, tenant, *event)})
                await process(client, endpoints, fail_point if start == 0 else None)
                if is_early:
                    await erase(redis_url, database.dsn, client)
            await erase(redis_url, database.dsn, client)
            for where, text in (await everything(client, admin)).items():
                for personal in PERSONAL:
                    assert personal not in text, f"{personal} is left in {where}"
        finally:
            await admin.close()


@pytest.fixture
def log() -> Iterator[StringIO]:
    """The log at level debug."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = StringIO()
    logs.configure("debug", "json", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    before=st.lists(kinds, max_size=6),
    after=st.lists(kinds, max_size=6),
    repeated=st.booleans(),
    batches=st.integers(1, 3),
    fail_point=st.none() | st.sampled_from(CRASHES),
    is_early=st.booleans(),
)
def test_nothing_personal_is_left(
    redis_url: str,
    database: Database,
    log: StringIO,
    before: list[tuple[str, int, str]],
    after: list[tuple[str, int, str]],
    repeated: bool,
    batches: int,
    fail_point: FailPoint | None,
    is_early: bool,
) -> None:
    sent = [*before, ("deleted", 0, ""), *after]
    if any(kind == "updated" for kind, _, _ in sent):  # later tags are of a new contact
        sent = [(kind, min(hour, 0) if kind == "tag" else hour, of) for kind, hour, of in sent]
    sent += sent if repeated else []
    asyncio.run(run(redis_url, database, sent, batches, fail_point, is_early))
    for personal in PERSONAL:
        assert personal not in log.getvalue()
    assert "erased deleted contacts" in log.getvalue()
    assert verify(audit_log(database.admin_dsn), {}).intact
