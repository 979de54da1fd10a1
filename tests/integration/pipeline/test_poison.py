"""Malformed events and poison events do not stop other events (D4)."""

import signal
from collections.abc import Callable

import psutil
import psycopg
from tests.support.services.daemon import Daemon

from goald.client import event
from goald.redis_keys import DEAD, FIELD, event_stream

WORKFLOW = """
tenant: {tenant}
workflows:
  - id: nurture
    active: true
    goals:
      - {{goal_type: tag_added, criteria: {{tag_name: Customer}}}}
"""
STREAMS = 4


def enrolled(daemon: Daemon, tenant: str, contact: str) -> None:
    daemon.publish(
        event(
            "workflow.enrollment.started",
            tenant,
            contact,
            {"workflow_id": "nurture", "enrollment_id": f"e-{contact}"},
        ),
        event("contact.tag.added", tenant, contact, {"tag_name": "Customer"}),
    )


def test_malformed_events_of_one_tenant_do_not_stop_the_exits_of_another(
    daemon: Daemon, tenant: str
) -> None:
    daemon.apply(WORKFLOW.format(tenant=tenant))
    garbage = b'{"specversion": "1.0", "tenantid": "flood", "data": {"contact_id": 7}}'
    with daemon.redis() as client:
        before = client.xinfo_stream(DEAD)["last-generated-id"] if client.exists(DEAD) else b"0-0"
        for _ in range(10):
            with client.pipeline(transaction=False) as pipe:
                for number in range(5_000):
                    pipe.xadd(event_stream(number % STREAMS), {FIELD: garbage})
                pipe.execute()
        try:
            enrolled(daemon, tenant, "ann")
            daemon.until("exit", lambda: daemon.exits(tenant))
            daemon.until_lag_zero()
            entries = client.xrange(DEAD, min=b"(" + before)
            assert len(entries) == 50_000
            assert {fields[b"event"] for _, fields in entries} == {garbage}
        finally:
            for entry_id, _ in client.xrange(DEAD, min=b"(" + before):
                client.xdel(DEAD, entry_id)


class Shards:
    """The only shard of a daemon, which is killed repeatedly."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._killed: set[int] = set()
        self._waited: set[int] = set()

    def is_blocked(self) -> bool:
        """Whether a new shard process waits for the lock of the test."""
        rows = self._daemon.sql(
            "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'goald'"
        )
        self._waiting = {pid for (pid,) in rows} - self._waited
        return bool(self._waiting) and self._pid() is not None

    def kill(self) -> None:
        """SIGKILL to the shard while it processes the event."""
        pid = self._pid()
        assert pid is not None
        self._killed.add(pid)
        self._waited |= self._waiting
        psutil.Process(pid).send_signal(signal.SIGKILL)

    def _pid(self) -> int | None:
        heartbeats = self._daemon.readings().heartbeats
        pids = {each.pid for each in heartbeats if each.role == "shard"} - self._killed
        return next(iter(pids), None)


def test_an_event_that_kills_its_shard_five_times_is_dead_lettered(
    make_daemon: Callable[..., Daemon],
) -> None:
    """Simulates a poison event: a lock blocks the shard while it processes the event, and the test
    kills it. A later event takes effect."""
    daemon = make_daemon(shards="1")
    daemon.start()
    daemon.apply(WORKFLOW.format(tenant="acme"))
    shards = Shards(daemon)
    with psycopg.connect(daemon.admin_dsn) as locking:
        locking.execute("LOCK TABLE goald.workflow_enrollments IN SHARE ROW EXCLUSIVE MODE")
        fatal = event(
            "workflow.enrollment.started",
            "acme",
            "bob",
            {"workflow_id": "nurture", "enrollment_id": "e-bob"},
        )
        daemon.publish(fatal)
        for _ in range(5):
            daemon.until("a shard that has the event", shards.is_blocked)
            shards.kill()
        daemon.until("a dead letter", daemon.dead)
    (dead_letter,) = daemon.dead()
    assert dead_letter.delivery_attempts == 5
    assert b"e-bob" in dead_letter.event
    enrolled(daemon, "acme", "ann")
    daemon.until("exit", lambda: daemon.exits("acme"))
    daemon.until_lag_zero()
    assert [exit_.contact_id for exit_ in daemon.exits("acme")] == ["ann"]
    assert daemon.stop() == 0
