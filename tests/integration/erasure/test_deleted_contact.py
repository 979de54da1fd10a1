"""A running daemon erases a deleted contact from every table, every key of Redis and every log.

Personal data is given in every way that goald accepts data, each time with a different value. Logs
are written at level debug."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgpack
import psycopg
import pytest
import redis
from psycopg import sql
from tests.support.services.daemon import Daemon

from goald.api.auth.signatures import parse_secret, sign
from goald.redis_keys import EXITS, NOTICES, event_stream
from goald.runtime.embedded.data_dir import short_directory

TENANT = "acme"
CONTACT = f"contact-{uuid4()}"
MERGED = f"contact-{uuid4()}"
"""Merged into another contact, then deleted."""
STREAMS = 2
ERASURE_S = 60
"""The least that is allowed. Streams are searched after three quarters of it."""
CONFIGURATION = """
tenant: acme
workflows:
  - id: any
    name: Any
    goal_logic: any
    active: true
    goals:
      - {goal_type: tag_added, criteria: {tag_name: Customer}, effective_from: 2020-01-01T00:00Z}
  - id: all
    name: All
    goal_logic: all
    active: true
    goals:
      - {goal_type: tag_added, criteria: {tag_name: Customer}, effective_from: 2020-01-01T00:00Z}
      - {goal_type: purchase_made, criteria: {min_amount: 100}, effective_from: 2020-01-01T00:00Z}
"""


@pytest.fixture
def daemon(make_daemon: Callable[..., Daemon]) -> Daemon:
    daemon = make_daemon(
        erasure=str(ERASURE_S), keep="1", streams=str(STREAMS), log_level="debug", metrics_port="0"
    )
    daemon.start()
    daemon.apply(CONFIGURATION)
    with psycopg.connect(daemon.admin_dsn, autocommit=True) as connection:
        connection.execute("ALTER TABLE goald.workflow_enrollments ADD CHECK (id <> 'e-refused')")
    return daemon


class Given:
    """Gives personal data of the contact, and remembers each value by where it was given."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.values = {"the contact": CONTACT, "the merged contact": MERGED}

    def event(self, way: str, kind: str, at: datetime, **data: Any) -> dict[str, Any]:
        """An event with a value, also in its id."""
        value = self.values[way] = f"secret-{uuid4()}"
        return {
            "id": f"{value}-id",
            "source": "/crm",
            "type": kind,
            "time": at.isoformat(),
            "tenantid": TENANT,
            "data": {"contact_id": CONTACT, "name": value, "address": {"street": value}} | data,
        }

    def send(self, way: str, kind: str, at: datetime, **data: Any) -> None:
        """Send an event in a stream, in one of the two formats."""
        event = self.event(way, kind, at, **data)
        packed = json.dumps(event) if len(self.values) % 2 else msgpack.packb(event)
        self.send_bytes(packed)

    def send_bytes(self, event: Any) -> None:
        with self.daemon.redis() as client:
            client.xadd(event_stream(0), {"event": event})


