"""The guards of migrations while a previous release works, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

LOCKS = "tests/integration/postgres/locks/test_migration_locks.py"
SCHEMA = "tests/integration/postgres/test_schema.py"
_MIGRATIONS = "src/goald/migrations/__init__.py"
_SCRIPT = "src/goald/migrations/script.py"

MIGRATION_GUARDS = (
    Guard(
        "migrations: others do not wait long for the locks of a revision",
        "D11",
        (
            Edit(
                _SCRIPT,
                "    connection.execute(f\"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'\")\n",
                "",
            ),
        ),
        (LOCKS,),
    ),
    Guard(
        "migrations: a revision that did not get its locks is tried again",
        "D11",
        (
            Edit(
                _MIGRATIONS,
                "            if not isinstance(error.__cause__, _LOCKED):\n                raise\n",
                "            raise\n",
            ),
        ),
        (LOCKS,),
    ),
    Guard(
        "migrations: a process that waits for another one blocks no build of an index",
        "D11",
        (
            Edit(
                _MIGRATIONS,
                '_TRY_LOCK = "SELECT pg_try_advisory_lock(%s)"',
                '_TRY_LOCK = "SELECT pg_advisory_lock(%s) IS NOT NULL"',
            ),
        ),
        (SCHEMA,),
    ),
    Guard(
        "migrations: an index that was left invalid is built again",
        "D11",
        (
            Edit(
                _SCRIPT,
                "        for statement in filter(str.strip, ",
                "        for statement in filter(lambda each: 'DROP' not in each, ",
            ),
        ),
        (LOCKS,),
    ),
    Guard(
        "migrations: missed events count once, and while earlier ones are counted",
        "D11, E19",
        (
            Edit(
                "src/goald/migrations/sql/0037_usage_of_earlier_events.sql",
                "    SELECT c.tenant_id, c.slot, -c.bytes FROM",
                "    SELECT c.tenant_id, c.slot, 0 FROM",
            ),
        ),
        (LOCKS,),
    ),
)
