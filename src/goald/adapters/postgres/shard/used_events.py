"""Used events: one event counts in one run of a contact through a workflow (E11).

Each use has a number from one sequence. An enrollment excludes the events whose numbers are at most
its `used_before`: those that had counted for its contact in its workflow when it was inserted. Uses
of a contact that was merged keep their numbers, and have the same merges as the enrollments that
moved with them.
"""

from collections.abc import Callable, Sequence
from typing import Any

from goald.ports.change import Change
from goald.ports.shard_store import EventCheck, Excluded

NUMBERS = """
SELECT nextval('goald.used_event_number') FROM generate_series(1, $1::bigint)
"""
"""New numbers, in increasing order."""

INSERT = """
INSERT INTO goald.used_events AS u
    (tenant_id, contact_id, workflow_id, event, slot, enrolled_at, number, received_at)
SELECT n.tenant_id, n.contact_id, n.workflow_id, n.event::uuid, n.slot, goald.at(n.enrolled_at),
       coalesce(n.number, nextval('goald.used_event_number')), goald.at(n.received_at)
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::int2[], $6::int8[], $7::int8[],
            $8::int8[])
    AS n (tenant_id, contact_id, workflow_id, event, slot, enrolled_at, number, received_at)
ON CONFLICT (tenant_id, contact_id, workflow_id, event)
    DO UPDATE SET enrolled_at = excluded.enrolled_at WHERE u.enrolled_at < excluded.enrolled_at
"""
"""Keeps the number of the first use. `enrolled_at` is that of the latest enrollment for which the
event counted: when it began, so that the erasure of a contact keeps the uses of a later contact
under its id."""

ONLY_OF_DELETED = """
SELECT n.place
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY
    AS n (tenant_id, contact_id, workflow_id, place)
JOIN goald.erasures t ON t.tenant_id = n.tenant_id AND t.contact_id = n.contact_id
WHERE NOT EXISTS (
    SELECT FROM goald.used_events u
    WHERE u.tenant_id = n.tenant_id AND u.contact_id = n.contact_id
      AND u.workflow_id = n.workflow_id AND u.enrolled_at > t.deleted_at)
"""
"""The places of the runs whose used events are all of a deleted contact, whose pages are not done.
Reads all of them."""

COUNTED_BEFORE = """coalesce(
    u.received_at < goald.at((SELECT max(merge) FROM unnest(e.merges) AS merge
                              WHERE merge <> ALL (coalesce(u.merges, '{}')))),
    u.number <= e.used_before)"""
"""Whether an event had counted for the contact of an enrollment before that was inserted; or, if it
had counted for another contact, whether Redis received it before the merge of the two."""

EXCLUDED = f"""
SELECT n.place
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int8[], $7::int8[])
    WITH ORDINALITY
    AS n (tenant_id, contact_id, workflow_id, enrollment_id, event, received_at, next_merge, place)
LEFT JOIN goald.workflow_enrollments e ON e.tenant_id = n.tenant_id AND e.id = n.enrollment_id
LEFT JOIN goald.used_events u
    ON u.tenant_id = n.tenant_id AND u.contact_id = n.contact_id
    AND u.workflow_id = n.workflow_id AND u.event = n.event::uuid
WHERE e.started_by = n.event::uuid
   OR e.id IS NOT NULL AND n.next_merge <> coalesce(
        (SELECT min(merge) FROM unnest(e.merges) AS merge WHERE merge > n.received_at), 0)
   OR u.number IS NOT NULL AND (e.id IS NULL OR {COUNTED_BEFORE}) AND NOT EXISTS (
        SELECT FROM goald.erasures t
        WHERE t.tenant_id = u.tenant_id AND t.contact_id = u.contact_id
          AND u.enrolled_at <= t.deleted_at AND (e.id IS NULL OR e.used_before > t.used_before))
"""
"""The places of the checks whose event does not count for the enrollment. An event and an
enrollment had the same contact when Redis received the event if the same merge is the first that
moved them since (E21). An enrollment that was
inserted after the deletion of its contact ignores the uses of the deleted contact, which are there
until the pages of the erasure are done."""

_Use = tuple[str, str, str, str]
"""Tenant, contact, workflow and event."""


class Uses:
    """The used events of a change: each once for a contact and workflow, in the order of the
    events."""

    def __init__(self, change: Change) -> None:
        self._effects = change.effects
        self._after_event = change.effects.after_event
        self._uses: dict[_Use, list[int]] = {}
        self._received_at: dict[_Use, int] = {}
        for i, event, received_at in change.used_events:
            self._uses.setdefault(self._key(i, event), []).append(i)
            self._received_at.setdefault(self._key(i, event), received_at)
        self._number_of: dict[_Use, int] = {}
        self.before: Sequence[int | None] = [None] * len(change.effects)
        """For each effect: the number of the last use in the change before its enrollment."""
        self.first_number: int | None = None
        """A number below those of the uses, if they have any before they are written."""

    async def allocate_numbers(self, connection: Any) -> None:
        """Number the uses before they are written, if an enrollment of the same change started
        after one of them."""
        after = self._after_event
        if not any(after):
            return
        rows = await connection.fetch(NUMBERS, len(self._uses) + 1)
        self.first_number, *numbers = [number for (number,) in rows]
        self._number_of = dict(zip(self._uses, numbers, strict=True))
        self.before = [
            None if event is None else self._number_of.get(self._key(i, event))
            for i, event in enumerate(after)
        ]

    async def only_of_deleted(self, connection: Any, started: Sequence[int]) -> set[int]:
        """Those of these effects, which start enrollments of contacts that were deleted before,
        whose contact has used events in the workflow only from before its deletion."""
        of = self._effects
        runs: dict[tuple[str, str, str], list[int]] = {}
        for i in started:
            runs.setdefault((of.tenant_id[i], of.contact_id[i], of.workflow_id[i]), []).append(i)
        rows = await connection.fetch(ONLY_OF_DELETED, *map(list, zip(*runs, strict=True)))
        each = list(runs.values())
        return {i for (place,) in rows for i in each[place - 1]}

    async def write(
        self, connection: Any, effective: Sequence[int], began_at: Callable[[int], int]
    ) -> None:
        """Write the uses by effects that have changed a row. `began_at`: when the enrollment of an
        effect began."""
        of = self._effects
        rows = [
            (*use, of.slot[effects[0]], max(map(began_at, effects)),
             self._number_of.get(use), self._received_at[use])
            for use, each in self._uses.items()
            if (effects := [i for i in each if effective[i]])
        ]  # fmt: skip
        if rows:
            await connection.execute(INSERT, *map(list, zip(*rows, strict=True)))

    def _key(self, i: int, event: str) -> _Use:
        of = self._effects
        return of.tenant_id[i], of.contact_id[i], of.workflow_id[i], event


async def excluded(connection: Any, checks: Sequence[EventCheck]) -> set[Excluded]:
    """See `ShardStore.excluded`."""
    rows = await connection.fetch(EXCLUDED, *map(list, zip(*checks, strict=True)))
    found = (checks[place - 1] for (place,) in rows)
    return {Excluded(of.tenant_id, of.enrollment_id, of.event, of.received_at) for of in found}