def give_in_streams(given: Given, now: datetime, *, is_deleted: bool = False) -> None:
    """Events of each type, dated before and after the deletion, and events that goald rejects."""
    before, after = now - timedelta(hours=1), now + timedelta(hours=20)
    for enrollment, workflow in (("e-1", "any"), ("e-2", "all"), ("e-3", "any")):
        ids = {"workflow_id": workflow, "enrollment_id": enrollment}
        given.send(f"start of {enrollment}", "workflow.enrollment.started", before, **ids)
    given.send("end", "workflow.enrollment.ended", now, **(ids | {"reason": "exited"}))
    given.send("goal", "contact.tag.added", before + timedelta(minutes=1), tag_name="Customer")
    ids = {"workflow_id": "all", "enrollment_id": "e-2"}
    given.send("second goal, later", "payment.completed", after, amount=100, currency="EUR")
    given.send("acknowledged exit", "workflow.exit.acknowledged", now, **ids)
    ids = {"workflow_id": "all", "enrollment_id": "e-0"}
    given.send("acknowledged unknown exit", "workflow.exit.acknowledged", now, **ids)
    given.send("type without effect", "contact.viewed", now)
    # After the deletion, the second is of a new contact under the same id.
    ahead = [] if is_deleted else [("description, dated ahead", after)]
    for way, at in (("description", before), *ahead):
        event = given.event(way, "contact.updated", at)
        value = given.values[way]
        event["data"] |= {"email": f"{value}@example.com", "attributes": {value: value}}
        given.send_bytes(json.dumps(event))
    given.send("tags", "contact.tag.added", now, tags=[CONTACT, "Customer"])
    given.send("unknown type", "contact.called", now)
    given.send("rejected value", "contact.tag.added", now, tag_name=5)
    given.send("rejected amount", "payment.completed", now, amount="NaN", currency="EUR")
    ids = {"workflow_id": "other", "enrollment_id": "e-1"}
    given.send("rejected owner", "workflow.enrollment.started", before, **ids)
    ids = {"workflow_id": "any", "enrollment_id": "e-refused"}
    given.send("refused by Postgres", "workflow.enrollment.started", before, **ids)
    broken = json.dumps(given.event("broken event", "contact.tag.added", now))
    given.send_bytes(broken[:-2])
    # Its contact is unknown.
    given.values["unreadable event"] = unreadable = f"secret-{uuid4()}"
    given.send_bytes(f"{{{unreadable}")


def give_executions(given: Given) -> None:
    """Rows of executions, as shards commit them."""
    given.values["attributes of an execution"] = value = f"secret-{uuid4()}"
    with psycopg.connect(given.daemon.admin_dsn, autocommit=True) as connection:
        for statement in (
            "INSERT INTO goald.workflow_executions (tenant_id, id, contact_id, workflow_id, slot,"
            " version, status, state, step_id, step_index, total_steps, visit, attempt,"
            " retry_count, hops, zone, since, since_seq, migrates, used_event, attributes,"
            " created_at) SELECT tenant_id, id, contact_id, workflow_id, slot, 1, 'PAUSED',"
            " 'sleeping', 's', 1, 1, 1, 0, 0, 0, 'UTC', now(), 0, false, false,"
            " jsonb_build_object('name', %(value)s::text), enrolled_at"
            " FROM goald.workflow_enrollments WHERE contact_id = %(contact)s",
            "INSERT INTO goald.workflow_entries SELECT DISTINCT tenant_id, contact_id, workflow_id,"
            " slot, created_at FROM goald.workflow_executions WHERE contact_id = %(contact)s",
            "INSERT INTO goald.execution_logs (tenant_id, contact_id, slot, event_type, at,"
            " attempt) SELECT tenant_id, contact_id, slot, 'opt_out_blocked', created_at, 0"
            " FROM goald.workflow_executions WHERE contact_id = %(contact)s",
        ):
            connection.execute(statement.encode(), {"contact": CONTACT, "value": value})


def give_over_http(given: Given, now: datetime, *, is_deleted: bool = False) -> None:
    api = given.daemon.api
    client = api.client(TENANT)
    event = given.event("HTTP", "form.submitted", now, form_id="f-1")
    del event["tenantid"]
    refused = given.event("HTTP, refused", "contact.tag.added", now, tag_name=5)
    del refused["tenantid"]
    key = {"idempotency-key": f"key-{uuid4()}"}
    answer = client.post("/api/v1/events", json=[event, refused], headers=key)
    assert (answer.status_code, answer.json()["accepted"]) == (202, 1), answer.text
    assert client.post("/api/v1/explain", json=event).status_code == 200
    given.values["HTTP, contact"] = value = f"secret-{uuid4()}"
    described = {"email": f"{value}@example.com", "attributes": {"name": value}}
    if not is_deleted:
        answer = client.put(f"/api/v1/contacts/{CONTACT}", json=described)
        assert answer.status_code == 202, answer.text
    path = "/api/v1/workflows/any/enrollments"
    body = {"contact_id": CONTACT}
    # Until a page has replaced the contact, its id was used by an enrollment that has ended.
    accepted = {202, 409} if is_deleted else {202}
    assert client.post(path, json=body | {"enrollment_id": "e-5"}).status_code in accepted
    given.daemon.until_lag_zero()
    assert client.post(f"{path}/e-5/end", json=body | {"reason": "exited"}).status_code == 202
    assert client.post(f"{path}/e-1/end", json={"reason": CONTACT}).status_code == 400
    secret = client.put("/api/v1/webhooks/pay").json()["secret"]
    event = given.event("webhook", "payment.completed", now, amount=5, currency="EUR")
    del event["tenantid"]
    packed, at = json.dumps(event).encode(), int(time.time())
    headers = {
        "content-type": "application/json",
        "webhook-id": "m-1",
        "webhook-timestamp": str(at),
        "webhook-signature": sign(parse_secret(secret), "m-1", at, packed),
    }
    query = {"tenant": TENANT, "provider": "pay"}
    answer = api.anonymous().post("/api/v1/events", params=query, content=packed, headers=headers)
    assert answer.status_code == 202, answer.text


