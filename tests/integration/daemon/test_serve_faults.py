"""`goald serve` when Ray or an embedded server dies, and on a second signal."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable

import psutil
import pytest
from tests.support.services.daemon import DEADLINE_S, Daemon, left_of

from goald.client import event

WORKFLOWS = """
tenant: acme
workflows:
  - id: w
    name: W
    goal_logic: any
    active: true
    goals:
      - goal_type: tag_added
        criteria: {tag_name: Customer}
        effective_from: 2026-01-01T00:00:00Z
"""


END_SHARD = """
import sys
import ray
ray.init(address=sys.argv[1], log_to_driver=False)
for found in ray.util.list_named_actors(all_namespaces=True):
    if found["name"] == "shard-0":
        ray.kill(ray.get_actor(**found), no_restart=True)
"""


def process_of(daemon: Daemon, name: str) -> psutil.Process:
    return next(each for each in daemon.family() if each.name().startswith(name))


def actors(daemon: Daemon) -> dict[str, int]:
    return {
        each.field: each.pid
        for each in daemon.readings().heartbeats
        if each.role in {"consumer", "shard"}
    }


def end_shard_without_restart(daemon: Daemon) -> None:
    """Make Ray end a shard's actor without restarting it."""
    store = process_of(daemon, "gcs_server")
    (port,) = [
        each.laddr.port
        for each in store.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    ]
    settings = {name: value for name, value in store.environ().items() if "RAY_" in name}
    subprocess.run(
        [sys.executable, "-c", END_SHARD, f"127.0.0.1:{port}"],
        env=os.environ | settings,
        check=True,
        capture_output=True,
        timeout=DEADLINE_S,
    )


def achieve_and_wait_for_exit(daemon: Daemon, contact: str) -> None:
    """Enroll a contact, achieve its goal, and wait for its exit."""
    daemon.publish(
        event(
            "workflow.enrollment.started",
            "acme",
            contact,
            {"workflow_id": "w", "enrollment_id": f"e-{contact}"},
        ),
        event("contact.tag.added", "acme", contact, {"tag_name": "Customer"}),
    )
    daemon.until("exit", lambda: contact in [each.contact_id for each in daemon.exits("acme")])


def test_all_actors_are_restarted_when_ray_dies(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon = make_daemon()
    daemon.start()
    daemon.apply(WORKFLOWS)
    achieve_and_wait_for_exit(daemon, "before")
    faults: dict[str, Callable[[Daemon], None]] = {
        "raylet ended unexpectedly": lambda it: process_of(it, "raylet").kill(),
        "gcs_server ended unexpectedly": lambda it: process_of(it, "gcs_server").kill(),
        "Ray does not restart shard 0": end_shard_without_restart,
    }
    for number, (message, fault) in enumerate(faults.items()):
        before, family = actors(daemon), daemon.family()
        fault(daemon)
        daemon.until(
            "new actors",
            lambda: not set(before.values()) & set(actors(daemon).values()),  # noqa: B023
        )
        achieve_and_wait_for_exit(daemon, f"after-{number}")
        daemon.until("readiness", daemon.is_ready)
        assert message in daemon.printed()
        running = {daemon.process.pid} if daemon.process is not None else set()
        running |= {each.pid for each in daemon.family()}
        assert left_of([each for each in family if each.pid not in running]) == []
    family = daemon.family()
    assert daemon.stop() == 0, daemon.printed()
    assert left_of(family) == []
    assert len(daemon.printed().splitlines()) < 100


@pytest.mark.parametrize(("process", "service"), [("valkey", "redis"), ("postgres", "postgres")])
def test_the_daemon_ends_with_a_message_when_an_embedded_server_dies(
    make_daemon: Callable[..., Daemon], process: str, service: str
) -> None:
    daemon = make_daemon()
    daemon.start()
    family = daemon.family()
    process_of(daemon, process).kill()
    assert daemon.wait() == 1, daemon.printed()
    assert f"The embedded {service} ended unexpectedly" in daemon.printed()
    assert left_of(family) == []


def test_a_second_signal_ends_all_processes_immediately(
    make_daemon: Callable[..., Daemon],
) -> None:
    daemon = make_daemon()
    daemon.start()
    family = daemon.family()
    shard = next(psutil.Process(pid) for name, pid in actors(daemon).items() if "shard" in name)
    shard.suspend()  # so that it cannot finish
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    daemon.until("stopping", lambda: "Stopping on SIGTERM" in daemon.printed())
    assert daemon.stop() == 128 + signal.SIGTERM, daemon.printed()
    assert left_of(family) == []
