"""Migrations, roles and row security, on a real Postgres."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.services.logins import create_login
from tests.support.services.servers import Database

from goald import migrations
from goald.domain.errors import SchemaMismatch, ServiceUnavailable

TENANTS_TABLES = (
    "workflows",
    "workflow_goals",
    "workflow_definitions",
    "catalog_entities",
    "workflow_enrollments",
    "workflow_goal_achievements",
    "outbox",
    "forwards",
    "transfers",
)


@contextmanager
def acting_as(dsn: str, role: str, **settings: str) -> Iterator[psycopg.Connection[Any]]:
    """Yields a connection in a transaction under a role, which is rolled back."""
    with psycopg.connect(dsn) as connection:
        connection.execute(f"SET ROLE {role}".encode())
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, true)", (f"goald.{name}", value))
        yield connection
        connection.rollback()


def described(dsn: str) -> list[tuple[Any, ...]]:
    """Columns, constraints, indexes, policies, functions and grants of the schema."""
    queries = (
        "SELECT 'column', table_name, ordinal_position::text, column_name, data_type, is_nullable,"
        " column_default FROM information_schema.columns WHERE table_schema = 'goald'",
        "SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
        " FROM pg_constraint WHERE connamespace = 'goald'::regnamespace",
        "SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'goald'",
        "SELECT 'policy', tablename, policyname, roles::text, cmd, qual, with_check"
        " FROM pg_policies WHERE schemaname = 'goald'",
        "SELECT 'function', proname, pg_get_functiondef(oid), proacl::text FROM pg_proc"
        " WHERE pronamespace = 'goald'::regnamespace AND prokind = 'f'",
        "SELECT 'aggregate', aggfnoid::text, aggtransfn::text, aggtranstype::regtype::text"
        " FROM pg_aggregate JOIN pg_proc ON pg_proc.oid = aggfnoid"
        " WHERE pronamespace = 'goald'::regnamespace",
        "SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) FROM pg_trigger"
        " WHERE NOT tgisinternal AND tgrelid IN"
        " (SELECT oid FROM pg_class WHERE relnamespace = 'goald'::regnamespace)",
        "SELECT 'relation', relname, relkind::text, relowner::regrole::text, relacl::text,"
        " relrowsecurity::text, relforcerowsecurity::text, reloptions::text FROM pg_class"
        " WHERE relnamespace = 'goald'::regnamespace",
        "SELECT 'column grant', attrelid::regclass::text, attname, attacl::text FROM pg_attribute"
        " WHERE attacl IS NOT NULL AND attrelid IN"
        " (SELECT oid FROM pg_class WHERE relnamespace = 'goald'::regnamespace)",
    )
    with psycopg.connect(dsn) as connection:
        return sorted(
            (row for query in queries for row in connection.execute(query.encode())), key=repr
        )


# Migrations


def test_migrating_one_by_one_equals_migrating_in_one_run(
    empty_database: Database, database: Database
) -> None:
    applied = [
        done
        for item in migrations.revisions()
        for done in migrations.upgrade(empty_database.dsn, item)
    ]
    assert applied == migrations.revisions()
    assert described(empty_database.admin_dsn) == described(database.admin_dsn)


def test_migrating_again_does_nothing(empty_database: Database) -> None:
    assert migrations.current(empty_database.dsn) is None
    assert migrations.upgrade(empty_database.dsn) == migrations.revisions()
    assert migrations.upgrade(empty_database.dsn) == []
    assert migrations.current(empty_database.dsn) == migrations.head()


def test_two_concurrent_migrations_apply_each_revision_once(empty_database: Database) -> None:
    applied: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: applied.append(migrations.upgrade(empty_database.dsn)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(applied) == [[], [], migrations.revisions()]


def test_check_recommends_the_migration(empty_database: Database) -> None:
    with pytest.raises(SchemaMismatch, match="run `goald migrate`"):
        migrations.check(empty_database.dsn)
    migrations.upgrade(empty_database.dsn, migrations.revisions()[0])
    with pytest.raises(SchemaMismatch, match=f"needs {migrations.head()}: run `goald migrate`"):
        migrations.check(empty_database.dsn)
    migrations.upgrade(empty_database.dsn)
    migrations.check(empty_database.dsn)


def test_previous_release_runs_on_the_schema_of_the_next(database: Database) -> None:
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute("UPDATE goald.alembic_version SET version_num = '9999'")
    migrations.check(database.dsn)
    assert migrations.upgrade(database.dsn) == []


def test_login_without_rights_gets_the_statements_for_an_administrator(
    empty_database: Database,
) -> None:
    login = "schema_test_no_rights"
    with psycopg.connect(empty_database.admin_dsn, autocommit=True) as admin:
        admin.execute(f"DROP ROLE IF EXISTS {login}".encode())
        dsn = create_login(empty_database.admin_dsn, login)
        try:
            with pytest.raises(SchemaMismatch, match="Ask an administrator to run this") as refused:
                migrations.upgrade(dsn)
            admin.execute(str(refused.value).split("\n\n", 1)[1].encode())
            assert migrations.upgrade(dsn) == migrations.revisions()
        finally:
            admin.execute("DROP SCHEMA IF EXISTS goald CASCADE")
            admin.execute(f"DROP OWNED BY {login}".encode())
            admin.execute(f"DROP ROLE {login}".encode())


def test_login_of_the_daemon_is_referred_to_the_login_that_migrated(database: Database) -> None:
    """With one login for each role, the daemon's may not migrate."""
    login = "schema_test_shard_only"
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        dsn = create_login(database.admin_dsn, login, "goald_shard")
        try:
            with pytest.raises(SchemaMismatch, match="Set GOALD_POSTGRES_OWNER_DSN") as refused:
                migrations.upgrade(dsn)
            assert "CREATE" not in str(refused.value)
            admin.execute(str(refused.value).split("\n\n", 1)[1].encode())
            assert migrations.upgrade(dsn) == []
        finally:
            admin.execute(f"DROP ROLE {login}".encode())


