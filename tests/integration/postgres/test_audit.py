"""The audit log records every change with its actor and both states, and limits its writers."""

import json
import threading
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from tests.support.data.audit import (
    achieve,
    add_achievements,
    add_workflow,
    committing,
    configuring,
    read_audit_log,
)
from tests.support.services.servers import Database

GOAL = str(uuid4())
SECRET = b"a secret of a provider, 32 bytes"


def add_goal(connection: psycopg.Connection[Any]) -> None:
    connection.execute(
        "INSERT INTO goald.workflow_goals (tenant_id, id, workflow_id, position, goal_type,"
        " criteria) VALUES ('acme', %s, 'w-1', 0, 'tag_added', '{\"tag_id\": \"t\"}')",
        (GOAL,),
    )


def actions(database: Database) -> list[tuple[str, str, str]]:
    return [(row["action"], row["subject"], row["subject_id"]) for row in read_audit_log(database)]


def change(database: Database, statement: str, *given: Any) -> None:
    with configuring(database) as connection:
        assert connection.execute(statement.encode(), given).rowcount == 1


# Recorded entries


def test_workflow_changes_are_recorded_with_actor_before_and_after(
    database: Database,
) -> None:
    with configuring(database, actor="ada") as connection:
        add_workflow(connection, "w-1", name="Leads")
    with configuring(database, actor="bob") as connection:
        connection.execute("UPDATE goald.workflows SET is_active = true, config_version = 2")
    with configuring(database, actor="cleo") as connection:
        connection.execute("UPDATE goald.workflows SET name = 'Buyers', version = version + 1")
    with configuring(database, actor="bob") as connection:
        connection.execute("UPDATE goald.workflows SET is_active = false")
    assert [(row["actor"], row["action"]) for row in read_audit_log(database)] == [
        ("ada", "workflow.created"),
        ("bob", "workflow.activated"),
        ("cleo", "workflow.updated"),
        ("bob", "workflow.deactivated"),
    ]
    created, activated, updated, _ = read_audit_log(database)
    assert created["before"] is None
    assert created["after"]["name"] == "Leads"
    assert (activated["before"]["is_active"], activated["after"]["is_active"]) == (False, True)
    assert (updated["before"]["name"], updated["after"]["name"]) == ("Leads", "Buyers")
    assert {row["workflow_id"] for row in read_audit_log(database)} == {"w-1"}


def test_workflow_created_active_is_recorded_in_two_entries(database: Database) -> None:
    with configuring(database) as connection:
        add_workflow(connection, "at-once", is_active=True)
        add_workflow(connection, "in-steps")
        connection.execute("UPDATE goald.workflows SET is_active = true WHERE id = 'in-steps'")
    rows = read_audit_log(database)
    in_one_step, in_steps = (
        [
            (row["action"], (row["before"] or {}).get("is_active"), row["after"]["is_active"])
            for row in rows
            if row["workflow_id"] == workflow
        ]
        for workflow in ("at-once", "in-steps")
    )
    assert in_one_step == in_steps
    assert in_one_step == [("workflow.created", None, False), ("workflow.activated", False, True)]


def test_goal_is_recorded_with_its_workflow(database: Database) -> None:
    with configuring(database) as connection:
        add_workflow(connection, "w-1")
        add_goal(connection)
    change(database, 'UPDATE goald.workflow_goals SET criteria = \'{"tag_id": "u"}\'')
    change(database, "UPDATE goald.workflow_goals SET deleted_at = now()")
    _, created, updated, deleted = read_audit_log(database)
    assert [row["action"] for row in (created, updated, deleted)] == [
        "goal.created",
        "goal.updated",
        "goal.deleted",
    ]
    assert {row["workflow_id"] for row in (created, updated, deleted)} == {"w-1"}
    assert {row["subject_id"] for row in (created, updated, deleted)} == {GOAL}
    assert updated["before"]["criteria"] == {"tag_id": "t"}
    assert updated["after"]["criteria"] == {"tag_id": "u"}
    assert deleted["before"]["criteria"] == {"tag_id": "u"}
    assert deleted["after"] is None


def test_entity_is_recorded_with_its_kind(database: Database) -> None:
    insert = "INSERT INTO goald.catalog_entities (tenant_id, kind, entity_id, name)"
    change(database, f"{insert} VALUES ('acme', 'tag', 't-1', 'Customer')")
    change(database, "UPDATE goald.catalog_entities SET name = 'Buyer'")
    change(database, "DELETE FROM goald.catalog_entities")
    assert actions(database) == [
        ("entity.created", "tag", "t-1"),
        ("entity.updated", "tag", "t-1"),
        ("entity.deleted", "tag", "t-1"),
    ]
    assert read_audit_log(database)[2]["before"]["name"] == "Buyer"


