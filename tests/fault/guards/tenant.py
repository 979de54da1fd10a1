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
ERASURE_JOB = "tests/unit/erasure/test_erasure_job.py"
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
                "        and tombstone.covers(of.enrolled_at[i])\n",
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
        "erasure: payloads are erased in the transaction of the deletion",
        "E5",
        (
            Edit(
                "src/goald/adapters/postgres/shard/erasure.py",
                "            statements.ERASE_ACHIEVEMENTS,\n",
                "",
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
        "one run: a start for which events count before another start may be a repeat",
        "E11",
        (
            Edit(
                "native/matcher/src/evaluate/used.rs",
                "            if effect.is_new() && !effect.met.is_empty()",
                "            if effect.is_new() && effect.used_before > usize::MAX - 1",
            ),
        ),
        (ONE_RUN,),
    ),
    Guard(
        "one run: the erasure of a contact removes its used events",
        "E11",
        (
            Edit(
                "src/goald/adapters/postgres/shard/erasure.py",
                "            statements.ERASE_USED_EVENTS,\n",
                "",
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
                "            at != self.enrolled_at && self.accepted_until",
                "            at == i64::MAX && self.accepted_until",
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
                "self.accepted_until.is_none_or(|until| at > until)",
                "self.accepted_until.is_none_or(|until| until != 0)",
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