def test_login_that_may_not_act_as_a_role_gets_the_missing_grant(
    database: Database,
) -> None:
    login = "goald_without_grant"
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        dsn = create_login(database.admin_dsn, login, "goald_api")
        try:
            migrations.check(dsn, "goald_api")
            with pytest.raises(SchemaMismatch, match=f"GRANT goald_shard TO {login}"):
                migrations.check(dsn, "goald_shard")
        finally:
            admin.execute(f"DROP ROLE {login}".encode())


def test_unreachable_server_is_unavailable() -> None:
    with pytest.raises(ServiceUnavailable, match="Postgres"):
        migrations.check("postgresql:///goald?host=/nowhere")


def test_every_revision_has_its_sql_file() -> None:
    folder = Path(migrations.__path__[0])
    revisions = {path.stem for path in (folder / "versions").glob("[0-9]*.py")}
    assert revisions
    assert {path.stem for path in (folder / "sql").rglob("*.sql")} == revisions


# Roles and rows


def fill(admin_dsn: str) -> None:
    """Two tenants with a row in each table, in slots 1 and 200."""
    with psycopg.connect(admin_dsn) as admin:
        for tenant, slot in (("acme", 1), ("other", 200)):
            row = {"tenant": tenant, "slot": slot}
            for statement in (
                "INSERT INTO goald.workflows (tenant_id, id, name, config_version)"
                " VALUES (%(tenant)s, 'w', 'W', 1)",
                "INSERT INTO goald.workflow_goals"
                " (tenant_id, id, workflow_id, position, goal_type, criteria) VALUES"
                " (%(tenant)s, gen_random_uuid(), 'w', 0, 'tag_added', '{\"tag_id\": \"t\"}')",
                "INSERT INTO goald.workflow_definitions"
                " (tenant_id, workflow_id, version, document, digest, revision)"
                " VALUES (%(tenant)s, 'w', 1, '{}', sha256(''), 1)",
                "INSERT INTO goald.catalog_entities VALUES (%(tenant)s, 'tag', 't', 'T')",
                "INSERT INTO goald.workflow_enrollments"
                " (tenant_id, id, contact_id, workflow_id, slot, status, enrolled_at)"
                " VALUES (%(tenant)s, 'e', 'ann', 'w', %(slot)s, 'active', now())",
                "INSERT INTO goald.workflow_goal_achievements"
                " (tenant_id, id, workflow_id, workflow_enrollment_id, contact_id, goal_config_id,"
                " goal_type, slot, achieved_at, trigger_event, metadata) VALUES (%(tenant)s,"
                " gen_random_uuid(), 'w', 'e', 'ann', gen_random_uuid(), 'tag_added', %(slot)s,"
                " now(), '{}', '{}')",
                "INSERT INTO goald.outbox (tenant_id, slot, message_id, stream, payload)"
                " VALUES (%(tenant)s, %(slot)s, 'm', 'exits', '{}')",
                "INSERT INTO goald.forwards (tenant_id, key, slot, into_contact_id, merged_at)"
                " VALUES (%(tenant)s, gen_random_uuid(), %(slot)s, 'bea', now())",
                "INSERT INTO goald.transfers (id, tenant_id, contact_id, slot, into_contact_id,"
                " into_slot, merged_at, notified_at) VALUES (gen_random_uuid(), %(tenant)s, 'ann',"
                " %(slot)s, 'bea', %(slot)s, now(), now())",
            ):
                admin.execute(statement, row)