def give_with_commands(given: Given, now: datetime, directory: Path) -> None:
    daemon = given.daemon
    given.values["goald send"] = value = f"secret-{uuid4()}"
    words = ("--tenant", TENANT, "--contact", CONTACT, f"tag_name={value}")
    assert daemon.run("send", "contact.tag.added", *words).returncode == 0
    file = directory / "events.jsonl"
    file.write_text(json.dumps(given.event("goald replay", "contact.tag.added", now)))
    assert daemon.run("replay", str(file)).returncode == 0
    daemon.until_lag_zero()
    dead = daemon.dead()
    assert len(dead) >= 4
    assert daemon.run("dead", "replay", dead[0].id).returncode == 0


def merge_contact(given: Given, now: datetime) -> None:
    """The run of the merged contact has achieved a goal, whose event names the contact."""
    ids = {"workflow_id": "all", "enrollment_id": "e-merged"}
    before = now - timedelta(hours=1)
    for kind, data in (
        ("workflow.enrollment.started", ids),
        ("contact.tag.added", {"tag_name": "Customer"}),
        ("contact.merged", {"into_contact_id": "survivor"}),
    ):
        event = given.event("merge", kind, before, contact_id=MERGED, **data)
        del given.values["merge"]  # it is of the other contact now
        given.send_bytes(json.dumps(event))
        given.daemon.until_lag_zero()
    given.send_bytes(json.dumps(of_another_contact(now, "contact.deleted", contact_id=MERGED)))


def test_nothing_is_left_of_a_deleted_contact(daemon: Daemon, tmp_path: Path) -> None:
    given, now = Given(daemon), datetime.now(UTC)
    with daemon.redis() as client:
        client.xgroup_create(EXITS, "engine", "0", mkstream=True)
        client.xgroup_create(NOTICES, "analytics", "0", mkstream=True)
        give_in_streams(given, now)
        daemon.until_lag_zero()
        give_executions(given)
        give_over_http(given, now)
        give_with_commands(given, now, tmp_path)
        assert {exit_.enrollment_id for exit_ in daemon.exits(TENANT)} == {"e-1", "e-2"}
        # An exit that its reader cannot process: it stays pending.
        assert client.xreadgroup("engine", "worker", {EXITS: ">"}, count=1)
        with psycopg.connect(daemon.admin_dsn, autocommit=True) as connection:
            connection.execute("ANALYZE")
        assert_found(daemon, given)
        assert any("23514" in dead.reason for dead in daemon.dead())

        merge_contact(given, now)
        given.send("deletion", "contact.deleted", datetime.now(UTC))
        daemon.until_lag_zero()
        give_in_streams(given, now, is_deleted=True)
        give_over_http(given, now, is_deleted=True)
        daemon.until_lag_zero()
        goal = {"contact_id": "survivor", "amount": 100, "currency": "EUR"}
        given.send_bytes(json.dumps(of_another_contact(now, "payment.completed", **goal)))
        daemon.until_lag_zero()
        (exit_,) = (each for each in daemon.exits(TENANT) if each.enrollment_id == "e-merged")
        assert exit_.contact_id == "survivor"
        # The last acknowledged entry of a stream stays until the next one.
        for partition in range(STREAMS):
            client.xadd(event_stream(partition), {"event": json.dumps(of_another_contact(now))})
        until_nothing_is_left(daemon, given)
        assert client.xinfo_groups(EXITS)[0]["pending"] <= 1
    assert daemon.run("audit", "verify").returncode == 0
    status = json.loads(daemon.run("status", "--json").stdout)
    assert set(status["erasures"].values()) == {0}
    assert set(status["transfers"].values()) == {0}


