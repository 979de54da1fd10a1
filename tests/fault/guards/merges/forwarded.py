"""The guards of events of merged contacts (E21), and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

MERGES = "tests/contract/shard_store/test_shard_store_merges.py"
FLOW = "tests/unit/pipeline/shard/test_merged_contacts.py"
_FORWARD = "src/goald/pipeline/ingest/forward.py"

FORWARDED_GUARDS = (
    Guard(
        "merges: events of the other contact since the merge are delivered again",
        "E21",
        (Edit(_FORWARD, "        if moved:\n", "        if not moved and events:\n"),),
        (FLOW,),
    ),
    Guard(
        "merges: events that are processed before the enrollments have moved are delivered again",
        "E21",
        (
            Edit(
                _FORWARD,
                "            processed = [self._put(each) for each in events]\n",
                "            before = dict(self._route.dispatched)\n"
                "            processed = [self._put(each) for each in events]\n",
            ),
            Edit(
                _FORWARD,
                "            dispatched = dict(self._route.dispatched)\n",
                "            dispatched = before\n",
            ),
        ),
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
                "        if batch.origin is None:\n",
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
        "merges: an event that was passed on before a deletion goes back",
        "E21",
        (
            Edit(
                "src/goald/pipeline/flow.py",
                "        group = await self._transfers.with_returned(group)\n",
                "",
            ),
        ),
        (FLOW,),
    ),
    Guard(
        "merges: a contact that continues elsewhere than the merged one has none of its events",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/merging/forwards.py",
                "IS DISTINCT FROM coalesce(i.into_contact_id, n.into_contact_id)",
                "IS DISTINCT FROM n.into_contact_id",
            ),
            Edit(
                "src/goald/adapters/memory/merging/merges.py",
                "        or end != end_of(tables, each.tenant_id, each.into_contact_id)\n",
                "        or end != each.into_contact_id\n",
            ),
        ),
        ("tests/contract/shard_store/test_shard_store_deletions_of_merged.py",),
    ),
    Guard(
        "merges: events since a merge are read for each contact within its own limit",
        "D8, E21",
        (
            Edit(
                "src/goald/pipeline/ingest/redelivery.py",
                "            if self._since[key] <= milliseconds:\n",
                "            if milliseconds:\n",
            ),
        ),
        ("tests/unit/pipeline/ingest/test_redelivery.py",),
    ),
    Guard(
        "merges: events since a merge are read up to a limit",
        "D8, E21",
        (
            Edit(
                "src/goald/pipeline/ingest/redelivery.py",
                "stopped = [key for key in self.slots if self._remaining[key] <= 0]",
                "stopped: list[tuple[str, str]] = []",
            ),
        ),
        ("tests/unit/pipeline/ingest/test_redelivery.py",),
    ),
    Guard(
        "merges: contacts whose events since a merge were removed are counted",
        "E21",
        (
            Edit(
                "src/goald/pipeline/ingest/redelivery.py",
                "each.received_ms < milliseconds for each in contacts",
                "each.received_ms < 0 for each in contacts",
            ),
        ),
        ("tests/unit/pipeline/ingest/test_redelivery.py",),
    ),
)
