"""kill -9 of whatever goald consists of, and of what it stands on."""

from tests.fault.registry import Act, fault
from tests.fault.serving import Serving
from tests.fault.stage import million_stage


def _serving(act: Act) -> Serving:
    engine = act.stage.engine
    assert isinstance(engine, Serving)
    return engine


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
        engine.kill_driver()
    else:
        act.notes.append("all of it")
        engine.kill()


@fault("kill -9 of the raylet", test=2, torture=50)
def kill_raylet(act: Act) -> None:
    """goald starts Ray again, or ends so that it is started again."""
    _serving(act).named("raylet").kill()


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
