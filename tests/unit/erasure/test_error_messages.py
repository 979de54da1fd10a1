"""Messages of Postgres errors, which reach the log and dead letters, contain no values of rows."""

import asyncpg
import pytest

from goald.adapters.postgres.errors import content_error, translate

VALUE = "DE89370400440532013000"


def error_of(sqlstate: str) -> asyncpg.PostgresError:
    """An error as asyncpg creates it, with the refused row in its details."""
    fields = {
        "S": "ERROR", "C": sqlstate, "M": "new row violates a constraint",
        "D": f"Failing row contains (acme, {VALUE}).", "W": f"JSON data, line 1: {VALUE}",
        "n": "a_constraint",
    }  # fmt: skip
    error = asyncpg.PostgresError.new(fields)
    assert isinstance(error, asyncpg.PostgresError)
    assert VALUE in str(error)
    return error


@pytest.mark.parametrize("sqlstate", ["22P02", "23505", "23514"])
def test_refused_row_is_not_in_the_reason(sqlstate: str) -> None:
    refused = content_error(error_of(sqlstate))
    assert refused is not None
    assert sqlstate in str(refused)
    assert VALUE not in str(refused)


@pytest.mark.parametrize("sqlstate", ["23514", "42P01", "53100", "57P01"])
def test_unavailable_server_is_described_without_values(sqlstate: str) -> None:
    assert "new row violates a constraint" in str(translate(error_of(sqlstate)))
    assert VALUE not in str(translate(error_of(sqlstate)))
