"""The guards of a tenant's data and limits: erasure, secrets, limits, passwords, deletion."""

from tests.fault.guards.guard import Edit, Guard

FLOW = "tests/unit/pipeline/test_flow.py"
START_LIMIT = "tests/unit/pipeline/shard/test_start_limit.py"
PASSWORDS = "tests/integration/daemon/test_embedded_passwords.py"
DELETION = "tests/integration/api/configuration/test_deletion.py"
CONFIGURATION = "tests/contract/shard_store/test_shard_store_configuration.py"
ERASURE = "tests/contract/shard_store/test_shard_store_erasure.py"
USED_ID = "tests/unit/pipeline/shard/test_used_enrollment_id.py"
ONE_RUN = "tests/unit/pipeline/shard/test_one_event_one_run.py"
USED_EVENTS = "tests/contract/shard_store/test_shard_store_used_events.py"
REVERSALS = "tests/contract/conversions/test_reversals.py"
ERASURE_JOB = "tests/unit/erasure/test_erasure_job.py"
ERASURE_PAGES = "tests/integration/erasure/test_erasure_pages.py"
_PAGES = "src/goald/adapters/postgres/erasure_pages.py"
_ERASURES = "src/goald/adapters/postgres/erasures.py"
DEAD_SHARES = "tests/contract/dead_letters/test_dead_letter_shares.py"
DEAD_ACCOUNT = "tests/integration/redis/test_dead_shares.py"
_DEAD = "src/goald/adapters/redis/dead_letters/scripts.py"
_EMBEDDED = "src/goald/runtime/embedded/postgres.py"
_MEMORY = "src/goald/adapters/memory/store.py"
_POSTGRES = "src/goald/adapters/postgres/shard/store.py"
_ERASURE_JOB = "src/goald/runtime/jobs/erasure.py"

