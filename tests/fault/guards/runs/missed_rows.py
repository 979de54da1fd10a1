"""The guards of the rows of what paused workflows missed, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

PIPELINE = "tests/unit/pipeline/shard/test_missed_events.py"
STORE = "tests/contract/shard_store/test_shard_store_missed.py"
ACTIVATION = "tests/integration/api/configuration/test_missed_events.py"
ERASURE_PAGES = "tests/integration/erasure/test_erasure_pages.py"
PLANS = "tests/integration/postgres/plans/test_missed_plans.py"
RETENTION = "tests/integration/postgres/test_retention.py"
_MEMORY = "src/goald/adapters/memory/missed.py"
_POSTGRES = "src/goald/adapters/postgres/shard/missed.py"
_PAGES = "src/goald/adapters/postgres/erasure_pages.py"
_MISSED = "src/goald/pipeline/shard/missed/events.py"

MISSED_ROW_GUARDS = (
    Guard(
        "paused: the first missed event of an enrollment is kept",
        "E19",
        (
            Edit(
                _POSTGRES,
                "WHERE missed_runs.missed_at <= now() - interval '{KEEP_DAYS} days'\n",
                "",
            ),
            Edit(
                _MEMORY,
                "tables.missed.setdefault((event.tenant_id, run.enrollment_id), missed)",
                "tables.missed[event.tenant_id, run.enrollment_id] = missed",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "paused: an expired event makes room for the next one before it is removed",
        "E19",
        (
            Edit(
                _POSTGRES,
                "WHERE missed_runs.missed_at <= now() - interval '{KEEP_DAYS} days'\n",
                "WHERE false\n",
            ),
        ),
        (RETENTION,),
    ),
    Guard(
        "paused: an enrollment that has ended misses nothing",
        "E19",
        (
            Edit(
                _POSTGRES,
                "e.workflow_id = n.workflow_id AND (e.status = 'active') IS TRUE\nON",
                "e.workflow_id = n.workflow_id\nON",
            ),
            Edit(_MEMORY, '            and row.status == "active"\n', ""),
        ),
        (STORE,),
    ),
    Guard(
        "paused: missed events are removed with their effects",
        "E19, D1",
        (
            Edit(
                "src/goald/adapters/postgres/shard/commit.py",
                "        await missed.drop(connection, change.judged_runs)\n",
                "        pass\n",
            ),
            Edit(_MEMORY, "        tables.missed.pop(key, None)\n", "        pass\n"),
        ),
        (STORE,),
    ),
    Guard(
        "paused: an event stays while another enrollment has missed it",
        "E19",
        (
            Edit(
                _POSTGRES,
                "AND r.contact_id = m.contact_id AND r.event = m.event)\n",
                "AND false)\n",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "paused: an activation without exits removes missed events",
        "E19",
        (Edit(_MISSED, "await self._pages.forget(replay)\n", "replay.after = None\n"),),
        (PIPELINE,),
    ),
    Guard(
        "paused: a page has a bounded size",
        "D6, E19",
        (
            Edit(_POSTGRES, "if read_events and total > most_bytes:", "if False:"),
            Edit(
                _MEMORY,
                "if len(sizes) > 1 and sum(sizes.values()) > most_bytes:",
                "if False:",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "paused: a page starts at the end of the previous one",
        "E19",
        (
            Edit(
                _POSTGRES,
                "AND (r.slot, r.enrollment_id) > ($3, $4)",
                "AND ($3::int2, $4) IS NOT NULL",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "paused: a page reads no event before its enrollments",
        "D8, E19",
        (
            Edit(
                _POSTGRES,
                """r.event::text, (
    SELECT octet_length(m.payload) FROM goald.missed_events m
    WHERE m.tenant_id = r.tenant_id AND m.contact_id = r.contact_id AND m.event = r.event)