def test_every_table_forces_row_security_and_no_role_passes_it(database: Database) -> None:
    with psycopg.connect(database.admin_dsn) as admin:
        open_tables = admin.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'goald'::regnamespace"
            " AND relkind IN ('r', 'p') AND relname <> 'alembic_version'"
            " AND NOT (relrowsecurity AND relforcerowsecurity)"
        ).fetchall()
        strong = admin.execute(
            "SELECT rolname FROM pg_roles"
            " WHERE rolname IN ('goald_owner', 'goald_api', 'goald_shard')"
            " AND (rolsuper OR rolbypassrls OR rolcanlogin)"
        ).fetchall()
    assert open_tables == []
    assert strong == []


@pytest.mark.parametrize("table", TENANTS_TABLES)
def test_owner_sees_no_rows_of_tenants(database: Database, table: str) -> None:
    fill(database.admin_dsn)
    with acting_as(database.dsn, "goald_owner") as owner:
        assert owner.execute(f"SELECT * FROM goald.{table}".encode()).fetchall() == []


@pytest.mark.parametrize(
    "table", [name for name in TENANTS_TABLES if name not in ("outbox", "transfers")]
)
def test_api_sees_only_its_tenant_and_nothing_without_one(database: Database, table: str) -> None:
    fill(database.admin_dsn)
    query = f"SELECT tenant_id FROM goald.{table}".encode()
    with acting_as(database.dsn, "goald_api", tenant="acme") as api:
        assert api.execute(query).fetchall() == [("acme",)]
    with acting_as(database.dsn, "goald_api") as api:
        assert api.execute(query).fetchall() == []
    with acting_as(database.dsn, "goald_api", tenant="") as api:
        assert api.execute(query).fetchall() == []


@pytest.mark.parametrize("table", ["workflow_enrollments", "workflow_goal_achievements", "outbox"])
def test_shard_role_sees_only_its_slots(database: Database, table: str) -> None:
    fill(database.admin_dsn)
    query = f"SELECT slot FROM goald.{table}".encode()
    with acting_as(database.dsn, "goald_shard", slots="0-127") as engine:
        assert engine.execute(query).fetchall() == [(1,)]


def test_shard_role_ends_only_the_transfers_to_its_slots(database: Database) -> None:
    """It reads all: a merge follows the forwards and the transfers of contacts in other slots."""
    fill(database.admin_dsn)
    with acting_as(database.dsn, "goald_shard", slots="0-127") as engine:
        for table in ("forwards", "transfers"):
            rows = engine.execute(f"SELECT slot FROM goald.{table} ORDER BY slot".encode())
            assert rows.fetchall() == [(1,), (200,)]
        changes = ("UPDATE goald.transfers SET adopted_at = now()", "DELETE FROM goald.transfers")
        assert [engine.execute(change.encode()).rowcount for change in changes] == [1, 1]


@pytest.mark.parametrize(
    "table",
    [name for name in TENANTS_TABLES if name not in ("catalog_entities", "workflow_definitions")],
)
@pytest.mark.parametrize("slots", [None, "", "x", "1-"])
def test_shard_role_without_slots_raises_an_error(
    database: Database, table: str, slots: str | None
) -> None:
    fill(database.admin_dsn)
    settings = {} if slots is None else {"slots": slots}
    with (
        acting_as(database.dsn, "goald_shard", **settings) as engine,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match=r"goald\.slots is not set"),
    ):
        engine.execute(f"SELECT * FROM goald.{table}".encode())


