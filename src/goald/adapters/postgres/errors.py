"""What an error of Postgres means to goald: by its type and SQLSTATE, never by its text."""

import asyncpg

from goald.domain.errors import ContentRefused, GoaldError, SchemaMismatch, ServiceUnavailable

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


def refusal(error: BaseException | None) -> ContentRefused | None:
    """ContentRefused where an error of a commit is about what is in a row (D4): SQLSTATE classes
    22 and 23, which no repetition mends. To be asked of a commit's own statements alone: in
    other places the same codes mean other things.

    None for every other error; and where it is not the row's fault: where there is no month that
    it belongs to, which is a check without a name, or where the server gives a number again.
    """
    if not isinstance(error, asyncpg.PostgresError) or error.sqlstate is None:
        return None
    if isinstance(error, asyncpg.CheckViolationError) and error.constraint_name is None:
        return None
    if error.constraint_name == "outbox_pkey":
        return None
    if error.sqlstate[:2] not in ("22", "23"):
        return None
    return ContentRefused(f"Postgres refuses it: {error.sqlstate}: {error}")
