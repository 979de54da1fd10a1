"""Embedded services with a workload, for the end-to-end benchmarks."""

import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg
import redis

from bench.workload import TENANT, WORKFLOWS, Workload
from goald import migrations
from goald.configuration.file import parse_configuration
from goald.redis_keys import FIELD, STREAM_COUNT, event_stream
from goald.runtime.embedded import DataDirectory, EmbeddedServices
from goald.runtime.wiring.daemon import Endpoints, configuration_service
from goald.settings import Settings

PIPELINE = 5_000


class Stage:
    """A context with Valkey and Postgres in a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self.redis_url = ""
        self.postgres_dsn = ""

    def __enter__(self) -> Self:
        data = self._stack.enter_context(DataDirectory.open(self._directory))
        endpoints = self._stack.enter_context(EmbeddedServices(data))
        self.redis_url = endpoints.redis_url
        self.postgres_dsn = endpoints.postgres_dsn
        self.admin_dsn = endpoints.postgres_admin_dsn.replace("/postgres?", "/goald?")
        self.short = data.short
        self.record = data.record.add
        migrations.upgrade(self.postgres_dsn)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def endpoints(self, settings: Settings) -> Endpoints:
        return Endpoints(
            redis_url=settings.redis.url, postgres_dsn=settings.postgres.dsn, log_level="warning"
        )

    async def prepare(self, workload: Workload) -> None:
        """Configure the workflows, and store the enrollments of the workload for `reset`."""
        service = configuration_service(self.postgres_dsn)
        await service.apply(parse_configuration(WORKFLOWS))
        await service.close()
        self._encoded = list(workload.encoded())
        connection = await asyncpg.connect(self.admin_dsn)
        try:
            await connection.execute(
                "CREATE TABLE bench_enrollments (tenant_id text, enrollment_id text, contact_id"
                " text, workflow_id text, slot smallint, enrolled_at timestamptz)"
            )
            await connection.copy_records_to_table(
                "bench_enrollments", records=workload.enrollments()
            )
        finally:
            await connection.close()

    async def reset(self, streams: int, *, preload: bool = True) -> None:
        """Restore the enrollments, delete achievements and messages, and add the events to the
        streams if `preload` is set."""
        connection = await asyncpg.connect(self.admin_dsn)
        try:
            await connection.execute(
                "TRUNCATE goald.workflow_enrollments, goald.workflow_goal_achievements,"
                " goald.workflow_days, goald.workflow_times_to_goal, goald.outbox, goald.leases"
                " CASCADE"
            )
            await connection.execute(
                "INSERT INTO goald.workflow_enrollments (tenant_id, id, contact_id,"
                " workflow_id, slot, status, enrolled_at)"
                " SELECT tenant_id, enrollment_id, contact_id, workflow_id, slot, 'active',"
                " enrolled_at FROM bench_enrollments"
            )
            await connection.execute("VACUUM ANALYZE goald.workflow_enrollments")
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()
        client = redis.Redis.from_url(self.redis_url)
        client.flushall()
        client.set(STREAM_COUNT, streams)
        for start in range(0, len(self._encoded) if preload else 0, PIPELINE):
            pipe = client.pipeline(transaction=False)
            for slot, event in self._encoded[start : start + PIPELINE]:
                pipe.xadd(event_stream(slot % streams), {FIELD: event})
            pipe.execute()
        _rewrite_log(client)
        client.close()

    async def achievements(self) -> int:
        """The number of achievements."""
        connection = await asyncpg.connect(self.admin_dsn)
        try:
            count: int = await connection.fetchval(
                "SELECT count(*) FROM goald.workflow_goal_achievements WHERE tenant_id = $1", TENANT
            )
            return count
        finally:
            await connection.close()


def _rewrite_log(client: "redis.Redis") -> None:
    """Make Redis rewrite its append-only file now, so that it does not during the benchmark."""
    client.bgrewriteaof()
    while client.info("persistence")["aof_rewrite_in_progress"]:
        time.sleep(0.05)
