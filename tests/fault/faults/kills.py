"""kill -9 of each process of goald, and of its servers."""

import psutil
from tests.fault.harness.daemon_process import DaemonProcess
from tests.fault.harness.environment import api_environment, million_enrollments_environment
from tests.fault.harness.registry import FaultContext, fault
from tests.fault.harness.servers import until


def _daemon(context: FaultContext) -> DaemonProcess:
    goald = context.environment.goald
    assert isinstance(goald, DaemonProcess)
    return goald


def _workers(goald: DaemonProcess) -> list[psutil.Process]:
    return [goald.process_of(role) for role in goald.roles if role != "supervisor:0"]


def _end_after_children(context: FaultContext, workers: list[psutil.Process]) -> None:
    """End the fault now, and wait until the children of the killed process have ended, because the
    probes must be processed by their successors."""
    context.end_fault()
    goald = _daemon(context)

    def have_ended() -> bool:
        goald.restart_if_ended()
        return not any(each.is_running() for each in workers)

    until("end of the children", have_ended)


@fault("kill -9 of a shard", test=2, torture=50)
def kill_shard(context: FaultContext) -> None:
    """Ray restarts it."""
    role = context.rng.choice(("shard:0", "shard:1"))
    context.notes.append(role)
    _daemon(context).process_of(role).kill()


fault(
    "kill -9 of a shard (1 million enrolled)",
    test=0,
    torture=50,
    environment=million_enrollments_environment,
)(kill_shard)


@fault("kill -9 of a consumer", test=2, torture=50)
def kill_consumer(context: FaultContext) -> None:
    """Ray restarts it."""
    _daemon(context).process_of("consumer:0").kill()


@fault("kill -9 of the API", test=1, torture=50, environment=api_environment)
def kill_api(context: FaultContext) -> None:
    """The driver replaces it by the spare process. goald is idle again once the API serves."""
    _daemon(context).process_of("api:0").kill()


@fault("kill -9 of the daemon", test=2, torture=50)
def kill_daemon(context: FaultContext) -> None:
    """The driver only, or all processes together. The service manager restarts it."""
    goald = _daemon(context)
    if context.rng.random() < 0.5:
        context.notes.append("driver")
        workers = _workers(goald)
        goald.kill_driver()
        _end_after_children(context, workers)
    else:
        context.notes.append("all processes")
        goald.kill()


@fault("kill -9 of the raylet", test=2, torture=50)
def kill_raylet(context: FaultContext) -> None:
    """goald restarts Ray, or ends and is restarted."""
    goald = _daemon(context)
    workers = _workers(goald)
    goald.process_by_name("raylet").kill()
    _end_after_children(context, workers)


@fault("kill -9 of Redis", test=2, torture=50)
def kill_redis(context: FaultContext) -> None:
    """It restarts from its append-only file."""
    server = context.environment.servers.redis
    server.kill()
    server.start()


@fault("kill -9 of Postgres", test=2, torture=50)
def kill_postgres(context: FaultContext) -> None:
    """All processes, or one backend, after which Postgres ends the others and recovers."""
    server = context.environment.servers.postgres
    if context.rng.random() < 0.5:
        context.notes.append("all processes")
        server.kill()
        server.start()
    else:
        context.notes.append("one backend")
        server.kill_backend(context.rng)
