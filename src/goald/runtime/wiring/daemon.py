"""Which adapters stand behind the ports: the one place that chooses."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from goald.adapters.clock import SystemClock
from goald.adapters.postgres import (
    PostgresConfigurations,
    PostgresShardStore,
    PostgresStreamLeases,
    TenantPool,
)
from goald.adapters.postgres.partitions import PostgresMonths
from goald.adapters.postgres.records.contacts import PostgresContacts
from goald.adapters.redis import RedisControlStream, RedisEventStream, RedisOutbound
from goald.adapters.redis.events.trim import RedisTrimmer
from goald.configuration.service import ConfigurationService
from goald.domain.configuration.catalog import CatalogCheck
from goald.domain.fail_points import FailPointHook, no_op
from goald.metrics import TrimmingMetrics
from goald.pipeline.explain import Explain
from goald.pipeline.shard.evaluate import Evaluator
from goald.pipeline.shard_batch import Shard
from goald.ports.clock import Clock
from goald.ports.shard_store import ShardStore
from goald.runtime.actors.consumer import ConsumerProcess, ConsumerSettings
from goald.runtime.actors.shard import ShardProcess, ShardSettings
from goald.runtime.heartbeat.registry import RedisProcessRegistry
from goald.runtime.jobs.retention import Retention
from goald.runtime.jobs.trimming import Trimming
from goald.runtime.leadership.election import LeaderElection

COMMAND_SECONDS = 30.0
"""How long a command's statement may take: longer than a request's."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What a process connects to, and how it logs. Travels to the actors."""

    redis_url: str
    postgres_dsn: str
    log_level: str = "info"
    log_format: str = "auto"
    dead_bytes: int = 256 << 20
    """What goald:dead may take, about."""
    log_dir: str | None = None
    """Where each actor writes a log of its own; None for standard error."""


def shard_process(
    settings: ShardSettings,
    endpoints: Endpoints,
    make_evaluator: Callable[[ShardStore], Evaluator] | None = None,
    fail_point: FailPointHook = no_op,
) -> ShardProcess:
    """A shard over Postgres and Redis. Connects when it runs. `make_evaluator`: another than
    the one over the Rust core, for comparisons."""
    store = PostgresShardStore(
        endpoints.postgres_dsn, exits_wait=settings.exit_retry is not None, fail_point=fail_point
    )
    return ShardProcess(
        settings,
        store=store,
        outbound=_outbound(endpoints),
        control=RedisControlStream(endpoints.redis_url),
        board=open_board(endpoints),
        clock=system_clock(),
        evaluator=make_evaluator(store) if make_evaluator else None,
        fail_point=fail_point,
    )


def consumer_process(
    settings: ConsumerSettings,
    shards: Sequence[Shard],
    endpoints: Endpoints,
    fail_point: FailPointHook = no_op,
) -> ConsumerProcess:
    """A consumer over Redis and Postgres, handing over to these shards. Connects when it runs."""
    return ConsumerProcess(
        settings,
        shards,
        open_stream=lambda name: RedisEventStream(endpoints.redis_url, name),
        leases=PostgresStreamLeases(endpoints.postgres_dsn),
        outbound=_outbound(endpoints),
        board=open_board(endpoints),
        clock=system_clock(),
        fail_point=fail_point,
    )


def _outbound(endpoints: Endpoints) -> RedisOutbound:
    return RedisOutbound(endpoints.redis_url, system_clock(), dead_max_bytes=endpoints.dead_bytes)


def open_board(endpoints: Endpoints) -> RedisProcessRegistry:
    """Where the processes' heartbeats are. Connects when it is used."""
    return RedisProcessRegistry(endpoints.redis_url)


def system_clock() -> Clock:
    """The machine's clock."""
    return SystemClock()


def configuration_service(
    postgres: str | TenantPool, redis_url: str | None = None, *, catalog: CatalogCheck = "known"
) -> ConfigurationService:
    """The service that changes configurations, as the role goald_api. To be closed.

    `postgres`: where, or the connections to share. `redis_url`: where changes are announced;
    None leaves that to the shards. `catalog`: `GOALD_CATALOG`.
    """
    if isinstance(postgres, str):
        postgres = TenantPool(postgres, 2, statement_seconds=COMMAND_SECONDS)
    clock = system_clock()
    outbound = RedisOutbound(redis_url, clock) if redis_url is not None else None
    return ConfigurationService(
        PostgresConfigurations(postgres), clock, outbound=outbound, catalog=catalog
    )


def retention(postgres_dsn: str, keep_days: int) -> Retention:
    """The job that makes and drops months. Connects when it runs."""
    return Retention(PostgresMonths(postgres_dsn), keep_days, system_clock())


def trimming(redis_url: str, keep_seconds: float, registry: CollectorRegistry) -> Trimming:
    """The job that trims streams, counting in `registry`. Connects when it runs."""
    metrics = TrimmingMetrics(registry)
    return Trimming(RedisTrimmer(redis_url), keep_seconds, metrics, system_clock())


def primacy(endpoints: Endpoints) -> LeaderElection:
    """What decides whether this instance acts. Connects when it is asked."""
    return LeaderElection(PostgresStreamLeases(endpoints.postgres_dsn), system_clock())


@asynccontextmanager
async def explainer(postgres_dsn: str, clock_skew: float) -> AsyncIterator[Explain]:
    """The dry run, as the role goald_api, for as long as the body lasts. `clock_skew`: the
    shards' own, in seconds."""
    pool = TenantPool(postgres_dsn, 1)
    try:
        yield Explain(PostgresContacts(pool), system_clock(), clock_skew_us=round(clock_skew * 1e6))
    finally:
        await pool.close()
