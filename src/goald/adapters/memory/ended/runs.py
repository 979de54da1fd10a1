"""Enrollments that have ended (E18), over the tables in memory."""

from collections.abc import Mapping, Sequence
from typing import Final

from goald.adapters.memory.database import (
    MemoryDatabase,
    StoredEnrollment,
    began_at,
    start_is_known,
)
from goald.domain.records.erasure import PSEUDONYM_PREFIX
from goald.ports.change import EFFECTIVE, Change
from goald.ports.shard_store import (
    ENDED_OF_CONTACT,
    EndedCheck,
    EndPosition,
    RunEnd,
    WatchedRun,
    WatchedRuns,
    first_ends,
)

NEVER: Final = 1 << 62
_WATCHED = ("completed", "exited", "cancelled")


def read(tables: MemoryDatabase, checks: Sequence[EndedCheck]) -> WatchedRuns:
    """See `ShardStore.ended`."""
    runs: dict[tuple[str, str, str], list[WatchedRun]] = {}
    first = first_ends(checks)
    for tenant, contact in {check[:2] for check in checks}:
        ended = [
            row
            for row in tables.enrollments.values()
            if (row.tenant_id, row.contact_id) == (tenant, contact) and row.ended_at is not None
        ]
        ended.sort(key=lambda row: row.ended_at or 0, reverse=True)
        for row in ended[:ENDED_OF_CONTACT]:
            key = tenant, contact, row.workflow_id
            if (row.ended_at or 0) >= first.get(key, NEVER) and _may_meet(tables, row):
                runs.setdefault(key, []).append(_run(row))
    counted = {check for check in checks if check.event in tables.used_events.get(check[:3], {})}
    return WatchedRuns(runs, counted)


def ends(
    tables: MemoryDatabase,
    tenant: str,
    before: Mapping[int, EndPosition],
    first: int,
    limit: int,
) -> list[RunEnd]:
    """See `ShardStore.ends`."""
    found: dict[int, list[RunEnd]] = {slot: [] for slot in before}
    for row in tables.enrollments.values():
        if (
            row.tenant_id == tenant
            and row.slot in before
            and row.ended_at is not None
            and row.status in _WATCHED
            and not row.contact_id.startswith(PSEUDONYM_PREFIX)
            and row.ended_at >= first
            and (row.ended_at, row.id) < before[row.slot]
        ):
            position = EndPosition(row.ended_at, row.id)
            found[row.slot].append(RunEnd(row.slot, position, row.contact_id))
    return [end for ends in found.values() for end in sorted(ends, reverse=True)[:limit]]


def meet(tables: MemoryDatabase, change: Change, effective: bytearray) -> None:
    """Update the enrollments that have ended and meet goals."""
    of = change.effects
    for i, after_end in enumerate(of.after_end):
        row = tables.enrollments.get((of.tenant_id[i], of.enrollment_id[i]))
        if (
            after_end
            and row is not None
            and (row.contact_id, row.workflow_id) == (of.contact_id[i], of.workflow_id[i])
            and row.status in _WATCHED
            and row.met_after_end_at is None
            and set(row.met_goals).isdisjoint(of.met_goals[i])
        ):
            row.met_goals += of.met_goals[i]
            row.met_after_end_at = of.ended_at[i]
            effective[i] = EFFECTIVE


def _may_meet(tables: MemoryDatabase, row: StoredEnrollment) -> bool:
    deleted = tables.deleted.get((row.tenant_id, row.contact_id))
    return (
        row.status in _WATCHED
        and row.met_after_end_at is None
        and row.ended_at is not None
        and (row.ended_at > row.enrolled_at or start_is_known(row))
        and not (deleted is not None and deleted.covers(began_at(row)))
    )


def _run(row: StoredEnrollment) -> WatchedRun:
    return WatchedRun(
        row.id, row.status, row.enrolled_at, row.ended_at or 0, began_at(row), list(row.met_goals),
        row.match_values, row.started_by, list(row.merges),
    )  # fmt: skip