TENANT_GUARDS = (
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
                "WHERE starts_with(e.contact_id, $3)"
                " AND coalesce(e.erased_at, e.updated_at) <= goald.at($4)\n",
                "WHERE starts_with(e.contact_id, $3) AND $4::int8 > 0\n",
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
        "secrets: a token secret that anyone can guess is refused",
        "D8",
        (
            Edit(
                "src/goald/settings/variables.py",
                "        if weakness is not None:\n",
                '        if weakness == "":\n',
            ),
        ),
        ("tests/unit/test_settings.py",),
    ),
    Guard(
        "limit: a repeated start takes no place of its contact, and is not refused",
        "D1, E5",
        (
            Edit(
                "src/goald/pipeline/shard/stored_facts.py",
                "        repeats |= found\n",
                "        repeats |= set()\n",
            ),
        ),
        (START_LIMIT,),
    ),
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
                "        if not found and not found_excluded:\n",
                "        if not found:\n",
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
                "src/goald/migrations/sql/0018_personal_statistics.sql",
                "ALTER TABLE goald.used_events\n    ALTER COLUMN contact_id SET STATISTICS 0,",
                "ALTER TABLE goald.used_events\n    ALTER COLUMN contact_id SET STATISTICS 100,",
            ),
        ),
        (ERASURE_PAGES,),
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
        "used id: a start is compared with the enrollment that has ended",
        "E12",
        (
            Edit(
                "native/matcher/src/proposal/effect.rs",
                "            at != self.enrolled_at\n",
                "            at == i64::MAX\n",
            ),
        ),
        (USED_ID,),
    ),
    Guard(
        "used id: a start that may be that of the enrollment is not refused",
        "E12",
        (
            Edit(
                "native/matcher/src/proposal/effect.rs",
                ".is_none_or(|until| source.began_at > until)",
                ".is_none_or(|until| until != 0)",
            ),
        ),
        (USED_ID,),
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
    Guard(
        "limit: the API refuses a start of a contact that is full",
        "E5",
        (
            Edit(
                "src/goald/pipeline/start_check.py",
                "            elif active[start.contact] >= self._max_active:\n",
                "            elif start.position < 0:\n",
            ),
        ),
        ("tests/integration/api/events/test_start_limit.py",),
    ),
    Guard(
        "quota: an event costs its work, if that is more than its size",
        "D8",
        (
            Edit(
                "src/goald/api/publishing.py",
                "-(-event.work // UNIT_WORK))",
                "1)",
            ),
        ),
        ("tests/unit/api/test_units.py",),
    ),
    Guard(
        "limit: the start of a contact that was deleted later takes no place",
        "E5",
        (
            Edit(
                _MEMORY,
                "        return is_here or"
                " (deleted is not None and deleted.covers(start.enrolled_at))\n",
                "        return is_here\n",
            ),
            Edit(
                "src/goald/adapters/postgres/shard/commit.py",
                "        and tombstone.covers(start.enrolled_at)\n",
                "        and False\n",
            ),
        ),
        (START_LIMIT, "tests/contract/shard_store/test_shard_store_repeats.py"),
    ),
    Guard(
        "embedded: Postgres files of a release without passwords get them",
        "D8",
        (Edit(_EMBEDDED, " and requires_passwords(self._directory)", ""),),
        (PASSWORDS,),
    ),
    Guard(
        "embedded: lost passwords are replaced",
        "D8",
        (Edit(_EMBEDDED, "if self._passwords.is_saved and requires", "if requires"),),
        (PASSWORDS,),
    ),
    Guard(
        "embedded: the log of Postgres has no details of errors",
        "D8",
        (Edit(_EMBEDDED, '    "log_error_verbosity": "terse",\n', ""),),
        (PASSWORDS,),
    ),
    Guard(
        "embedded: the log of Postgres has no statements",
        "D8",
        (Edit(_EMBEDDED, '    "log_min_error_statement": "panic",\n', ""),),
        (PASSWORDS,),
    ),
    Guard(
        "deletion: a workflow with active enrollments is not deleted",
        "E5",
        (
            Edit(
                "src/goald/domain/configuration/edits.py",
                "    active = current.active_enrollments[workflow_id]\n",
                "    active = 0\n",
            ),
        ),
        (DELETION, "tests/unit/domain/test_edits.py"),
    ),
    Guard(
        "deletion: prune keeps a workflow with active enrollments",
        "E5",
        (
            Edit(
                "src/goald/domain/configuration/diff.py",
                "        if not current.active_enrollments[row.id]:\n",
                "        if True:\n",
            ),
        ),
        (DELETION, "tests/unit/domain/test_configuration_diff.py"),
    ),
    Guard(
        "deletion: a shard that starts reaches the version of a deletion",
        "E10",
        (
            Edit(
                _POSTGRES,
                "                newest = await connection.fetchval(statements.NEWEST_VERSION)\n",
                "",
            ),
        ),
        (CONFIGURATION,),
    ),
    Guard(
        "deletion: a running shard learns of it",
        "E8",
        (
            Edit(
                _POSTGRES,
                'for row in rows if row["is_deleted"]]',
                'for row in rows if row["is_deleted"] is None]',
            ),
        ),
        (CONFIGURATION,),
    ),
    Guard(
        "metrics: rendered at most twice a second",
        "D8",
        (
            Edit(
                "src/goald/api/metrics_text.py",
                "if self._rendered_at is None or now - self._rendered_at >= KEEP_SECONDS:",
                "if True:",
            ),
        ),
        ("tests/unit/api/test_metrics_text.py",),
    ),
    Guard(
        "dead letters: the tenant that has most loses first",
        "D5, D8",
        (
            Edit(_DEAD, "'ZREVRANGE', tenants, 0, 0)", "'ZRANGE', tenants, 0, 0)"),
            Edit(
                "src/goald/adapters/memory/dead_letters.py",
                "most = max(sizes, key=lambda tenant: (sizes[tenant], tenant))",
                "most = next(tenant for tenant in sizes if sizes[tenant])",
            ),
        ),
        (DEAD_SHARES,),
    ),
    Guard(
        "dead letters: what is removed is discounted from its tenant",
        "D5, D8",
        (
            Edit(
                _DEAD,
                "tonumber(redis.call('ZINCRBY', tenants, -size, tenant)) <= 0",
                "tonumber(redis.call('ZINCRBY', tenants, 0, tenant)) <= 0",
            ),
        ),
        (DEAD_ACCOUNT,),
    ),
    Guard(
        "dead letters: entries that another program deleted are noticed",
        "D5, D8",
        (
            Edit(
                _DEAD,
                "if counted('entries') ~= redis.call('XLEN', dead) then return forget() end",
                "",
            ),
        ),
        (DEAD_ACCOUNT,),
    ),
    Guard(
        "dead letters: an erased one does not return from a copy of the stream",
        "D5",
        (
            Edit(_DEAD, "  redis.call('XDEL', packed, id)\n", ""),
            Edit(
                _DEAD,
                "if redis.call('XLEN', packed) ~= redis.call('XLEN', dead) then",
                "if false then",
            ),
        ),
        (DEAD_ACCOUNT,),
    ),
    Guard(
        "dead letters: a consumer group prevents the copy",
        "D5",
        (Edit(_DEAD, "if #redis.call('XINFO', 'GROUPS', dead) > 0 then", "if false then"),),
        (DEAD_ACCOUNT,),
    ),
)
