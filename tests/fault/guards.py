"""The guards that prevent lost, doubled or unjustified exits, and how each one is removed.

`make mutation` removes each guard by editing the source and checks that tests fail. The text of
every edit must occur exactly once in its file; `tests/unit/test_guards.py` checks that.
"""

from tests.fault.api_guards import API_GUARDS
from tests.fault.guard import Edit, Guard

MACHINE = "tests/property/test_crash_machine.py"
FLOW = "tests/unit/pipeline/test_flow.py"
FENCING = "tests/integration/postgres/test_store_fencing.py"
STORE = "tests/contract/test_shard_store.py"
STREAM = "tests/contract/test_event_stream.py"
SEQUENCE = "tests/unit/pipeline/test_sequence.py"

TURNS = "tests/unit/pipeline/test_turns.py"
START_LIMIT = "tests/unit/pipeline/shard/test_start_limit.py"
PASSWORDS = "tests/integration/daemon/test_embedded_passwords.py"
DELETION = "tests/integration/api/configuration/test_deletion.py"
CONFIGURATION = "tests/contract/test_shard_store_configuration.py"

ERASURE = "tests/contract/test_shard_store_erasure.py"
ERASURE_JOB = "tests/unit/erasure/test_erasure_job.py"

_EMBEDDED = "src/goald/runtime/embedded/postgres.py"
_TURNS = "src/goald/pipeline/shard/turns.py"
_FLOW = "src/goald/pipeline/flow.py"
_MEMORY = "src/goald/adapters/memory/store.py"
_MEMORY_STREAMS = "src/goald/adapters/memory/streams.py"
_POSTGRES = "src/goald/adapters/postgres/shard/store.py"
_ERASURE_JOB = "src/goald/runtime/jobs/erasure.py"
_STATEMENTS = "src/goald/adapters/postgres/shard/statements.py"

