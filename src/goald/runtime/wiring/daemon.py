"""The adapters behind the ports of the daemon and its actors."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from goald.adapters.clock import SystemClock
from goald.adapters.postgres import (
    PostgresConfigurationStore,
    PostgresShardStore,
    PostgresStreamLeases,
    TenantPool,
)
from goald.adapters.postgres.erasure_pages import PostgresErasurePages
from goald.adapters.postgres.erasures import PostgresErasures
from goald.adapters.postgres.partitions import PostgresMonths
from goald.adapters.postgres.pending_transfers import PostgresPendingTransfers
from goald.adapters.postgres.records.contacts import PostgresContacts
from goald.adapters.postgres.shard.commit import CommitOptions
from goald.adapters.redis import (
    RedisControlStream,
    RedisEventHistory,
    RedisEventStream,
    RedisOutbound,
)
from goald.adapters.redis.actions.gates import RedisGates
from goald.adapters.redis.actions.permits import RedisPermits
from goald.adapters.redis.connect import connect, service_errors
from goald.adapters.redis.erasable_streams import RedisErasableStreams
from goald.adapters.redis.events.levels import RedisStreamLevels
from goald.adapters.redis.events.trim import RedisTrimmer
from goald.adapters.redis.events.trim_bytes import RedisByteTrimmer
from goald.adapters.redis.process_registry import RedisProcessRegistry
from goald.adapters.redis.throttle import RedisTenantThrottle
from goald.adapters.redis.transfer_report import RedisTransferReport
from goald.client.envelope import decode
from goald.configuration.service import ConfigurationService
from goald.domain.configuration.catalog import CatalogCheck
from goald.domain.connection_failure import failure_cause
from goald.domain.errors import ServiceUnavailable
from goald.domain.fail_points import FailPointHook, no_op
from goald.domain.login_rejection import login_rejection
from goald.metrics.jobs import (
    ErasureMetrics,
    StreamBoundMetrics,
    TransferMetrics,
    TrimmingMetrics,
)
from goald.pipeline.explain import Explain
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard_batch import Shard
from goald.pipeline.start_check import StartCheck
from goald.pipeline.subject import SubjectReader
from goald.ports.clock import Clock
from goald.ports.shard_store import ShardStore
from goald.runtime.jobs.erasure import Erasure, ErasureSettings
from goald.runtime.jobs.erasure_pages import ErasurePages
from goald.runtime.jobs.retention import Keep, Retention
from goald.runtime.jobs.stream_bounds import StreamBounds
from goald.runtime.jobs.transfers import TransferReporter
from goald.runtime.jobs.trimming import Trimming
from goald.runtime.leadership.election import LeaderElection
from goald.runtime.processes.consumer import ConsumerPorts, ConsumerProcess, ConsumerSettings
from goald.runtime.processes.shard import (
    ExecutionPorts,
    ShardPorts,
    ShardProcess,
    ShardSettings,
)
from goald.settings import Settings

COMMAND_SECONDS = 30.0
"""Statement timeout of a command; longer than that of an API request."""


def check_redis(url: str) -> None:
    """Connect to Redis and log in. Blocks for at most 10 s; outside an event loop. Raises
    ServiceUnavailable if Redis cannot be reached or rejects the login. A server that
    is still loading its data is accepted: the daemon waits for it."""

    async def ping() -> None:
        client = connect(url)
        try:
            async with service_errors():
                await client.ping()
        finally:
            await client.aclose()

    try:
        asyncio.run(ping())
    except ServiceUnavailable as error:
        if failure_cause(error) or login_rejection(error):
            raise


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The servers that a process connects to, and how it logs. Sent to the actors."""

    redis_url: str
    postgres_dsn: str
    log_level: str = "info"
    log_format: str = "auto"
    dead_bytes: int = 256 << 20
    """Approximate size limit of goald:dead."""
    log_dir: str | None = None
    """The directory in which each actor writes its own log; None for standard error."""


def shard_process(
    settings: ShardSettings,
    endpoints: Endpoints,
    make_evaluator: Callable[[ShardStore], Evaluator] | None = None,
    fail_point: FailPointHook = no_op,
) -> ShardProcess:
    """A shard over Postgres and Redis. Connects when it runs. `make_evaluator`: makes another
    evaluator than the native one, for comparisons."""
    store = PostgresShardStore(
        endpoints.postgres_dsn,
        options=CommitOptions(
            settings.exit_retry is not None, settings.publishes_refunds, settings.missed_bytes
        ),
        fail_point=fail_point,
    )
    return ShardProcess(
        settings,
        ShardPorts(
            store=store,
            outbound=_outbound(endpoints),
            control=RedisControlStream(endpoints.redis_url),
            throttle=RedisTenantThrottle(endpoints.redis_url),
            processes=process_registry(endpoints),
            clock=system_clock(),
            executions=ExecutionPorts(
                gates=RedisGates(endpoints.redis_url), permits=RedisPermits(endpoints.redis_url)
            ),
        ),
        evaluator=make_evaluator(store) if make_evaluator else None,
        fail_point=fail_point,
    )


