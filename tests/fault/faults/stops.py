"""SIGSTOP: who stands still has its connections, answers nobody, and goes on later as if no time
had passed. A holder that wakes up past its lease must do nothing under it (D3)."""

import time

from tests.fault.harness.registry import Act, fault
from tests.fault.harness.servers import PostgresServer, RedisServer
from tests.fault.harness.serving import Serving

from goald.domain.leases import LEASE_SECONDS


@fault("SIGSTOP of a shard past its lease", test=1, torture=20)
def stop_shard(act: Act) -> None:
    """Its lease runs out while it holds a connection and, perhaps, a transaction."""
    engine = act.stage.engine
    assert isinstance(engine, Serving)
    role = act.rng.choice(("shard:0", "shard:1"))
    seconds = LEASE_SECONDS + act.rng.uniform(1, 5)
    act.notes.append(f"{role}, {seconds:.1f} s")
    process = engine.process_of(role)
    process.suspend()
    try:
        time.sleep(seconds)
    finally:
        if process.is_running():  # the supervisor may have had enough of it
            process.resume()


@fault("SIGSTOP of Redis", test=1, torture=20)
def stop_redis(act: Act) -> None:
    """Longer than a call may take in one round of two."""
    _stop_for(act, act.rng.choice((4.0, 14.0)), act.stage.servers.redis)


@fault("SIGSTOP of Postgres", test=1, torture=20)
def stop_postgres(act: Act) -> None:
    """Longer than a lease lasts in one round of two: whoever could not renew has stopped."""
    _stop_for(act, act.rng.choice((4.0, 14.0)), act.stage.servers.postgres)


def _stop_for(act: Act, seconds: float, server: RedisServer | PostgresServer) -> None:
    act.notes.append(f"{seconds:.0f} s")
    server.pause()
    try:
        time.sleep(seconds)
    finally:
        server.resume()
