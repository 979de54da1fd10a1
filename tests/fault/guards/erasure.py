"""The guards of erasure, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

FLOW = "tests/unit/pipeline/test_flow.py"
ERASURE = "tests/contract/shard_store/test_shard_store_erasure.py"
REVERSALS = "tests/contract/conversions/test_reversals.py"
ERASURE_JOB = "tests/unit/erasure/test_erasure_job.py"
ERASURE_PAGES = "tests/integration/erasure/test_erasure_pages.py"
_PAGES = "src/goald/adapters/postgres/erasure_pages.py"
_ERASURES = "src/goald/adapters/postgres/erasures.py"
_ERASURE_JOB = "src/goald/runtime/jobs/erasure.py"

ERASURE_GUARDS = (
    Guard(
        "erasure: late events of a deleted contact are recognized by its tombstone",
        "E5",
        (
            Edit(
                "src/goald/adapters/postgres/shard/commit.py",
                "        and tombstone.covers(of.began_at(i))\n",
                "        and tombstone.covers(1 << 62)\n",
            ),
        ),
        (ERASURE,),
    ),
    Guard(
        "erasure: a repeated event of an erased enrollment is no conflict",
        "D1, E5",
        (
            Edit(
                "src/goald/domain/records/erasure.py",
                "    if stored.startswith(PSEUDONYM_PREFIX):\n",
                "    if not stored:\n",
            ),
        ),
        (ERASURE, FLOW),
    ),
    Guard(
        "erasure: the owner of an erased enrollment is recognized behind another contact",
        "D1, E5",
        (
            Edit(
                "src/goald/pipeline/shard/commit.py",
                "        contenders=[Contender(*row) for row in proposal.contenders],\n",
                "        contenders=[Contender(*row) for row in proposal.contenders][:0],\n",
            ),
        ),
        (FLOW,),
    ),
    Guard(
        "erasure: payloads are erased by the pages of a deletion",
        "E5",
        (
            Edit(
                _PAGES,
                "    SET contact_id = page.pseudonym, trigger_event = '{{}}', metadata = '{{}}'\n",
                "    SET contact_id = page.pseudonym\n",
            ),
        ),
        (ERASURE,),
    ),
    Guard(
        "erasure: a refund finds no payment of the deleted contact",
        "E13",
        (
            Edit(
                "src/goald/adapters/postgres/shard/commit.py",
                "        deleted = await tombstones.of(connection, slots, reversed_of)\n",
                "        deleted = {}\n",
            ),
        ),
        (REVERSALS,),
    ),
    Guard(
        "erasure: a page is bounded",
        "D8",
        (Edit(_PAGES, "PAGE_ROWS = 1_000\n", "PAGE_ROWS = 1_000_000_000\n"),),
        (ERASURE_PAGES,),
    ),
    Guard(
        "erasure: it is not finished before its rows are erased",
        "E5",
        (
            Edit(
                _ERASURES,
                "finished_at IS NULL AND contact_id IS NULL AND",
                "finished_at IS NULL AND",
            ),
        ),
        (ERASURE_PAGES,),
    ),
    Guard(
        "erasure: a contact is forgotten only when no row of it is left",
        "E5",
        (
            Edit(
                _PAGES,
                "  AND NOT EXISTS (SELECT {_MESSAGES}) AND NOT EXISTS (SELECT {_ENROLLMENTS})\n",
                "",
            ),
        ),
        (ERASURE_PAGES,),
    ),
    Guard(
        "erasure: an exit stays for its reader after its own deletion",
        "E5",
        (
            Edit(
                _ERASURES,
                "    THEN coalesce(e.erased_at, e.updated_at) <= goald.at($5)\n",
                "    THEN $5::int8 > 0\n",
            ),
        ),
        (ERASURE_PAGES,),
    ),
    Guard(
        "erasure: every erasure that is due is finished in one run",
        "E5",
        (Edit(_ERASURE_JOB, "        return due.has_more\n", "        return False\n"),),
        (ERASURE_JOB,),
    ),
    Guard(
        "erasure: an enrollment dated ahead begins when its start is received",
        "E5",
        (
            Edit(
                _PAGES,
                "(coalesce(e.received_at, e.enrolled_at) <= goald.at(n.at)",
                "(e.enrolled_at <= goald.at(n.at)",
            ),
        ),
        (ERASURE,),
    ),
    Guard(
        "erasure: exits and notices of erased enrollments are removed from the streams",
        "E5",
        (
            Edit(
                _ERASURE_JOB,
                "removed = await self._streams.delete(stream, [about[at][0].id for at in erased])",
                "removed = len(erased)",
            ),
        ),
        (ERASURE_JOB,),
    ),
    Guard(
        "erasure: dead letters of deleted contacts, and unreadable ones, are removed",
        "E5",
        (
            Edit(
                _ERASURE_JOB,
                "ids = unknown + [known[at][0].id for at in erased]",
                "ids = [known[at][0].id for at in erased[:0]]",
            ),
        ),
        (ERASURE_JOB,),
    ),
    Guard(
        "erasure: messages of errors contain no values of rows",
        "E5",
        (
            Edit(
                "src/goald/adapters/postgres/errors.py",
                "return str(error.args[0]).strip()",
                "return str(error).strip()",
            ),
        ),
        ("tests/unit/erasure/test_error_messages.py",),
    ),
    Guard(
        "erasure: the planner's statistics of tables with contacts are collected again",
        "E5",
        (
            Edit(
                "src/goald/adapters/postgres/erasures.py",
                "                await connection.execute(ANALYZE, table)\n",
                "                pass\n",
            ),
        ),
        (ERASURE_PAGES,),
    ),
    Guard(
        "erasure: a table that may become empty has no statistics of contacts",
        "E5",
        (
            Edit(
                "src/goald/migrations/sql/0010_to_0019/0018_personal_statistics.sql",
                "ALTER TABLE goald.used_events\n    ALTER COLUMN contact_id SET STATISTICS 0,",
                "ALTER TABLE goald.used_events\n    ALTER COLUMN contact_id SET STATISTICS 100,",
            ),
        ),
        (ERASURE_PAGES,),
    ),
)