GUARDS = (
    Guard(
        "fencing: a commit locks its lease",
        "D3",
        (
            Edit(
                _POSTGRES,
                "                await _require(connection, statements.HOLD_LEASE, lease)\n",
                "",
            ),
            Edit(
                _MEMORY,
                "        self._require(lease)\n        effects = change.effects\n",
                "        effects = change.effects\n",
            ),
        ),
        (MACHINE, FENCING, STORE),
    ),
    Guard(
        "epoch check: after an evaluation that changed nothing",
        "D2",
        (
            Edit(
                "src/goald/pipeline/shard/commit.py",
                "        await store.check(lease)\n",
                "",
            ),
        ),
        (MACHINE, FLOW),
    ),
    Guard(
        "epoch check: with every read of a stream, and every acknowledgement",
        "D3",
        (
            Edit(
                _MEMORY_STREAMS,
                "if self._lease is None or epoch > self._lease.epoch:",
                "if self._lease is None:",
            ),
            Edit(
                "src/goald/adapters/redis/events/guarded.py",
                "                if current != expected:\n                    raise",
                "                expected = current or expected\n"
                "                if current != expected:\n                    raise",
            ),
        ),
        (STREAM,),
    ),
    Guard(
        "epoch check: a shard refuses an older consumer",
        "D3",
        (
            Edit(
                "src/goald/pipeline/shard/sequence.py",
                "if progress is not None and batch.epoch < progress.epoch:",
                "if progress is not None and batch.epoch < 0:",
            ),
        ),
        (SEQUENCE,),
    ),
    Guard(
        "ack-last: a batch is acknowledged when all its effects are published",
        "D2",
        (Edit(_FLOW, "            await self._in_flight.wait_processed(batch)\n", ""),),
        (MACHINE, FLOW),
    ),
    Guard(
        "ack-last: a shard reports a batch as processed when it has published",
        "D2",
        (
            Edit(
                _FLOW,
                "        while slice_ := await self._to_publish.get():\n",
                "        while slice_ := await self._to_publish.get():\n"
                "            if slice_.group is not None:\n"
                "                slice_.group.done()\n",
            ),
        ),
        (FLOW,),
    ),
    Guard(
        "idempotent insert: an existing enrollment is not overwritten",
        "D1, E5",
        (
            Edit(
                _STATEMENTS,
                "ON CONFLICT (tenant_id, id) DO NOTHING",
                "ON CONFLICT (tenant_id, id) DO UPDATE SET status = excluded.status",
            ),
            Edit(_MEMORY, "if is_new and row is None:", "if is_new:"),
        ),
        (MACHINE, STORE),
    ),
    Guard(
        "idempotent update: a status leaves `active` once",
        "D1, E5",
        (
            Edit(
                _STATEMENTS,
                "WHERE e.tenant_id = n.tenant_id AND e.id = n.id "
                "AND (e.status = 'active') IS TRUE\nRETURNING",
                "WHERE e.tenant_id = n.tenant_id AND e.id = n.id\nRETURNING",
            ),
            Edit(
                _MEMORY,
                'elif row is not None and row.status == "active":',
                "elif row is not None:",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "outbox: the next lease holder publishes the committed, unpublished rows",
        "D2",
        (
            Edit(
                "src/goald/pipeline/outbox/publish.py",
                "                    await self.publish(backlog)\n",
                "                    pass\n",
            ),
        ),
        (MACHINE, FLOW),
    ),
    Guard(
        "outbox: exits and notices are rows of the same commit as their cause",
        "D2",
        (
            Edit(
                _MEMORY,
                "                self._tables.outbox[number] = OutboxEntry(",
                "                OutboxEntry(",
            ),
            Edit(
                _STATEMENTS,
                "ORDER BY n.place\nRETURNING number",
                "WHERE false ORDER BY n.place\nRETURNING number",
            ),
        ),
        (MACHINE, STORE),
    ),
    Guard(
        "reload: after a commit whose outcome is unknown",
        "D1",
        (
            Edit(
                "src/goald/pipeline/shard/evaluate.py",
                "        self._matcher.evict(contacts)\n        self._matcher.load(bytes(rows))\n",
                "",
            ),
        ),
        (MACHINE, FLOW),
    ),
    Guard(
        "backlog: messages of an unknown commit are published before the group is done",
        "D2",
        (
            Edit(
                "src/goald/pipeline/shard/committer.py",
                '        await context.retry("Postgres: outbox", "publish_backlog", '
                "publish_backlog)\n",
                "",
            ),
        ),
        (MACHINE,),
    ),
    Guard(
        "sequence: a shard accepts only the next batch of a stream",
        "D1",
        (
            Edit(
                "src/goald/pipeline/shard/sequence.py",
                "        if batch.sequence > progress.next:\n            raise OutOfSequence(",
                "        if batch.sequence > progress.next + 1_000_000:\n"
                "            raise OutOfSequence(",
            ),
        ),
        (SEQUENCE,),
    ),
    Guard(
        "turns: a tenant's new events wait behind its deferred events",
        "D1, D8",
        (
            Edit(
                _TURNS,
                "            frozenset(self._deferred),\n",
                "",
            ),
        ),
        (MACHINE, TURNS),
    ),
    Guard(
        "turns: events that are deferred again go before those deferred later",
        "D1, D8",
        (Edit(_TURNS, ".extendleft(reversed(events))", ".extend(events)"),),
        (MACHINE, TURNS),
    ),
    Guard(
        "turns: a batch is processed when its deferred events are",
        "D2",
        (
            Edit(
                "src/goald/pipeline/shard/group.py",
                "            completion.add_piece()\n",
                "",
            ),
        ),
        (MACHINE, TURNS),
    ),
    Guard(
        "turns: the turns of deferred events are short while other tenants send events",
        "D8",
        (Edit(_TURNS, "is_short = self._groups_alone < GROUPS_ALONE or", "is_short ="),),
        (TURNS,),
    ),
    Guard(
        "turns: a call does not wait for deferred events",
        "D8",
        (
            Edit(
                "src/goald/pipeline/shard/admission.py",
                "grouped if batch.may_be_deferred else future",
                "future",
            ),
        ),
        (TURNS,),
    ),
    Guard(
        "throttling: a tenant whose deferred events fill a stream is throttled",
        "D8",
        (
            Edit(
                "src/goald/pipeline/shard/throttle.py",
                "if size > self._max_bytes",
                "if size > 1 << 40",
            ),
        ),
        (TURNS,),
    ),
    Guard(
        "turns: a group that is bisected keeps the order of a tenant",
        "D1, D4",
        (
            Edit(
                "src/goald/pipeline/shard/progress.py",
                "        if not self._deferred or not group.completions:\n",
                "        if group.tenant is not None or self._deferred is not None:\n",
            ),
        ),
        (MACHINE, TURNS),
    ),
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
                "src/goald/pipeline/shard/start_limit.py",
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
                "            if active[start.contact] >= self._max_active:\n",
                "            if start.position < 0:\n",
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
        (START_LIMIT, "tests/contract/test_shard_store_repeats.py"),
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
        "renewal: a holder that cannot renew its lease stops",
        "D3",
        (
            Edit(
                "src/goald/pipeline/lease_renewal.py",
                '                    raise LeaseLost(f"not renewed for {LEASE_SECONDS:.0f} s") '
                "from None\n",
                "                    renewed = self._clock.monotonic()\n",
            ),
        ),
        ("tests/unit/pipeline/test_lease_renewal.py",),
    ),
    *API_GUARDS,
)
"""Two guards that prevent the same fault are one entry, because removing only one of them may
change nothing."""
