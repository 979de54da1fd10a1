"""What an error of Postgres means to goald: by its type and SQLSTATE, never by its text."""

import asyncpg

from goald.domain.errors import GoaldError, SchemaMismatch, ServiceUnavailable

FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError,
            asyncpg.InternalClientError)  # fmt: skip
"""All that a call of asyncpg raises when something is wrong with the server or the way to it."""

_NOT_MIGRATED = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidParameterValueError,  # at connecting: there is no such role
)


def translate(error: BaseException) -> GoaldError:
    """SchemaMismatch where tables, rights or roles are missing; else ServiceUnavailable: the
    server is gone, full, read-only, shutting down or overloaded, and the same call may
    succeed later (D6)."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, _NOT_MIGRATED):
        return SchemaMismatch(f"Postgres: {text}: run `goald migrate`")
    return ServiceUnavailable(f"Postgres: {text}")
