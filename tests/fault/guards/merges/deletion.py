"""The guards of deletions of merged contacts, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

DELETIONS = "tests/contract/shard_store/test_shard_store_deletions_of_merged.py"
_MERGES = "src/goald/adapters/postgres/shard/merging/merges.py"
_TRANSFERS = "src/goald/adapters/postgres/shard/merging/transfers.py"

DELETION_GUARDS = (
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
        (DELETIONS,),
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
        (DELETIONS,),
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
        "merges: forwards end in the transaction of the deletion",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/commit.py",
                "        await forwards.end(connection, change.deletions)\n",
                "",
            ),
        ),
        (DELETIONS,),
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
        (DELETIONS,),
    ),
    Guard(
        "merges: a merge that was delivered before moves nothing of a new life",
        "E21",
        (Edit(_MERGES, "$3::text::uuid = ANY (events) OR ", "$3::text::uuid IS NULL OR "),),
        (DELETIONS,),
    ),
    Guard(
        "merges: a merge from before the deletion moves nothing of a new life",
        "E21",
        (Edit(_MERGES, "coalesce(goald.at($4) <= deleted_at, false)", "goald.at($4) IS NULL"),),
        (DELETIONS,),
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
        (DELETIONS,),
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
        (DELETIONS,),
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
        (DELETIONS,),
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
        (DELETIONS,),
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
        (DELETIONS,),
    ),
    Guard(
        "merges: used events belong to the other contact since the merge",
        "E21",
        (Edit(_TRANSFERS, "greatest(enrolled_at, goald.at($7))", "enrolled_at"),),
        (DELETIONS,),
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
        (DELETIONS,),
    ),
    Guard(
        "merges: an earlier deletion erases nothing of the projection that moves",
        "E21",
        (
            Edit(
                _TRANSFERS,
                '    if deleted_at is not None and deleted_at < row["merged_at"]:\n',
                "    if deleted_at == -1:\n",
            ),
        ),
        (DELETIONS,),
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
        (DELETIONS,),
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
        (DELETIONS,),
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
        (DELETIONS,),
    ),
    Guard(
        "merges: a transfer moves no ended enrollments of a new life",
        "E21",
        (
            Edit(
                _TRANSFERS,
                "o.ended_at IS NOT NULL\n      AND o.created_at <= $8 AND",
                "o.ended_at IS NOT NULL\n      AND $8::timestamptz <= now() AND",
            ),
        ),
        (DELETIONS,),
    ),
    Guard(
        "merges: used events of a new life do not end with those of a deleted person",
        "E21",
        (Edit(_TRANSFERS, "o.used_at <= $4\n", "$4::timestamptz <= now()\n"),),
        (DELETIONS,),
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
        (DELETIONS,),
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
        (DELETIONS,),
    ),
)
