"""The guards of tenants: secrets, limits, quotas, passwords, deletion, dead letters."""

from tests.fault.guards.guard import Edit, Guard

START_LIMIT = "tests/unit/pipeline/shard/test_start_limit.py"
PASSWORDS = "tests/integration/daemon/embedded/test_passwords.py"
DELETION = "tests/integration/api/configuration/test_deletion.py"
CONFIGURATION = "tests/contract/shard_store/test_shard_store_configuration.py"
DEAD_SHARES = "tests/contract/dead_letters/test_dead_letter_shares.py"
DEAD_ACCOUNT = "tests/integration/redis/test_dead_shares.py"
_DEAD = "src/goald/adapters/redis/dead_letters/scripts.py"
_EMBEDDED = "src/goald/runtime/embedded/postgres.py"
_MEMORY = "src/goald/adapters/memory/store.py"
_POSTGRES = "src/goald/adapters/postgres/shard/store.py"

TENANT_GUARDS = (
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
        "quota: the events of a refused call are not counted",
        "D8",
        (
            Edit(
                "src/goald/adapters/redis/quotas.py",
                "exceeded == 0 and parts or 0 do",
                "exceeded == 0 and parts or exceeded - 1 do",
            ),
        ),
        ("tests/integration/api/auth/test_quotas.py",),
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
        "apply: --prune deletes no workflow if the file has no section for them",
        "E10",
        (
            Edit(
                "src/goald/domain/configuration/diff.py",
                "if prune and desired.lists_workflows:",
                "if prune:",
            ),
        ),
        ("tests/unit/domain/test_configuration_diff.py",),
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
