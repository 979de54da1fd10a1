"""The whole audit log, read for its verification (`goald audit verify`).

Reads as goald_owner, which may see the log of all tenants. Blocks; not for use in the daemon.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any, TypeAlias

import psycopg

from goald.domain.audit.entries import Chain, ChainEntry, ChainHead
from goald.domain.audit.log import LogChunk
from goald.domain.errors import SchemaMismatch, ServiceUnavailable
from goald.domain.times import to_us

CHUNK_ROWS = 10_000
CONNECT_SECONDS = 10

SETTINGS = (
    b"SET ROLE goald_owner",
    # Makes the planner read along the key, because a sort would read all remaining rows.
    b"SET enable_sort = off",
    b"SET jit = off",
)

LOCK = "LOCK TABLE goald.audit_log IN ACCESS SHARE MODE"
"""Taken before the snapshot, so that no partition is dropped while a chunk is read. Held for one
chunk; waits only for a drop."""

ENTRIES = """
SELECT writer, number, tenant_id, recorded_at, actor, action, subject, subject_id, workflow_id,
       before::text, after::text, hash
FROM goald.audit_log
WHERE (writer, number, recorded_at) > (%s, %s, %s)
ORDER BY writer, number, recorded_at LIMIT %s
"""

CHAINS = """
SELECT coalesce(h.writer, s.writer) AS writer, h.number, h.hash, s.number, s.hash
FROM (SELECT * FROM goald.audit_heads WHERE writer >= %(first)s AND (%(last)s::text IS NULL
      OR writer <= %(last)s)) h
FULL JOIN (SELECT * FROM goald.audit_starts WHERE writer >= %(first)s AND (%(last)s::text IS NULL
      OR writer <= %(last)s)) s USING (writer)
"""

OLDEST = """
SELECT min(to_date(right(c.relname, 7), 'YYYY_MM'))
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'goald.audit_log'::regclass AND c.relname ~ '_[0-9]{4}_[0-9]{2}$'
"""

Place: TypeAlias = tuple[str, int, datetime]
BEGINNING: Place = ("", 0, datetime.min.replace(tzinfo=UTC))


def read_chunks(dsn: str, rows: int = CHUNK_ROWS) -> Iterator[LogChunk]:
    """The log in chunks of `rows` rows, each read in a separate transaction from one snapshot.

    Commits during the iteration do no harm, because chains only grow and the head of a chain is
    read in the same snapshot as its last rows. No transaction is long enough to delay vacuuming
    or the removal of partitions. Raises SchemaMismatch if there is no log or the login may not
    read it, and ServiceUnavailable for other errors.
    """
    with _connect(dsn) as connection:
        place = BEGINNING
        while True:
            chunk, place = _read(connection, place, rows)
            yield chunk
            if chunk.is_last:
                return


def _read(connection: psycopg.Connection[Any], after: Place, rows: int) -> tuple[LogChunk, Place]:
    with connection.transaction():
        connection.execute(LOCK)
        found = connection.execute(ENTRIES, (*after, rows)).fetchall()
        is_last = len(found) < rows
        bounds = {"first": after[0], "last": None if is_last else found[-1][0]}
        chains = [
            Chain(
                writer,
                None if number is None else ChainHead(number, hash_),
                ChainHead() if start is None else ChainHead(start, start_hash),
            )
            for writer, number, hash_, start, start_hash in connection.execute(CHAINS, bounds)
        ]
        row = connection.execute(OLDEST).fetchone()
    month = row[0] if row and row[0] else date.max
    oldest = to_us(datetime(month.year, month.month, 1, tzinfo=UTC))
    entries = [
        ChainEntry(writer, number, tenant, to_us(recorded_at), *rest)
        for writer, number, tenant, recorded_at, *rest in found
    ]
    place = (found[-1][0], found[-1][1], found[-1][3]) if found else after
    return LogChunk(entries, chains, oldest, is_last), place


@contextmanager
def _connect(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    try:
        with psycopg.connect(
            dsn,
            connect_timeout=CONNECT_SECONDS,
            application_name="goald-audit",
            autocommit=True,
        ) as connection:
            for setting in SETTINGS:
                connection.execute(setting)
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield connection
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName) as error:
        raise SchemaMismatch("the database has no audit log: run `goald migrate`") from error
    except psycopg.errors.InvalidParameterValue as error:  # the role does not exist
        raise SchemaMismatch("the database is not migrated: run `goald migrate`") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise SchemaMismatch(_NO_RIGHT) from error
    except psycopg.OperationalError as error:
        raise ServiceUnavailable(f"Postgres: {str(error).strip()}") from error


_NO_RIGHT = (
    "the login may not act as goald_owner, the only role that may read the whole audit log. "
    "Set GOALD_POSTGRES_OWNER_DSN to a login that may, as for `goald migrate`"
)
