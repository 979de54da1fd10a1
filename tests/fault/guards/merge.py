"""The guards of merged contacts, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

MERGES = "tests/contract/shard_store/test_shard_store_merges.py"
FLOW = "tests/unit/pipeline/shard/test_merged_contacts.py"
_MERGES = "src/goald/adapters/postgres/shard/merging/merges.py"
_TRANSFERS = "src/goald/adapters/postgres/shard/merging/transfers.py"
_FORWARD = "src/goald/pipeline/ingest/forward.py"

MERGE_GUARDS = (
    Guard(
        "merges: a merge that would make a cycle is refused",
        "E21",
        (Edit(_MERGES, "    if target == contact:\n", "    if target is None:\n"),),
        (MERGES,),
    ),
    Guard(
        "merges: enrollments that have not moved are loaded by no shard",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/statements.py",
                "AND e.slot BETWEEN $1 AND $2 {_STAYS}",
                "AND e.slot BETWEEN $1 AND $2",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: enrollments that have not moved follow the next merge",
        "E21",
        (
            Edit(
                _MERGES, "    await connection.execute(FOLLOW, tenant, contact, *end, merges)\n", ""
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: forwards to a contact follow its merge, so that they outlive its deletion",
        "E21",
        (
            Edit(
                _MERGES,
                "of_others = tenant, contact, forward.target, time",
                'of_others = tenant, "", forward.target, time',
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: a shard moves enrollments only under its lease",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/store.py",
                "                await _require(connection, statements.HOLD_LEASE, lease)\n"
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
        (MERGES,),
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
        (MERGES,),
    ),
    Guard(
        "merges: the erasure of a merged contact waits until its enrollments have moved",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/erasure_pages.py",
                "WHERE contact_id IS NOT NULL AND NOT EXISTS (\n",
                "WHERE contact_id IS NOT NULL OR EXISTS (\n",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: messages that name a deleted contact are found when their runs have moved",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/erasures.py",
                "    ELSE e.contact_id <> n.contact_id AND EXISTS (\n",
                "    ELSE false AND EXISTS (\n",
            ),
        ),
        ("tests/integration/erasure/test_erasure_pages.py",),
    ),
    Guard(
        "merges: events of the other contact since the merge are delivered again",
        "E21",
        (Edit(_FORWARD, "        if moved:\n", "        if not moved and events:\n"),),
        (FLOW,),
    ),
    Guard(
        "merges: an event from before a merge counts for no run that moved with it",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/used_events.py",
                "   OR e.id IS NOT NULL AND n.next_merge <> coalesce(",
                "   OR e.id IS NOT NULL AND false AND n.next_merge <> coalesce(",
            ),
            Edit(
                "src/goald/adapters/memory/used_events.py",
                "        if next_merge != min(following, default=0):\n",
                "        if next_merge != min(following, default=0) and not row.id:\n",
            ),
        ),
        (MERGES, FLOW),
    ),
    Guard(
        "merges: a run compares numbers only with used events of contacts that it had",
        "E11",
        (
            Edit(
                "src/goald/adapters/postgres/shard/used_events.py",
                "WHERE merge <> ALL (coalesce(u.merges, '{}')))),",
                "WHERE false)),",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: a forward continues with the merges of its target",
        "E21",
        (
            Edit(
                _MERGES,
                "contact, merges = forward[0], join_merges(merges, forward[1])",
                "contact = forward[0]",
            ),
            Edit(
                _MERGES,
                "goald.at($5), merges = goald.join_merges(merges, $6::int8[]),",
                "goald.at($5),",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: events of the other contact are delivered again only if their turn has come",
        "E21",
        (
            Edit(
                "src/goald/pipeline/ingest/redelivery.py",
                "if not last or _order(each[0]) <= _order(last)]",
                "if True]",
            ),
        ),
        (FLOW,),
    ),
    Guard(
        "merges: events about ended enrollments since the merge are delivered again",
        "E21",
        (
            Edit(
                "src/goald/pipeline/ingest/redelivery.py",
                "_native.run_events(buffers,",
                "_native.goal_events(buffers,",
            ),
        ),
        (FLOW,),
    ),
    Guard(
        "merges: a shard takes over enrollments that an event names before it rejects the event",
        "E21",
        (
            Edit(
                "src/goald/pipeline/flow.py",
                "if taken_over or is_stale(proposal, committed):",
                "if is_stale(proposal, committed):",
            ),
        ),
        (FLOW,),
    ),
    Guard(
        "merges: a shard takes over enrollments before forwarded events",
        "E21",
        (
            Edit(
                "src/goald/pipeline/shard/admission.py",
                "        if not batch.forwarded:\n",
                "        if batch is not None:\n",
            ),
        ),
        (FLOW,),
    ),
    Guard(
        "merges: the answer with events to pass on is kept until the sender has it",
        "E21",
        (
            Edit(
                "src/goald/pipeline/shard/sequence.py",
                "        if future.cancelled() or not future.result():\n",
                "        if True:\n",
            ),
        ),
        ("tests/unit/pipeline/test_sequence.py",),
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
        (MERGES,),
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
        (MERGES,),
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
        (MERGES,),
    ),
    Guard(
        "merges: forwards end in the transaction of the deletion",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/commit.py",
                "        await forwards.end(connection, change.deletions)\n",
                "",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: forwards end that were added while the deletion was committed",
        "E21",
        (
            Edit(
                _TRANSFERS,
                "        await forwards.end(connection, deletions)  # of a merge",
                "        # of a merge",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: a shard reads the forwards again before it passes on events",
        "E21",
        (
            Edit(
                "src/goald/pipeline/flow.py",
                "while proposal.forwarded and await self._transfers.forwards_changed():\n",
                "while False:\n",
            ),
        ),
        (FLOW,),
    ),
    Guard(
        "merges: a merge that was delivered before moves nothing of a new life",
        "E21",
        (Edit(_MERGES, "$3::text::uuid = ANY (events) OR ", "$3::text::uuid IS NULL OR "),),
        (MERGES,),
    ),
    Guard(
        "merges: a merge from before the deletion moves nothing of a new life",
        "E21",
        (Edit(_MERGES, "coalesce(goald.at($4) <= deleted_at, false)", "goald.at($4) IS NULL"),),
        (MERGES,),
    ),
    Guard(
        "merges: nothing is forwarded to a contact that was deleted since the merge",
        "E21",
        (
            Edit(
                _MERGES,
                "    if deleted_at is None or deleted_at < time:\n",
                "    if deleted_at is None or deleted_at:\n",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: the deletion of the contact that continues covers the merged contact",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/merging/forwards.py",
                "    if await connection.fetch(INHERIT, *since):\n",
                "    if not INHERIT:\n",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: active enrollments begin for the other contact when they move",
        "E21",
        (
            Edit(
                _TRANSFERS,
                "THEN goald.at($7) ELSE e.received_at END\nFROM page p",
                "THEN e.received_at ELSE e.received_at END\nFROM page p",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: ended enrollments begin for the other contact when they move",
        "E21",
        (
            Edit(
                _TRANSFERS,
                "THEN goald.at($7) ELSE e.received_at END\nWHERE (e.tenant_id",
                "THEN e.received_at ELSE e.received_at END\nWHERE (e.tenant_id",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: memory knows when enrollments moved, so an earlier deletion leaves them",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/statements.py",
                "CASE WHEN e.received_at > e.enrolled_at\n",
                "CASE WHEN e.received_at IS NULL AND e.received_at IS NOT NULL\n",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: used events belong to the other contact since the merge",
        "E21",
        (Edit(_TRANSFERS, "greatest(enrolled_at, goald.at($7))", "enrolled_at"),),
        (MERGES,),
    ),
    Guard(
        "merges: used events of a deleted person do not move",
        "E21",
        (
            Edit(
                _TRANSFERS,
                "        if is_deleted:\n            statement",
                "        if 0:\n            statement",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: an earlier deletion erases nothing of the projection that moves",
        "E21",
        (Edit(_TRANSFERS, "row, deleted_at if is_deleted else None)", "row, deleted_at)"),),
        (MERGES,),
    ),
    Guard(
        "merges: a repeated deletion erases nothing of the projection that moved",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/contacts.py",
                "if tombstone is None or of.deleted_at > tombstone.deleted_at:  # a",
                "if tombstone is None or of:  # a",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: forwards to deleted contacts are counted",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/pending_transfers.py",
                "AND f.merged_at <= e.deleted_at\n",
                "AND f.merged_at > e.deleted_at\n",
            ),
        ),
        (MERGES,),
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
        (MERGES,),
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
        "merges: a transfer moves no active enrollments of a new life",
        "E21",
        (
            Edit(
                _TRANSFERS,
                "o.ended_at IS NULL AND o.created_at <= $8\n",
                "o.ended_at IS NULL AND $8::timestamptz <= now()\n",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: a transfer moves no ended enrollments of a new life",
        "E21",
        (
            Edit(
                _TRANSFERS,
                "o.ended_at IS NOT NULL\n      AND o.created_at <= $6\n",
                "o.ended_at IS NOT NULL\n      AND $6::timestamptz <= now()\n",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: used events of a new life do not end with those of a deleted person",
        "E21",
        (Edit(_TRANSFERS, "o.used_at <= $4\n", "$4::timestamptz <= now()\n"),),
        (MERGES,),
    ),
    Guard(
        "merges: enrollments of a new life are loaded while a transfer waits",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/statements.py",
                "                  AND t.created_at >= e.created_at)\n",
                "                  AND t.created_at IS NOT NULL)\n",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: the transfers of one contact move one after the other",
        "E21",
        (
            Edit(
                _TRANSFERS,
                "      AND o.created_at < t.created_at)\n",
                "      AND o.created_at > now())\n",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: repeated events of a deleted person are no conflicts with what moved",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/commit.py",
                "        if may_have_moved and tombstone is not None and tombstone",
                "        if contact is None and tombstone is not None and tombstone",
            ),
        ),
        (MERGES,),
    ),
)