def until_nothing_is_left(daemon: Daemon, given: Given) -> None:
    found: list[tuple[str, str]] = []

    def nothing_is_left() -> bool:
        time.sleep(1)
        found[:] = remaining(daemon, given)
        return not found

    try:
        daemon.until("whole erasure", nothing_is_left)
    except AssertionError as error:
        raise AssertionError(f"remaining: {found}") from error


def of_another_contact(
    now: datetime, kind: str = "contact.tag.added", **data: Any
) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "source": "/crm",
        "type": kind,
        "time": now.isoformat(),
        "tenantid": TENANT,
        "data": {"contact_id": "another", "tag_name": "Customer"} | data,
    }


def assert_found(daemon: Daemon, given: Given) -> None:
    """The search works: it finds the values in tables and streams, and none in logs."""
    found = remaining(daemon, given)
    places = {place for _, place in found}
    tables = {"goald.workflow_enrollments", "pg_catalog.pg_statistic", "goald.contacts"}
    assert {*tables, "goald:dead", EXITS, NOTICES} <= places, found
    assert any(place.startswith("goald.workflow_goal_achievements") for place in places), found
    assert {"goald.workflow_executions", "goald.workflow_entries", "goald.execution_logs"} <= places
    assert not [place for place in places if "/" in place], found


def remaining(daemon: Daemon, given: Given) -> list[tuple[str, str]]:
    """The values that exist anywhere: (how it was given, place)."""
    return [
        (way, place)
        for place, text in (*tables(daemon), *keys(daemon), *logs(daemon))
        for way, value in given.values.items()
        if value in text
    ]


def tables(daemon: Daemon) -> Iterator[tuple[str, str]]:
    """Every table of every schema, with the statistics of the planner."""
    with psycopg.connect(daemon.admin_dsn, autocommit=True) as connection:
        found = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n"
            " ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'm')"
        ).fetchall()
        assert ("goald", "workflow_enrollments") in found
        for schema, table in found:
            name = sql.Identifier(schema, table)
            rows = connection.execute(sql.SQL("SELECT t::text FROM {} t").format(name)).fetchall()
            yield f"{schema}.{table}", "\n".join(text for (text,) in rows)


def keys(daemon: Daemon) -> Iterator[tuple[str, str]]:
    """Every key of Redis, and every consumer group."""
    with daemon.redis() as client:
        for key in client.scan_iter():
            yield key.decode(), f"{key.decode()} {content(client, key)}"


def content(client: "redis.Redis", key: bytes) -> str:
    read: dict[Any, Callable[[bytes], Any]] = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"stream": lambda name: (client.xrange(name), client.xinfo_groups(name)),
        b"zset": lambda name: client.zrange(name, 0, -1),
        b"set": client.smembers,
        b"list": lambda name: client.lrange(name, 0, -1),
        b"none": lambda name: None,
    }
    return str(read[client.type(key)](key))


def logs(daemon: Daemon) -> Iterator[tuple[str, str]]:
    """Every log: of the daemon and its actors, of the servers and of Ray."""
    yield "/output", daemon.printed()
    directories = (daemon.data_dir, short_directory(daemon.data_dir.resolve()))
    files = [file for each in directories for file in each.rglob("*") if file.is_file()]
    found = {file for file in files if file.suffix in (".log", ".out", ".err")}
    names = {file.name for file in found}
    assert {"api.log", "postgres.log", "redis.log", "raylet.out"} <= names, names
    for file in sorted(found):
        yield str(file), file.read_text(errors="replace")
