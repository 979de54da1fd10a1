"""The three roles and the schema, which must exist before migrations run.

Roles belong to the whole server, and their creation may need an administrator. goald_owner owns
the tables, so that the roles that read and write rows do not own them.
"""

from typing import Any

import psycopg
from psycopg import sql

from goald.domain.errors import SchemaMismatch

OWNER, API, SHARD = "goald_owner", "goald_api", "goald_shard"
ROLES = (OWNER, API, SHARD)
GRANT_OPTIONS_SINCE = 160_000
"""Since Postgres 16, the right to SET ROLE is separate from membership."""


def ensure_roles(connection: psycopg.Connection[Any]) -> None:
    """Create missing roles and the schema, and grant the login each role.

    Raises SchemaMismatch, with the SQL for an administrator, if the login lacks the rights.
    Concurrent calls are safe, in this database or in another of the server.
    """
    try:
        for role in ROLES:
            _create_role(connection, role)
            _grant_to_login(connection, role)
        connection.execute(
            sql.SQL("CREATE SCHEMA IF NOT EXISTS goald AUTHORIZATION {}").format(
                sql.Identifier(OWNER)
            )
            if not _has_schema(connection)
            else "SELECT 1"
        )
    except psycopg.errors.InsufficientPrivilege as error:
        raise SchemaMismatch(_missing_rights(connection, error)) from None


def _missing_rights(connection: psycopg.Connection[Any], error: psycopg.Error) -> str:
    """The message: the right that is missing, and the advice. If everything exists, another login
    has migrated the database."""
    login, statements = _login(connection), administrator_sql(connection)
    if _has_schema(connection) and all(_exists(connection, role) for role in ROLES):
        return (
            f"the login {login!r} may not migrate the database ({_text(error)}). Set "
            "GOALD_POSTGRES_OWNER_DSN to the login that ran the first migration. To let this login "
            f"migrate instead, ask an administrator to run this once:\n\n{statements}"
        )
    return (
        f"the login {login!r} may not prepare the database ({_text(error)}). "
        f"Ask an administrator to run this in it once, then migrate again:\n\n{statements}"
    )


def administrator_sql(connection: psycopg.Connection[Any]) -> str:
    """Return the statements that create roles and schema, for an administrator to run."""
    login = sql.Identifier(_login(connection)).as_string(connection)
    return "\n".join(
        [f"CREATE ROLE {role} {_ATTRIBUTES};" for role in ROLES if not _exists(connection, role)]
        + [f"GRANT {role} TO {login}{_options(connection)};" for role in ROLES]
        + ([] if _has_schema(connection) else [f"CREATE SCHEMA goald AUTHORIZATION {OWNER};"])
    )


_ATTRIBUTES = "NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE"


def _create_role(connection: psycopg.Connection[Any], role: str) -> None:
    if _exists(connection, role):
        return
    try:
        connection.execute(f"CREATE ROLE {role} {_ATTRIBUTES}".encode())
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        return  # created concurrently, from another database of this server


def _grant_to_login(connection: psycopg.Connection[Any], role: str) -> None:
    right = "SET" if connection.info.server_version >= GRANT_OPTIONS_SINCE else "MEMBER"
    has_right = connection.execute(
        "SELECT pg_has_role(session_user, %s, %s)", (role, right)
    ).fetchone()
    if has_right != (True,):
        connection.execute(f"GRANT {role} TO SESSION_USER{_options(connection)}".encode())


def _options(connection: psycopg.Connection[Any]) -> str:
    if connection.info.server_version >= GRANT_OPTIONS_SINCE:
        return " WITH SET TRUE, INHERIT FALSE"
    return ""


def _exists(connection: psycopg.Connection[Any], role: str) -> bool:
    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    return found.fetchone() is not None


def _has_schema(connection: psycopg.Connection[Any]) -> bool:
    return connection.execute("SELECT to_regnamespace('goald')").fetchone() != (None,)


def _login(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute("SELECT session_user::text").fetchone()
    return str(row[0]) if row else connection.info.user


def _text(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error)
