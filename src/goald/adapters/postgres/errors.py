"""Maps errors of Postgres to errors of goald, by type and SQLSTATE, never by text."""

import asyncpg

from goald.domain.errors import ContentRefused, GoaldError, SchemaMismatch, ServiceUnavailable

FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError,
            asyncpg.InternalClientError)  # fmt: skip
"""The exceptions that asyncpg raises if the server or the connection to it fails."""

_NOT_MIGRATED = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.InvalidSchemaNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InvalidParameterValueError,  # while connecting: the role does not exist
)


def translate(error: BaseException) -> GoaldError:
    """SchemaMismatch if tables, privileges or roles are missing; otherwise ServiceUnavailable:
    the server is unreachable, full, read-only, shutting down or overloaded (D6)."""
    text = _text(error) or type(error).__name__
    if isinstance(error, _NOT_MIGRATED):
        return SchemaMismatch(f"Postgres: {text}: run `goald migrate`")
    return ServiceUnavailable(f"Postgres: {text}")


def content_error(error: BaseException | None) -> ContentRefused | None:
    """ContentRefused if an error of a commit is caused by the content of a row (D4): SQLSTATE
    classes 22 and 23. Call it for errors of a commit's statements only; elsewhere the same codes
    have other causes.

    None for every other error, and for two that no row causes: a missing partition, which is a
    check violation without a constraint name, and a duplicate outbox number.
    """
    if not isinstance(error, asyncpg.PostgresError) or error.sqlstate is None:
        return None
    if isinstance(error, asyncpg.CheckViolationError) and error.constraint_name is None:
        return None
    if error.constraint_name == "outbox_pkey":
        return None
    if error.sqlstate[:2] not in ("22", "23"):
        return None
    return ContentRefused(f"Postgres refuses it: {error.sqlstate}: {_text(error)}")


def _text(error: BaseException) -> str:
    """The message without its details, which contain values of rows: they must not be logged."""
    if isinstance(error, asyncpg.PostgresError) and error.args:
        return str(error.args[0]).strip()
    return str(error).strip()
