"""Two processes that believe to hold the same leases: the older one commits, reads and
acknowledges nothing (D3).

The contender is a second process with the same shard, the same consumer and the same name. It
takes the leases while the first one works, or while the first one is suspended.
"""

import time

from tests.fault.harness.environment import single_process_environment
from tests.fault.harness.registry import FaultContext, fault
from tests.fault.harness.servers import until
from tests.fault.harness.single_process import SingleProcess


@fault("two live actors of one shard", test=1, torture=100, environment=single_process_environment)
def two_shards(context: FaultContext) -> None:
    """Each process has its own consumer, and the consumers take the streams from each other too."""
    first = _process(context)
    servers = context.environment.servers
    contender = SingleProcess(servers.redis.url, servers.postgres.dsn, str(servers.data.logs))
    is_suspended = context.rng.random() < 0.5
    if is_suspended:
        context.notes.append("the first one was suspended")
        time.sleep(context.rng.uniform(0, 0.2))  # at a random point of its work
        first.pause()
    epochs = _epochs(context)
    contender.start()
    try:
        until("leases of the contender", lambda: _has_new_epochs(context, epochs))
        if is_suspended:
            first.resume()
        context.workload.until_sent(context.workload.sent + 100)
        until("end of the first process", lambda: not first.is_running)
    finally:
        if is_suspended and first.is_running:
            first.resume()
        contender.kill()


def _process(context: FaultContext) -> SingleProcess:
    goald = context.environment.goald
    assert isinstance(goald, SingleProcess)
    return goald


def _epochs(context: FaultContext) -> set[int]:
    """The epochs of all slot leases."""
    query = "SELECT epoch FROM goald.leases WHERE slots IS NOT NULL"
    return {epoch for (epoch,) in context.environment.servers.postgres.sql(query)}


def _has_new_epochs(context: FaultContext, previous: set[int]) -> bool:
    current = _epochs(context)
    return bool(current) and current.isdisjoint(previous)