"""
                + '"' * 3
                + """ + _RUNS.format(""",
                """r.event::text, octet_length(m.payload)
"""
                + '"' * 3
                + """ + _RUNS.replace(
    "missed_runs r",
    "missed_runs r JOIN goald.missed_events m ON m.tenant_id = r.tenant_id"
    " AND m.contact_id = r.contact_id AND m.event = r.event",
).format(""",
            ),
        ),
        (PLANS,),
    ),
    Guard(
        "paused: only workflows with missed events are read",
        "E19",
        (
            Edit(
                _POSTGRES,
                "    WHERE r.tenant_id = n.tenant_id AND r.workflow_id = n.workflow_id\n",
                "",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "paused: two contacts keep their events of one key",
        "E19",
        (
            Edit(
                _POSTGRES,
                "    keyed = {",
                "    events = {event.event: event for event in events}.values()\n    keyed = {",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "paused: a shard exits what was missed in the last 30 days only",
        "E19",
        (Edit(_POSTGRES, "_RUNS.format(where=_OF_LAST_DAYS)", '_RUNS.format(where="")'),),
        (ACTIVATION,),
    ),
    Guard(
        "paused: an activation counts missed events of the last 30 days only",
        "E19",
        (
            Edit(
                "src/goald/adapters/postgres/configuration/statements.py",
                "          AND r.missed_at > now() - interval '{KEEP_DAYS} days'\n",
                "",
            ),
        ),
        (ACTIVATION,),
    ),
    Guard(
        "paused: an activation counts enrollments that are active",
        "E19",
        (
            Edit(
                "src/goald/adapters/postgres/configuration/statements.py",
                "            AND e.id = r.enrollment_id AND (e.status = 'active') IS TRUE\n",
                "            AND e.id = r.enrollment_id\n",
            ),
        ),
        (ACTIVATION,),
    ),
    Guard(
        "paused: an activation counts a bounded number of enrollments",
        "D8, E19",
        (
            Edit(
                "src/goald/adapters/postgres/configuration/statements.py",
                "interval '{KEEP_DAYS} days'\n        LIMIT $3\n",
                "interval '{KEEP_DAYS} days' AND $3::int8 IS NOT NULL\n",
            ),
        ),
        (ACTIVATION,),
    ),
    Guard(
        "paused: exits are those of the last activation",
        "E19",
        (
            Edit(
                "src/goald/domain/configuration/row_rules.py",
                "        exits_missed=exit_missed,\n",
                "        exits_missed=row.exits_missed or exit_missed,\n",
            ),
        ),
        (ACTIVATION,),
    ),
    Guard(
        "paused: the erasure of a contact removes missed rows of its enrollments",
        "E19",
        (
            Edit(
                _PAGES,
                "        rows += _count(await connection.execute(ERASE_MISSED_RUNS, *deleted))\n",
                "        pass\n",
            ),
        ),
        (ERASURE_PAGES, STORE),
    ),
    Guard(
        "paused: the erasure of a contact removes its missed events",
        "E19",
        (
            Edit(
                _PAGES,
                "        rows += await _erase_missed_events(connection, deleted)\n",
                "        pass\n",
            ),
        ),
        (ERASURE_PAGES, STORE),
    ),
    Guard(
        "paused: a deleted contact is forgotten only when no missed event of it is left",
        "E19",
        (
            Edit(
                _PAGES,
                "\n  AND NOT EXISTS (SELECT {_MISSED_RUNS})"
                " AND NOT EXISTS (SELECT {_MISSED_EVENTS})",
                "",
            ),
        ),
        (ERASURE_PAGES,),
    ),
    Guard(
        "paused: what a later contact under the same id missed is not erased",
        "E19",
        (
            Edit(
                _PAGES,
                "e.id = r.enrollment_id AND e.contact_id = r.contact_id)\n",
                "e.id = r.enrollment_id AND false)\n",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "paused: missed events are removed after 30 days",
        "E19",
        (
            Edit(
                "src/goald/runtime/jobs/retention.py",
                "            while removed := await self._months.purge_missed(PURGED_ROWS):\n",
                "            while removed := 0:\n",
            ),
        ),
        (RETENTION,),
    ),
    Guard(
        "paused: an event stays while an enrollment that missed it later does",
        "E19",
        (
            Edit(
                "src/goald/adapters/postgres/partitions.py",
                "              AND r.missed_at >= now() - interval '{KEEP_DAYS} days')\n",
                "              AND false)\n",
            ),
        ),
        (RETENTION,),
    ),
    Guard(
        "paused: what a later contact misses during a page of an erasure is not erased",
        "E19",
        (
            Edit(
                _PAGES,
                "connection.execute(missed.DROP_EVENTS, *zip(",
                'connection.execute(missed.DROP_EVENTS.partition("AND NOT")[0], *zip(',
            ),
        ),
        (ERASURE_PAGES,),
    ),
    Guard(
        "paused: the bytes of missed events of a tenant are limited",
        "D8, E19",
        (
            Edit(
                _POSTGRES,
                "runs = [each for each in missed if each[0].tenant_id not in full]",
                "runs = missed",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "paused: removed events make room for others of their tenant",
        "E19",
        (
            Edit(
                "src/goald/migrations/sql/0036_missed_usage.sql",
                "CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END",
                "CASE TG_OP WHEN 'INSERT' THEN 1 ELSE 0 END",
            ),
        ),
        (STORE, ERASURE_PAGES),
    ),
    Guard(
        "paused: the next event of an enrollment is kept when there is room again",
        "E19",
        (
            Edit(
                "src/goald/pipeline/shard/committer.py",
                "mark_missed(proposal, committed.missed_dropped)",
                "mark_missed(proposal, ())",
            ),
        ),
        (PIPELINE,),
    ),
    Guard(
        "paused: missed events that are not kept are counted",
        "E19",
        (
            Edit(
                "src/goald/pipeline/shard/committer.py",
                "        if committed.missed_dropped:\n",
                "        if committed.is_stale and committed.missed_dropped:\n",
            ),
        ),
        (PIPELINE,),
    ),
)