def test_webhook_secret_change_is_recorded_without_the_secret(database: Database) -> None:
    insert = "INSERT INTO goald.webhook_secrets (tenant_id, provider, secret) VALUES ('acme', "
    change(database, f"{insert}'stripe', %s)", SECRET)
    change(database, "UPDATE goald.webhook_secrets SET created_at = clock_timestamp()")
    change(database, "DELETE FROM goald.webhook_secrets")
    assert actions(database) == [
        ("webhook.created", "webhook", "stripe"),
        ("webhook.updated", "webhook", "stripe"),
        ("webhook.deleted", "webhook", "stripe"),
    ]
    for row in read_audit_log(database):
        for state in (row["before"], row["after"]):
            assert "secret" not in json.dumps(state)
            assert "key_id" not in (state or {})


def test_source_change_is_recorded_without_its_secrets_and_keys(database: Database) -> None:
    change(
        database,
        "INSERT INTO goald.sources (tenant_id, name, preset, overrides, secret_count, key_id,"
        " encrypted_secrets, key_digest) VALUES ('acme', 'pay', 'stripe', '{\"kind\": \"a\"}', 1,"
        " 'k-1', %s, sha256('key'))",
        SECRET + SECRET,
    )
    change(
        database,
        "UPDATE goald.sources SET key_digest = sha256('next'), key_created_at = clock_timestamp(),"
        " previous_key_digest = key_digest, previous_key_expires_at = clock_timestamp()",
    )
    change(
        database,
        "UPDATE goald.sources SET key_id = 'k-2', encrypted_secrets = %s",
        SECRET[::-1] + SECRET,
    )
    change(database, "DELETE FROM goald.sources")
    assert actions(database) == [
        ("source.created", "source", "pay"),
        ("source.updated", "source", "pay"),
        ("source.deleted", "source", "pay"),
    ]
    assert read_audit_log(database)[0]["after"]["overrides"] == {"kind": "a"}
    for row in read_audit_log(database):
        for state in (row["before"], row["after"]):
            assert not {"encrypted_secrets", "key_id", "key_digest", "previous_key_digest"} & set(
                state or {}
            )


def test_encryption_under_another_key_is_not_recorded(database: Database) -> None:
    change(
        database,
        "INSERT INTO goald.webhook_secrets (tenant_id, provider, key_id, encrypted_secret)"
        " VALUES ('acme', 'stripe', 'k-1', %s)",
        SECRET + SECRET,
    )
    change(
        database,
        "UPDATE goald.webhook_secrets SET key_id = 'k-2', encrypted_secret = %s",
        SECRET[::-1] + SECRET,
    )
    assert actions(database) == [("webhook.created", "webhook", "stripe")]


def test_writing_the_same_values_records_no_change(database: Database) -> None:
    with configuring(database) as connection:
        add_workflow(connection, "w-1")
    change(database, "UPDATE goald.workflows SET config_version = 7, updated_at = now()")
    assert actions(database) == [("workflow.created", "workflow", "w-1")]


def test_change_that_is_rolled_back_is_not_recorded(database: Database) -> None:
    with configuring(database) as connection:
        add_workflow(connection, "w-1")
        connection.rollback()
    with configuring(database) as connection:
        add_workflow(connection, "w-2")
    assert [(row["number"], row["subject_id"]) for row in read_audit_log(database)] == [(1, "w-2")]


def test_without_an_actor_the_login_is_recorded(database: Database) -> None:
    with configuring(database, actor="") as connection:
        add_workflow(connection, "w-1")
    assert read_audit_log(database)[0]["actor"] == "goald"


def test_every_achievement_of_a_commit_is_recorded(database: Database) -> None:
    achieve(database, "e-1", "e-2", "e-3")
    rows = read_audit_log(database)
    assert [(row["writer"], row["number"], row["subject_id"]) for row in rows] == [
        ("slots/0", 1, "e-1"),
        ("slots/0", 2, "e-2"),
        ("slots/0", 3, "e-3"),
    ]
    assert {(row["actor"], row["action"], row["tenant_id"]) for row in rows} == {
        ("goald", "goal.achieved", "acme")
    }
    after = rows[0]["after"]
    assert after["achieved_at"] == "2026-01-02T03:04:05.678901Z"
    assert after["goal_type"] == "tag_added"
    assert set(after) == {"achievement_id", "goal_id", "goal_type", "achieved_at"}, "no contact"


