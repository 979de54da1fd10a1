"""The guards that prevent lost, doubled or unjustified exits, and how each one is removed.

`make mutation` removes each guard by editing the source and checks that tests fail. The text of
every edit must occur exactly once in its file; `tests/unit/test_guards.py` checks that.
"""

from tests.fault.guards.actions.gate import GATE_GUARDS
from tests.fault.guards.actions.job import JOB_GUARDS
from tests.fault.guards.actions.machine import MACHINE_GUARDS
from tests.fault.guards.actions.request import REQUEST_GUARDS
from tests.fault.guards.actions.shard import SHARD_ACTION_GUARDS
from tests.fault.guards.actions.worker import WORKER_GUARDS
from tests.fault.guards.api import API_GUARDS
from tests.fault.guards.contact import CONTACT_GUARDS
from tests.fault.guards.definition import DEFINITION_GUARDS
from tests.fault.guards.erasure import ERASURE_GUARDS
from tests.fault.guards.fact import FACT_GUARDS
from tests.fault.guards.guard import Edit, Guard
from tests.fault.guards.http import HTTP_GUARDS
from tests.fault.guards.merges import MERGE_GUARDS
from tests.fault.guards.migration import MIGRATION_GUARDS
from tests.fault.guards.reserved import RESERVED_GUARDS
from tests.fault.guards.runs.after_end import AFTER_END_GUARDS
from tests.fault.guards.runs.execution import EXECUTION_GUARDS
from tests.fault.guards.runs.missed import MISSED_GUARDS
from tests.fault.guards.runs.missed_rows import MISSED_ROW_GUARDS
from tests.fault.guards.runs.use import USE_GUARDS
from tests.fault.guards.source import SOURCE_GUARDS
from tests.fault.guards.tenant import TENANT_GUARDS
from tests.fault.guards.turn import TURN_GUARDS
from tests.fault.guards.webhook import WEBHOOK_GUARDS

MACHINE = "tests/property/test_crash_machine.py"
FLOW = "tests/unit/pipeline/test_flow.py"
FENCING = "tests/integration/postgres/test_store_fencing.py"
STORE = "tests/contract/shard_store/test_shard_store.py"
STREAM = "tests/contract/test_event_stream.py"
SEQUENCE = "tests/unit/pipeline/test_sequence.py"
_FLOW = "src/goald/pipeline/flow.py"
_MEMORY = "src/goald/adapters/memory/store.py"
_MEMORY_STREAMS = "src/goald/adapters/memory/streams.py"
_POSTGRES = "src/goald/adapters/postgres/shard/store.py"
_STATEMENTS = "src/goald/adapters/postgres/shard/statements.py"

GUARDS = (
    Guard(
        "fencing: a commit locks its lease",
        "D3",
        (
            Edit(
                _POSTGRES,
                "                await require(connection, statements.HOLD_LEASE, lease)\n"
                "                self._fail_point(FailPoint.LEASE_LOCKED)\n",
                "                self._fail_point(FailPoint.LEASE_LOCKED)\n",
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
                'elif row is not None and row.status == "active" and i not in torn:',
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
    *TURN_GUARDS,
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
    *CONTACT_GUARDS,
    *DEFINITION_GUARDS,
    *FACT_GUARDS,
    *TENANT_GUARDS,
    *ERASURE_GUARDS,
    *USE_GUARDS,
    *EXECUTION_GUARDS,
    *MISSED_GUARDS,
    *MISSED_ROW_GUARDS,
    *AFTER_END_GUARDS,
    *API_GUARDS,
    *HTTP_GUARDS,
    *RESERVED_GUARDS,
    *MERGE_GUARDS,
    *SOURCE_GUARDS,
    *WEBHOOK_GUARDS,
    *SHARD_ACTION_GUARDS,
    *MACHINE_GUARDS,
    *GATE_GUARDS,
    *JOB_GUARDS,
    *REQUEST_GUARDS,
    *WORKER_GUARDS,
    *MIGRATION_GUARDS,
)
"""Two guards that prevent the same fault are one entry, because removing only one of them may
change nothing."""
