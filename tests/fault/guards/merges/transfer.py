"""The guards of transfers (E21), and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

MERGES = "tests/contract/shard_store/test_shard_store_merges.py"
TRANSFERS = "tests/contract/shard_store/test_shard_store_transfers.py"
FLOW = "tests/unit/pipeline/shard/test_transfers.py"
ENTRIES = "tests/contract/executions/test_execution_contacts.py"
LIVES = "tests/contract/shard_store/test_shard_store_deletions_of_merged.py"
_FLOW = "src/goald/pipeline/shard/transfers.py"
_CALLS = "src/goald/pipeline/shard/adoption.py"
_TRANSFERS = "src/goald/adapters/postgres/shard/merging/transfers.py"

TRANSFER_GUARDS = (
    Guard(
        "merges: a shard moves enrollments only under its lease",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/store.py",
                "                await require(connection, statements.HOLD_LEASE, lease)\n"
                "                yield connection\n",
                "                yield connection\n",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: used events move",
        "E21",
        (
            Edit(
                _TRANSFERS,
                "PAGE_ROWS or await move.uses(is_deleted=is_deleted) == PAGE_ROWS:\n",
                "PAGE_ROWS:\n",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: missed events move with the runs that missed them",
        "E21",
        (
            Edit(
                _TRANSFERS,
                "        while rows := await self._connection.fetch(MISSED, ",
                "        while rows := () and (",
            ),
        ),
        (TRANSFERS,),
    ),
    Guard(
        "merges: missed events are judged by no shard while their runs move",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/missed.py",
                "      AND t.created_at >= r.missed_at) {where}\n",
                "      AND false) {where}\n",
            ),
        ),
        (TRANSFERS,),
    ),
    Guard(
        "merges: a transfer that Postgres refuses waits, and the others continue",
        "E21",
        (
            Edit(
                "src/goald/pipeline/shard/transfers.py",
                "    except ContentRefused as refused:\n",
                "    except ZeroDivisionError as refused:\n",
            ),
        ),
        (FLOW,),
    ),
    Guard(
        "merges: a refused transfer is tried again after some minutes",
        "E21",
        (Edit(_TRANSFERS, " AND coalesce(t.retry_at <= now(), true)", ""),),
        (TRANSFERS,),
    ),
    Guard(
        "merges: rows that Postgres refuses do not count as an unavailable server",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/store.py",
                "raise content_error(error.__cause__) or error from error.__cause__\n",
                "raise\n",
            ),
        ),
        (TRANSFERS,),
    ),
    Guard(
        "merges: enrollments move in pages",
        "E21",
        (
            Edit(
                _TRANSFERS,
                "    if len(ids) == PAGE_ROWS or await",
                "    if await",
            ),
        ),
        (TRANSFERS,),
    ),
    Guard(
        "merges: refused transfers are counted apart from those that wait",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/pending_transfers.py",
                "SELECT count(*) FILTER (WHERE refused_at IS NULL),\n",
                "SELECT count(*),\n",
            ),
        ),
        (TRANSFERS,),
    ),
    Guard(
        "merges: doctor warns of refused transfers",
        "E21",
        (
            Edit(
                "src/goald/runtime/doctor/transfers.py",
                "    if pending.refused:\n",
                "    if pending.refused < 0:\n",
            ),
        ),
        ("tests/unit/runtime/test_merged_contacts_report.py",),
    ),
    Guard(
        "merges: a transfer leaves active enrollments of an earlier life to their own transfer",
        "E21",
        (
            Edit(
                _TRANSFERS,
                "\n      AND coalesce(o.created_at > $9, true)\n    LIMIT",
                "\n      AND $9::timestamptz IS DISTINCT FROM now()\n    LIMIT",
            ),
        ),
        (LIVES,),
    ),
    Guard(
        "merges: a transfer leaves ended enrollments of an earlier life to their own transfer",
        "E18, E21",
        (
            Edit(
                _TRANSFERS,
                "<= $8 AND coalesce(o.created_at > $9, true)\n",
                "<= $8 AND $9::timestamptz IS DISTINCT FROM now()\n",
            ),
        ),
        (LIVES,),
    ),
    Guard(
        "merges: a transfer leaves used events of an earlier life to their own transfer",
        "E11, E21",
        (
            Edit(
                _TRANSFERS,
                "AND coalesce(o.used_at > $9, true)\n",
                "AND $9::timestamptz IS DISTINCT FROM now()\n",
            ),
        ),
        (LIVES,),
    ),
    Guard(
        "merges: a transfer leaves entries of an earlier life to their own transfer",
        "X9, E21",
        (
            Edit(
                _TRANSFERS,
                "AND coalesce(o.last_started_at > $7, true)\n",
                "AND $7::timestamptz IS DISTINCT FROM now()\n",
            ),
        ),
        (ENTRIES,),
    ),
    Guard(
        "merges: entries of a later life stay with the merged contact",
        "X9, E21",
        (
            Edit(
                _TRANSFERS,
                "          AND coalesce(o.last_started_at <= goald.at($6), true)\n",
                "",
            ),
        ),
        (ENTRIES,),
    ),
    Guard(
        "merges: two transfers in opposite directions do not wait for each other",
        "E19, E21",
        (Edit(_TRANSFERS, " ORDER BY slot FOR UPDATE\n", "\n"),),
        ("tests/integration/postgres/locks/test_transfer_locks.py",),
    ),
    Guard(
        "merges: the pages of transfers take turns",
        "D8, E21",
        (
            Edit(
                _FLOW,
                "                if not await self._adopt_page(transfer):\n",
                "                while await self._adopt_page(transfer):\n"
                "                    pass\n"
                "                else:\n",
            ),
        ),
        (FLOW,),
    ),
    Guard(
        "merges: a transfer that has moved lets the events that wait for it continue",
        "D8, E21",
        (Edit(_FLOW, "self._calls.finish(transfer)", "pass"),),
        (FLOW,),
    ),
    Guard(
        "merges: events that are passed on wait for no round of other transfers",
        "D8, E21",
        (
            Edit(
                _FLOW,
                "                if self._calls.is_requested:\n",
                "                if False:\n",
            ),
        ),
        (FLOW,),
    ),
    Guard(
        "merges: each transfer has its turn, however many events are passed on",
        "D8, E21",
        (Edit(_FLOW, "                served.add(transfer.id)\n", ""),),
        (FLOW,),
    ),
    Guard(
        "merges: events that are passed on wait for transfers that are read later",
        "E21",
        (
            Edit(
                _CALLS,
                "    if len(transfers) < MOST_WAITING:\n",
                "    if len(transfers) >= 0:\n",
            ),
        ),
        (FLOW,),
    ),
    Guard(
        "merges: forwarded events wait for the transfers to their contacts only",
        "D8, E21",
        (
            Edit(
                _CALLS,
                "            if any(self._remaining[contact] for contact in call.contacts):\n",
                "            if any(self._remaining.values()):\n",
            ),
        ),
        (FLOW,),
    ),
    Guard(
        "merges: the transfers of tenants take turns",
        "D8, E21",
        (
            Edit(
                _TRANSFERS,
                "        PARTITION BY t.tenant_id, t.adopted_at IS NOT NULL ORDER BY",
                "        PARTITION BY t.adopted_at IS NOT NULL ORDER BY",
            ),
        ),
        (TRANSFERS,),
    ),
)
