"""kill -9 of whatever goald consists of, and of what it stands on."""

import psutil
from tests.fault.harness.registry import Act, fault
from tests.fault.harness.servers import until
from tests.fault.harness.serving import Serving
from tests.fault.harness.stage import million_stage


def _serving(act: Act) -> Serving:
    engine = act.stage.engine
    assert isinstance(engine, Serving)
    return engine


def _workers(engine: Serving) -> list[psutil.Process]:
    return [engine.process_of(role) for role in engine.roles if role != "supervisor:0"]


def _outlived(act: Act, workers: list[psutil.Process]) -> None:
    """The fault is over, but those go on for a while who were below what was killed: what the
    probes tell is to be told by those who come after them."""
    act.over()
    engine = _serving(act)

    def gone() -> bool:
        engine.look_after()
        return not any(each.is_running() for each in workers)

    until("end of what was below", gone)


@fault("kill -9 of a shard", test=2, torture=50)
def kill_shard(act: Act) -> None:
    """Ray starts it again."""
    role = act.rng.choice(("shard:0", "shard:1"))
    act.notes.append(role)
    _serving(act).process_of(role).kill()


fault("kill -9 of a shard (1 million enrolled)", test=0, torture=50, stage=million_stage)(
    kill_shard
)


@fault("kill -9 of a consumer", test=2, torture=50)
def kill_consumer(act: Act) -> None:
    """Ray starts it again."""
    _serving(act).process_of("consumer:0").kill()


@fault("kill -9 of the daemon", test=2, torture=50)
def kill_daemon(act: Act) -> None:
    """Of the driver alone, or of all at once; whoever watches it starts it again."""
    engine = _serving(act)
    if act.rng.random() < 0.5:
        act.notes.append("driver")
        workers = _workers(engine)
        engine.kill_driver()
        _outlived(act, workers)
    else:
        act.notes.append("all of it")
        engine.kill()


@fault("kill -9 of the raylet", test=2, torture=50)
def kill_raylet(act: Act) -> None:
    """goald starts Ray again, or ends so that it is started again."""
    engine = _serving(act)
    workers = _workers(engine)
    engine.named("raylet").kill()
    _outlived(act, workers)


@fault("kill -9 of Redis", test=2, torture=50)
def kill_redis(act: Act) -> None:
    """It comes back on its append-only file."""
    server = act.stage.servers.redis
    server.kill()
    server.start()


@fault("kill -9 of Postgres", test=2, torture=50)
def kill_postgres(act: Act) -> None:
    """Of all of it; or of a backend, at which Postgres ends the others and recovers."""
    server = act.stage.servers.postgres
    if act.rng.random() < 0.5:
        act.notes.append("all of it")
        server.kill()
        server.start()
    else:
        act.notes.append("a backend")
        server.kill_backend(act.rng)
