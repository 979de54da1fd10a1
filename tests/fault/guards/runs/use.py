"""The guards of events that count once and of used enrollment ids, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

ONE_RUN = "tests/unit/pipeline/shard/test_one_event_one_run.py"
USED_EVENTS = "tests/contract/shard_store/test_shard_store_used_events.py"
ERASURE_PAGES = "tests/integration/erasure/test_erasure_pages.py"
_PAGES = "src/goald/adapters/postgres/erasure_pages.py"

USE_GUARDS = (
    Guard(
        "one run: Postgres is asked whether an event counted for an earlier enrollment",
        "E11",
        (
            Edit(
                "src/goald/pipeline/shard/stored_facts.py",
                "        excluded |= found_excluded\n",
                "        excluded |= set()\n        found_excluded = set()\n",
            ),
            Edit(
                "src/goald/pipeline/shard/stored_facts.py",
                "        if not found and not found_excluded and not differs:\n",
                "        if not found and not differs:\n",
            ),
        ),
        (ONE_RUN,),
    ),
    Guard(
        "one run: events that count before a start of the same commit are numbered before it",
        "E11",
        (
            Edit(
                "src/goald/adapters/postgres/shard/used_events.py",
                "        if not any(after):\n",
                "        if after:\n",
            ),
        ),
        (USED_EVENTS,),
    ),
    Guard(
        "one run: the erasure of a contact removes its used events",
        "E11",
        (
            Edit(
                _PAGES,
                "        rows += _count(await connection.execute(ERASE_USED_EVENTS, *deleted))\n",
                "        pass\n",
            ),
        ),
        (ERASURE_PAGES,),
    ),
    Guard(
        "one run: a deleted contact is forgotten only when no used event of it is left",
        "E11",
        (Edit(_PAGES, "  AND NOT EXISTS (SELECT {_USED_EVENTS})\n", ""),),
        (ERASURE_PAGES,),
    ),
    Guard(
        "one run: a run after the deletion does not exclude what the deleted contact used",
        "E11",
        (
            Edit(
                "src/goald/adapters/postgres/shard/used_events.py",
                " AND (e.id IS NULL OR e.used_before > t.used_before))\n",
                " AND e.id IS NULL)\n",
            ),
        ),
        (USED_EVENTS,),
    ),
    Guard(
        "one run: a dry run ignores the uses of a deleted contact",
        "E11",
        (
            Edit(
                "src/goald/adapters/postgres/records/contacts.py",
                "AND u.enrolled_at <= t.deleted_at AND e.used_before > t.used_before))\n",
                "AND false))\n",
            ),
        ),
        (ERASURE_PAGES,),
    ),
    Guard(
        "one run: a start after the deletion ignores the uses of the deleted contact",
        "E11",
        (
            Edit(
                "src/goald/adapters/postgres/shard/commit.py",
                "        fresh = await uses.only_of_deleted(connection, again)\n",
                "        fresh: set[int] = set()\n",
            ),
        ),
        (USED_EVENTS,),
    ),
    Guard(
        "one run: a start after the deletion excludes the uses of the new contact",
        "E11",
        (
            Edit(
                "src/goald/adapters/postgres/shard/used_events.py",
                " AND u.enrolled_at > t.deleted_at)\n",
                " AND false)\n",
            ),
        ),
        (USED_EVENTS,),
    ),
    Guard(
        "one run: the events of a run dated ahead are of the contact that it began for",
        "E11",
        (
            Edit(
                "src/goald/adapters/postgres/shard/effects.py",
                "            self.received_at[i] = received_at.get("
                "(self.tenant[i], self.enrollment[i]))\n",
                "            pass\n",
            ),
        ),
        (USED_EVENTS,),
    ),
    Guard(
        "used id: the API refuses a start under the id of an enrollment that has ended",
        "E12",
        (
            Edit(
                "src/goald/pipeline/start_check.py",
                "            if ended and ended.refuses(",
                "            if ended and ended is None and ended.refuses(",
            ),
        ),
        ("tests/integration/api/events/test_used_enrollment_id.py",),
    ),
)
