"""Two who believe to hold the same: the older one commits, reads and acknowledges nothing (D3).

A rival is a second process with the same shard, the same consumer and the same name. It takes
the leases while the first is at work, or while that stands still in the middle of it.
"""

import time

from tests.fault.harness.one_process import OneProcess
from tests.fault.harness.registry import Act, fault
from tests.fault.harness.servers import until
from tests.fault.harness.stage import plain_stage


@fault("two live actors of one shard", test=1, torture=100, stage=plain_stage)
def two_shards(act: Act) -> None:
    """Both are fed by consumers of their own, which take the streams from each other, too."""
    first = _engine(act)
    servers = act.stage.servers
    rival = OneProcess(servers.redis.url, servers.postgres.dsn, str(servers.data.logs))
    stands_still = act.rng.random() < 0.5
    if stands_still:
        act.notes.append("the first stood still")
        time.sleep(act.rng.uniform(0, 0.2))  # wherever it is by then
        first.pause()
    epochs = _epochs(act)
    rival.start()
    try:
        until("the rival's leases", lambda: _epochs(act).isdisjoint(epochs) and len(_epochs(act)))
        if stands_still:
            first.resume()
        act.workload.until_sent(act.workload.sent + 100)
        until("the end of the first", lambda: not first.is_running)
    finally:
        if stands_still and first.is_running:
            first.resume()
        rival.kill()


def _engine(act: Act) -> OneProcess:
    engine = act.stage.engine
    assert isinstance(engine, OneProcess)
    return engine


def _epochs(act: Act) -> set[int]:
    """Of the leases that there are."""
    query = "SELECT epoch FROM goald.leases WHERE slots IS NOT NULL"
    return {epoch for (epoch,) in act.stage.servers.postgres.sql(query)}