@pytest.mark.parametrize(
    ("role", "settings", "statement"),
    [
        ("goald_shard", {"slots": "0-127"}, "DELETE FROM goald.workflow_enrollments"),
        ("goald_shard", {"slots": "0-127"}, "DELETE FROM goald.workflow_goal_achievements"),
        (
            "goald_shard",
            {"slots": "0-127"},
            "UPDATE goald.workflow_enrollments SET workflow_id='b'",
        ),
        ("goald_shard", {"slots": "0-127"}, "UPDATE goald.workflows SET is_active = true"),
        ("goald_shard", {"slots": "0-127"}, "SELECT * FROM goald.catalog_entities"),
        (
            "goald_shard",
            {"slots": "0-127"},
            "INSERT INTO goald.outbox (tenant_id, slot, message_id, stream, payload)"
            " VALUES ('acme', 200, 'm', 's', '{}')",
        ),
        ("goald_shard", {"slots": "0-127"}, "DELETE FROM goald.forwards"),
        ("goald_shard", {"slots": "0-127"}, "UPDATE goald.forwards SET tenant_id = 'other'"),
        (
            "goald_shard",
            {"slots": "0-127"},
            "INSERT INTO goald.forwards (tenant_id, key, slot, into_contact_id, merged_at)"
            " VALUES ('acme', gen_random_uuid(), 200, 'bea', now())",
        ),
        ("goald_shard", {"slots": "0-127"}, "UPDATE goald.transfers SET contact_id = 'bob'"),
        (
            "goald_shard",
            {"slots": "0-127"},
            "INSERT INTO goald.transfers (id, tenant_id, contact_id, slot, into_contact_id,"
            " into_slot, merged_at, notified_at)"
            " VALUES (gen_random_uuid(), 'acme', 'ann', 200, 'bea', 1, now(), now())",
        ),
        ("goald_shard", {"slots": "0-127"}, "UPDATE goald.forward_secret SET secret = 'x'"),
        ("goald_api", {"tenant": "acme"}, "SELECT * FROM goald.transfers"),
        ("goald_api", {"tenant": "acme"}, "UPDATE goald.forwards SET into_contact_id = NULL"),
        ("goald_api", {"tenant": "acme"}, "UPDATE goald.forward_secret SET secret = 'x'"),
        ("goald_api", {"tenant": "acme"}, "SELECT * FROM goald.outbox"),
        ("goald_api", {"tenant": "acme"}, "UPDATE goald.workflow_enrollments SET status='exited'"),
        ("goald_api", {"tenant": "acme"}, "DELETE FROM goald.workflow_goals"),
        ("goald_api", {"tenant": "acme"}, "UPDATE goald.workflows SET tenant_id = 'other'"),
        ("goald_api", {"tenant": "acme"}, "SELECT goald.make_achievement_months(1)"),
        ("goald_api", {"tenant": "acme"}, "DELETE FROM goald.leases"),
        (
            "goald_api",
            {"tenant": "acme"},
            "INSERT INTO goald.outbox (tenant_id, slot, message_id, stream, payload)"
            " VALUES ('other', 1, 'm', 's', '{}')",
        ),
    ],
)
def test_roles_have_only_the_privileges_that_they_need(
    database: Database, role: str, settings: dict[str, str], statement: str
) -> None:
    fill(database.admin_dsn)
    with (
        acting_as(database.dsn, role, **settings) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement.encode())


@pytest.mark.parametrize("table", ["workflow_goal_achievements", "audit_log", "execution_logs"])
def test_partitions_cannot_be_read_directly(database: Database, table: str) -> None:
    with psycopg.connect(database.admin_dsn) as admin:
        names = admin.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass",
            (f"goald.{table}",),
        ).fetchall()
    assert len(names) == 5  # last month, this one, three ahead
    for role in ("goald_api", "goald_shard"):
        for (name,) in names:
            with (
                acting_as(database.dsn, role, slots="0-255", tenant="acme") as connection,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                connection.execute(f"SELECT * FROM {name}".encode())


def test_months_are_created_once(database: Database) -> None:
    with acting_as(database.dsn, "goald_shard") as engine:
        assert engine.execute("SELECT goald.make_achievement_months(3)").fetchone() == (0,)
        assert engine.execute("SELECT goald.make_achievement_months(5)").fetchone() == (6,)
        assert engine.execute("SELECT goald.make_achievement_months(5)").fetchone() == (0,)


@pytest.mark.parametrize(
    "us",
    [
        0,
        1,
        -1,
        1_767_225_600_123_457,
        9_007_199_254_740_991,
        -62_135_596_799_999_999,
        253_402_300_799_999_999,
    ],
)
def test_times_are_exact_to_the_microsecond(database: Database, us: int) -> None:
    with acting_as(database.dsn, "goald_shard") as engine:
        assert engine.execute("SELECT goald.us(goald.at(%s))", (us,)).fetchone() == (us,)