def test_chain_of_a_shard_continues_when_there_are_more_shards(database: Database) -> None:
    achieve(database, "e-1")
    with committing(database, slots="0-63") as connection:
        add_achievements(connection, "e-2")
    with committing(database, slots="64-127") as connection:
        add_achievements(connection, "e-3", slot=70)
    assert [(row["writer"], row["number"]) for row in read_audit_log(database)] == [
        ("slots/0", 1),
        ("slots/0", 2),
        ("slots/64", 1),
    ]


# Concurrent writers


def test_concurrent_writers_of_one_chain_neither_fork_it_nor_leave_a_gap(
    database: Database,
) -> None:
    together = threading.Barrier(4)

    def configure(name: str) -> None:
        together.wait(30)
        for i in range(15):
            with configuring(database) as connection:
                add_workflow(connection, f"{name}-{i}")

    run_together([lambda name=name: configure(name) for name in "abcd"])
    assert [row["number"] for row in read_audit_log(database)] == list(range(1, 61))


def test_changes_of_the_same_rows_in_different_orders_do_not_deadlock(
    database: Database,
) -> None:
    """The first has changed x and waits for y, which the second has changed. The second must not
    wait for the audit chain, to which both append."""
    with configuring(database) as connection:
        add_workflow(connection, "x")
        add_workflow(connection, "y")
    update = "UPDATE goald.workflows SET name = %s WHERE id = %s"
    has_x, wants_y = threading.Event(), threading.Event()

    def first() -> None:
        with configuring(database) as connection:
            connection.execute(update, ("first", "x"))
            has_x.set()
            assert wants_y.wait(30)
            connection.execute(update, ("first", "y"))

    def second() -> None:
        assert has_x.wait(30)
        with configuring(database) as connection:
            connection.execute(update, ("second", "y"))
            wants_y.set()

    run_together([first, second])
    assert [(row["action"], row["after"]["name"]) for row in read_audit_log(database)[2:]] == [
        ("workflow.updated", "second"),
        ("workflow.updated", "first"),
        ("workflow.updated", "first"),
    ]


def run_together(works: list[Any]) -> None:
    errors: list[BaseException] = []

    def run(work: Any) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert not any(thread.is_alive() for thread in threads)


# Access


@pytest.mark.parametrize("role", ["goald_api", "goald_shard"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE goald.audit_log SET actor = 'intruder'",
        "DELETE FROM goald.audit_log",
        "TRUNCATE goald.audit_log",
        "DELETE FROM goald.audit_heads",
        "TRUNCATE goald.audit_heads",
        "UPDATE goald.audit_heads SET writer = 'x'",
        "SELECT * FROM goald.audit_starts",
        "INSERT INTO goald.audit_starts VALUES ('slots/0', 5, '')",
        "UPDATE goald.audit_starts SET number = 5",
        "ALTER TABLE goald.workflows DISABLE TRIGGER audit",
    ],
)
def test_daemons_roles_may_append_to_the_log_and_nothing_else(
    database: Database, role: str, statement: str
) -> None:
    achieve(database, "e-1")
    with configuring(database) as connection:
        add_workflow(connection, "w-1")
    before = read_audit_log(database)
    with psycopg.connect(database.dsn) as connection:
        connection.execute(f"SET ROLE {role}".encode())
        for name, value in (("tenant", "acme"), ("slots", "0-127")):
            connection.execute("SELECT set_config(%s, %s, true)", (f"goald.{name}", value))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode())
    assert read_audit_log(database) == before


def test_shard_role_cannot_read_the_log(database: Database) -> None:
    with (
        committing(database) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT * FROM goald.audit_log")


@pytest.mark.parametrize(("tenant", "writer"), [("other", "tenant/other"), ("acme", "slots/0")])
def test_api_cannot_append_to_another_chain(database: Database, tenant: str, writer: str) -> None:
    with (
        configuring(database) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(
            "INSERT INTO goald.audit_log (writer, number, tenant_id, recorded_at, actor, action,"
            " subject, subject_id, hash) VALUES (%s, 1, %s, now(), 'x', 'x', 'x', 'x', '')",
            (writer, tenant),
        )


def test_tenant_sees_only_its_own_entries(database: Database) -> None:
    achieve(database, "ours")
    achieve(database, "theirs", tenant="other")
    with configuring(database, tenant="other") as connection:
        add_workflow(connection, "w-theirs")
    with configuring(database) as connection:
        seen = connection.execute("SELECT subject_id FROM goald.audit_log").fetchall()
    assert seen == [("ours",)]
