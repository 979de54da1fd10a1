"""The guards of goals that are met after the end of an enrollment, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

PIPELINE = "tests/unit/pipeline/shard/test_after_the_end.py"
STORE = "tests/contract/shard_store/test_shard_store_ended.py"
CONTACTS = "tests/contract/test_contacts.py"
LOADER = "tests/unit/pipeline/shard/test_ended_loader.py"
QUESTIONS = "tests/unit/pipeline/shard/test_ended_questions.py"
RETENTION = "tests/integration/postgres/test_retention.py"
EXPLAIN = "tests/unit/pipeline/shard/test_explain_ended.py"
PLANS = "tests/integration/postgres/plans/test_ended_plans.py"
_MEMORY = "src/goald/adapters/memory/ended/runs.py"
_POSTGRES = "src/goald/adapters/postgres/shard/ended.py"
_STATEMENTS = "src/goald/adapters/postgres/shard/statements.py"

AFTER_END_GUARDS = (
    Guard(
        "after the end: the start of an enrollment that ended when it began may be known",
        "E5, E12",
        (
            Edit(_STATEMENTS, "\n AND (e.received_at <= e.enrolled_at) IS NOT TRUE)", ")"),
            Edit(
                "src/goald/adapters/memory/database.py",
                " and not has_goals and not start_is_known(row)\n",
                " and not has_goals\n",
            ),
        ),
        ("tests/contract/shard_store/test_shard_store_used_events.py", CONTACTS),
    ),
    Guard(
        "erasure: an enrollment that began and ended in the same second after it stays",
        "E5",
        (
            Edit(
                "src/goald/adapters/postgres/erasure_pages.py",
                " OR e.received_at IS NULL AND {END_ONLY})",
                " OR e.ended_at = e.enrolled_at)",
            ),
            Edit(
                "src/goald/adapters/memory/erasure/contact.py",
                "(row.received_at is None and is_end_only(row))",
                "row.ended_at == row.enrolled_at",
            ),
        ),
        ("tests/contract/shard_store/test_shard_store_erasure.py",),
    ),
    Guard(
        "after the end: an enrollment meets each goal once",
        "E18, D1",
        (
            Edit(
                _STATEMENTS,
                "  AND e.met_after_end_at IS NULL AND NOT e.met_goals && n.met_goals::uuid[]\n",
                "",
            ),
            Edit(
                _MEMORY,
                "            and row.met_after_end_at is None\n"
                "            and set(row.met_goals).isdisjoint(of.met_goals[i])\n",
                "",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "after the end: only an enrollment that ended otherwise than by its goals",
        "E18, E5",
        (
            Edit(
                _STATEMENTS,
                "  AND (e.status IN ('completed', 'exited', 'cancelled')) IS TRUE\n",
                "",
            ),
            Edit(
                _MEMORY,
                "            and row.status in _WATCHED\n            and row.met",
                "            and row.met",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "after the end: an event that has counted in the workflow counts for no other enrollment",
        "E11, E18",
        (
            Edit(
                "src/goald/pipeline/shard/known/ended.py",
                "            counted = check in found.counted\n",
                "            counted = False\n",
            ),
        ),
        (PIPELINE,),
    ),
    Guard(
        "after the end: nothing counts for a deleted contact",
        "E18",
        (
            Edit(
                _POSTGRES,
                "      AND coalesce(e.received_at, e.enrolled_at) <= t.deleted_at)\n",
                "      AND false)\n",
            ),
            Edit(
                _MEMORY,
                "        and not (deleted is not None and deleted.covers(began_at(row)))\n",
                "",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "after the end: the latest enrollments of a contact are read, at any number of others",
        "D8",
        (
            Edit(_POSTGRES, "    LIMIT $5\n", "    LIMIT $5 * 1000000\n"),
            Edit(
                _MEMORY,
                "        for row in ended[:ENDED_OF_CONTACT]:\n",
                "        for row in ended:\n",
            ),
        ),
        (STORE, PLANS),
    ),
    Guard(
        "after the end: a moved enrollment of which only the end is known is not watched",
        "E18, E21",
        (
            Edit(
                _POSTGRES,
                "OR e.received_at <= e.enrolled_at)",
                "OR e.received_at IS NOT NULL)",
            ),
            Edit(
                "src/goald/adapters/memory/database.py",
                " and row.received_at <= row.enrolled_at\n",
                "\n",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "after the end: a merge moves the latest enrollments first",
        "E18, E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/merging/transfers.py",
                "    ORDER BY o.ended_at DESC\n",
                "    ORDER BY o.ended_at\n",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "after the end: enrollments that moved have the merges that moved them",
        "E18, E21",
        (
            Edit(_POSTGRES, "coalesce(e.merges, '{}')", "'{}'::int8[]"),
            Edit(_MEMORY, "list(row.merges)", "[]"),
        ),
        (STORE,),
    ),
    Guard(
        "after the end: a page of ends continues among those of one time",
        "E18",
        (
            Edit(
                _POSTGRES,
                '      AND (o.ended_at, o.id COLLATE "POSIX") < (n.ended_at, n.id)\n',
                "      AND o.ended_at < n.ended_at\n",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "after the end: a page of ends reads no rows of other slots",
        "D8, E18",
        (
            Edit(
                _POSTGRES,
                """= $1::text AND o.slot = n.slot\n""",
                """= $1::text AND o.slot + 0 = n.slot\n""",
            ),
        ),
        (PLANS,),
    ),
    Guard(
        "after the end: contacts that were erased are not loaded",
        "E18",
        (
            Edit(
                _POSTGRES,
                "      AND NOT starts_with(o.contact_id, 'erased:')\n",
                "",
            ),
            Edit(
                _MEMORY,
                "            and not row.contact_id.startswith(PSEUDONYM_PREFIX)\n",
                "",
            ),
        ),
        (STORE, LOADER),
    ),
    Guard(
        "after the end: a tenant with many ends leaves turns to others",
        "D8, E18",
        (
            Edit(
                "src/goald/pipeline/shard/ended_loader.py",
                "pages >= PAGES_OF_TURN and complete < missing.before",
                "False and complete < missing.before",
            ),
        ),
        (LOADER,),
    ),
    Guard(
        "after the end: a turn among ends of one time continues",
        "E18",
        (
            Edit(
                "src/goald/pipeline/shard/ended_loader.py",
                "pages >= PAGES_OF_TURN and complete < missing.before",
                "pages >= PAGES_OF_TURN",
            ),
        ),
        (LOADER,),
    ),
    Guard(
        "after the end: a group asks a few times, then events wait",
        "D8",
        (
            Edit(
                "src/goald/pipeline/shard/known/ended.py",
                "        return self._answers >= MOST_QUESTIONS\n",
                "        return False\n",
            ),
        ),
        (QUESTIONS,),
    ),
    Guard(
        "after the end: a group is evaluated again only if an event may count",
        "D8",
        (
            Edit(
                "src/goald/ports/shard_store.py",
                "        return is_watched and run.enrolled_at <= self.time and run.started_by "
                "!= self.event\n",
                "        return True\n",
            ),
        ),
        (QUESTIONS,),
    ),
    Guard(
        "after the end: enrollments that ended too early are not read",
        "D8",
        (
            Edit(_POSTGRES, "      AND o.ended_at >= goald.at(n.first)\n", ""),
            Edit(_MEMORY, "first.get(key, NEVER)", "0 * first.get(key, NEVER)"),
        ),
        (STORE, PLANS),
    ),
    Guard(
        "after the end: an enrollment that moves with a later page of a merge causes questions",
        "E18, E21",
        (
            Edit(
                "src/goald/pipeline/shard/transfers.py",
                "        self._evaluator.mark_ended(*target(transfer))\n",
                "",
            ),
        ),
        (PIPELINE,),
    ),
    Guard(
        "after the end: a tenant with a longer window keeps used events",
        "E11, E18",
        (
            Edit(
                "src/goald/adapters/postgres/partitions.py",
                "              AND g.conversion_window > ($1 - 1) * 86400)))\n",
                "              AND g.conversion_window > ($1 + 9999) * 86400)))\n",
            ),
        ),
        (RETENTION,),
    ),
    Guard(
        "after the end: used events are kept for GOALD_LATE",
        "E11, E18",
        (
            Edit(
                "src/goald/settings/variables.py",
                "max(self.used_keep, math.ceil(self.late / _DAY_SECONDS) + 1)",
                "self.used_keep",
            ),
        ),
        ("tests/unit/test_settings.py",),
    ),
    Guard(
        "after the end: a dry run promises nothing that an active enrollment may count",
        "E18",
        (
            Edit(
                "src/goald/pipeline/explain_ended.py",
                "    if is_truncated:\n",
                "    if is_truncated and not ended:\n",
            ),
        ),
        (EXPLAIN,),
    ),
    Guard(
        "after the end: events of contacts without ended enrollments cause no question",
        "D8",
        (
            Edit(
                "src/goald/pipeline/flow.py",
                "            tasks.create_task(self._ended_loader.run())\n",
                "",
            ),
        ),
        (PIPELINE,),
    ),
)
