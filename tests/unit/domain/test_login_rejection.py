"""The reader of an error learns whether user, password, database or permission is wrong."""

import pytest

from goald.domain.connection_failure import explained
from goald.domain.errors import ServiceUnavailable, SettingsError
from goald.domain.login_rejection import login_rejection


class PostgresError(Exception):
    """As asyncpg names it."""

    def __init__(self, text: str, sqlstate: str) -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


class OperationalError(Exception):
    """As psycopg names it; without a SQLSTATE if libpq could not connect."""

    sqlstate = None


class AuthenticationError(Exception):
    """As redis-py names it."""


class NoPermissionError(Exception):
    """As redis-py names it."""


def wrapped(error: BaseException) -> Exception:
    outer = ServiceUnavailable(f"a text of goald: {error}")
    outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    ("error", "cause", "advice"),
    [
        (PostgresError('password authentication failed for user "u"', "28P01"),
         'password authentication failed for user "u"', "user and password in GOALD_X"),
        (PostgresError('role "u" does not exist', "28000"),
         'role "u" does not exist', "the user in GOALD_X"),
        (PostgresError('database "d" does not exist', "3D000"),
         'database "d" does not exist', "Create the database, or correct its name in GOALD_X"),
        (OperationalError('connection to server failed: FATAL:  password authentication failed '
                          'for user "u"\nmore'),
         'password authentication failed for user "u"', "user and password in GOALD_X"),
        (OperationalError('FATAL:  role "u" is not permitted to log in'),
         'role "u" is not permitted to log in', "the user in GOALD_X"),
        (OperationalError('FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "u"'),
         'no pg_hba.conf entry for host "10.0.0.1", user "u"', "pg_hba.conf"),
        (OperationalError('FATAL:  database "d" does not exist'),
         'database "d" does not exist', "its name in GOALD_X"),
        (OperationalError("failed: fe_sendauth: no password supplied"),
         "it asks for a password, and the address contains none", "Add the password to GOALD_X"),
        (OperationalError("::1 failed: Connection refused\n127.0.0.1 failed: FATAL:  password "
                          'authentication failed for user "u"'),
         'password authentication failed for user "u"', "user and password in GOALD_X"),
        (AuthenticationError("Authentication required."),
         "it asks for a password, and the address contains none", "Add the password to GOALD_X"),
        (AuthenticationError("HELLO must be called with the client already authenticated"),
         "it asks for a password, and the address contains none", "Add the password to GOALD_X"),
        (AuthenticationError("invalid username-password pair or user is disabled."),
         "the password is wrong, or the user does not exist or is disabled",
         "user and password in GOALD_X"),
        (AuthenticationError("AUTH <password> called without any password configured for the "
                             "default user. Are you sure your configuration is correct?"),
         "its default user has no password, and the address contains one",
         "Remove the password from GOALD_X"),
        (RuntimeError("NOPERM User u has no permissions to run the 'xadd' command"),
         "User u has no permissions to run the 'xadd' command", "ACL SETUSER"),
        (NoPermissionError("User u has no permissions to run the 'xadd' command"),
         "User u has no permissions to run the 'xadd' command", "ACL SETUSER"),
    ],
)  # fmt: skip
def test_a_rejected_login_says_what_is_wrong_and_what_to_do(
    error: Exception, cause: str, advice: str
) -> None:
    for each in (error, wrapped(error), wrapped(wrapped(error))):
        found = login_rejection(each)
        assert found is not None
        assert found.cause == cause
        assert advice in found.advice_for("GOALD_X")


@pytest.mark.parametrize(
    "error",
    [
        PostgresError("sorry, too many clients already", "53300"),
        OperationalError("FATAL:  the database system is starting up"),
        OperationalError("failed: Connection refused"),
        RuntimeError("READONLY You can't write against a read only replica."),
        ConnectionRefusedError(111, "refused"),
    ],
)
def test_another_error_is_no_rejected_login(error: Exception) -> None:
    assert login_rejection(wrapped(error)) is None


def test_a_rejected_login_is_an_error_of_the_settings_and_shows_no_password() -> None:
    url = "postgresql://u:secret@db.internal/d"
    with (
        pytest.raises(SettingsError) as raised,
        explained("Postgres", url, "GOALD_POSTGRES_DSN"),
    ):
        raise wrapped(PostgresError('database "d" does not exist', "3D000"))
    assert str(raised.value) == (
        'Postgres at db.internal:5432 rejects the login: database "d" does not exist. '
        "Create the database, or correct its name in GOALD_POSTGRES_DSN."
    )


def test_an_unreachable_server_is_an_error_to_retry() -> None:
    with (
        pytest.raises(ServiceUnavailable, match="Cannot connect to Redis at h:1: connection ref"),
        explained("Redis", "redis://h:1", "GOALD_REDIS_URL"),
    ):
        raise wrapped(ConnectionRefusedError(111, "x"))


def test_an_error_of_another_kind_is_unchanged() -> None:
    error = KeyError("x")
    with (
        pytest.raises(KeyError) as raised,
        explained("Redis", "redis://h:1", "GOALD_REDIS_URL"),
    ):
        raise error
    assert raised.value is error
