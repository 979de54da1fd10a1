"""SIGSTOP: a suspended process keeps its connections, does not answer, and continues later as if
no time had passed. A process that resumes after its lease has expired must not use it (D3)."""

import time

from tests.fault.harness.daemon_process import DaemonProcess
from tests.fault.harness.registry import FaultContext, fault
from tests.fault.harness.servers import PostgresServer, RedisServer

from goald.domain.leases import LEASE_SECONDS


@fault("SIGSTOP of a shard past its lease", test=1, torture=20)
def stop_shard(context: FaultContext) -> None:
    """Its lease expires while it has a connection and possibly a transaction."""
    goald = context.environment.goald
    assert isinstance(goald, DaemonProcess)
    role = context.rng.choice(("shard:0", "shard:1"))
    seconds = LEASE_SECONDS + context.rng.uniform(1, 5)
    context.notes.append(f"{role}, {seconds:.1f} s")
    process = goald.process_of(role)
    process.suspend()
    try:
        time.sleep(seconds)
    finally:
        if process.is_running():  # it may have been replaced
            process.resume()


@fault("SIGSTOP of Redis", test=1, torture=20)
def stop_redis(context: FaultContext) -> None:
    """In one of two rounds, longer than the timeout of a call."""
    _stop_for(context, context.rng.choice((4.0, 14.0)), context.environment.servers.redis)


@fault("SIGSTOP of Postgres", test=1, torture=20)
def stop_postgres(context: FaultContext) -> None:
    """In one of two rounds, longer than a lease lasts, so that holders have stopped."""
    _stop_for(context, context.rng.choice((4.0, 14.0)), context.environment.servers.postgres)


def _stop_for(context: FaultContext, seconds: float, server: RedisServer | PostgresServer) -> None:
    context.notes.append(f"{seconds:.0f} s")
    server.pause()
    try:
        time.sleep(seconds)
    finally:
        server.resume()
