"""Statements for every kind of connection: sessions, backends, and the server's identity."""

from goald.domain.slots import SlotRange


def begin_for(slots: SlotRange, mode: str = "") -> str:
    """The statements that begin a transaction, in one round trip.

    The row policies of goald_shard show the transaction the rows of these slots only. `mode`:
    transaction modes, such as READ_SNAPSHOT.
    """
    return f"BEGIN {mode}; SELECT set_config('goald.slots', '{slots}', true)"


READ_SNAPSHOT = "ISOLATION LEVEL REPEATABLE READ READ ONLY"
"""For begin_for: every statement of the transaction reads the same snapshot."""

ACT_AS_LOGIN = "SET LOCAL ROLE NONE"
"""Acts as the login role until the transaction ends. Only the login role may end its backends; the
roles that it assumes may not."""

END_BACKENDS = """
SELECT pg_terminate_backend(pid, $3) FROM pg_stat_activity
WHERE pid = ANY ($1::int[]) AND pid <> pg_backend_pid()
  AND application_name = $2 AND usename = session_user
"""
"""Ends these backends and waits up to $3 ms for each. The application name and the login
protect a process that was given the same pid since."""

SERVER_IDENTITY = """
SELECT system_identifier::text AS system,
       substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) AS timeline,
       (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::int8 AS flushed,
       goald.us(clock_timestamp()) AS now
FROM pg_control_system()
"""
"""The server's system identifier, its timeline, and how much WAL it has flushed. Fails on a
standby, which takes no commits. (The control file is not used for the timeline: for a while
after a failover it names the old one.)"""