def consumer_process(
    settings: ConsumerSettings,
    shards: Sequence[Shard],
    endpoints: Endpoints,
    fail_point: FailPointHook = no_op,
) -> ConsumerProcess:
    """A consumer over Redis and Postgres that dispatches to these shards. Connects when it
    runs."""
    return ConsumerProcess(
        settings,
        shards,
        ConsumerPorts(
            open_stream=lambda name: RedisEventStream(endpoints.redis_url, name),
            leases=PostgresStreamLeases(endpoints.postgres_dsn),
            outbound=_outbound(endpoints),
            history=RedisEventHistory(endpoints.redis_url),
            processes=process_registry(endpoints),
            clock=system_clock(),
        ),
        fail_point=fail_point,
    )


def _outbound(endpoints: Endpoints) -> RedisOutbound:
    return RedisOutbound(endpoints.redis_url, system_clock(), dead_max_bytes=endpoints.dead_bytes)


def process_registry(endpoints: Endpoints) -> RedisProcessRegistry:
    """The registry of the processes' heartbeats. Connects on first use."""
    return RedisProcessRegistry(endpoints.redis_url)


def system_clock() -> Clock:
    """The clock of this machine."""
    return SystemClock()


def configuration_service(
    postgres: str | TenantPool,
    redis_url: str | None = None,
    *,
    catalog: CatalogCheck = "known",
    max_workflows: int | None = None,
) -> ConfigurationService:
    """The service that changes configurations, as the role goald_api. The caller closes it.

    `postgres`: a DSN, or a pool to share. `redis_url`: where changes are announced; if None,
    shards find them at their next reconciliation. `catalog`: `GOALD_CATALOG`.
    `max_workflows`: `GOALD_MAX_WORKFLOWS`; None is unlimited.
    """
    if isinstance(postgres, str):
        postgres = TenantPool(postgres, 2, statement_seconds=COMMAND_SECONDS)
    clock = system_clock()
    outbound = RedisOutbound(redis_url, clock) if redis_url is not None else None
    return ConfigurationService(
        PostgresConfigurationStore(postgres, max_workflows=max_workflows),
        clock,
        outbound=outbound,
        catalog=catalog,
    )


def retention(postgres_dsn: str, keep: Keep) -> Retention:
    """The job that creates and drops monthly partitions. Connects when it runs."""
    return Retention(PostgresMonths(postgres_dsn), keep, system_clock())


def trimming(settings: Settings, endpoints: Endpoints, registry: CollectorRegistry) -> Trimming:
    """The job that trims streams, with its metrics in `registry`. Connects when it runs."""
    return Trimming(
        RedisTrimmer(endpoints.redis_url),
        settings.keep,
        settings.erasure,
        TrimmingMetrics(registry),
        system_clock(),
    )


def stream_bounds(redis_url: str, max_bytes: int, registry: CollectorRegistry) -> StreamBounds:
    """The job that bounds the memory of the streams, with its metrics in `registry`. Connects when
    it runs."""
    return StreamBounds(
        RedisStreamLevels(redis_url),
        RedisByteTrimmer(redis_url),
        max_bytes,
        StreamBoundMetrics(registry),
        system_clock(),
    )


def erasure(settings: Settings, endpoints: Endpoints, registry: CollectorRegistry) -> Erasure:
    """The job that finishes erasures, with its metrics in `registry`. Connects when it runs."""
    return Erasure(
        ErasureSettings(settings.erasure, settings.retention),
        PostgresErasures(endpoints.postgres_dsn),
        RedisErasableStreams(endpoints.redis_url),
        SubjectReader(decode).read,
        ErasureMetrics(registry),
        system_clock(),
    )


def transfer_reporter(endpoints: Endpoints, registry: CollectorRegistry) -> TransferReporter:
    """The job that reports the transfers of merged contacts, with its metrics in `registry`.
    Connects when it runs."""
    return TransferReporter(
        PostgresPendingTransfers(endpoints.postgres_dsn),
        RedisTransferReport(endpoints.redis_url),
        TransferMetrics(registry),
        system_clock(),
    )


def erasure_pages(endpoints: Endpoints) -> ErasurePages:
    """The job that erases the rows of deleted contacts. Connects when it runs."""
    return ErasurePages(PostgresErasurePages(endpoints.postgres_dsn), system_clock())


def leader_election(endpoints: Endpoints) -> LeaderElection:
    """The election of the active instance. Connects on first use."""
    return LeaderElection(PostgresStreamLeases(endpoints.postgres_dsn), system_clock())


@asynccontextmanager
async def explainer(
    postgres_dsn: str, clock_skew: float, late: float, max_enrollments_per_contact: int
) -> AsyncIterator[Explain]:
    """Yields the service that evaluates one event as a dry run, with the role goald_api.
    `clock_skew` and `late` (seconds) and `max_enrollments_per_contact` are the shards'."""
    pool = TenantPool(postgres_dsn, 1)
    try:
        contacts = PostgresContacts(pool)
        start_check = StartCheck(contacts, max_active=max_enrollments_per_contact)
        skew_us = round(clock_skew * 1e6)
        late_us = round(late * 1e6)
        yield Explain(contacts, start_check, system_clock(), clock_skew_us=skew_us, late_us=late_us)
    finally:
        await pool.close()
