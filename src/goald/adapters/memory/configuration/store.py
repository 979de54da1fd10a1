"""The configuration of tenants, in memory."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from goald.domain.configuration.criteria import references
from goald.domain.configuration.workflows import (
    ChangeSet,
    CommittedChanges,
    ConfigurationChange,
    ConfigurationScope,
    CurrentConfiguration,
    CurrentDefinition,
    DefinitionRow,
    DefinitionVersion,
    EntityRow,
    GoalRow,
    RolloutStatus,
    RowMetadata,
    SettingsRow,
    WorkflowRow,
)
from goald.domain.definitions.documents import document_text
from goald.ports.clock import Clock


@dataclass(slots=True)
class _StoredDefinition:
    """The versions of a definition, by number, and who wrote them."""

    versions: dict[int, tuple[DefinitionRow, DefinitionVersion]] = field(default_factory=dict)
    last_version: int = 0
    revision: int = 0


@dataclass(slots=True)
class _Tenant:
    workflows: dict[str, WorkflowRow] = field(default_factory=dict)
    goals: dict[str, list[GoalRow]] = field(default_factory=dict)
    definitions: dict[str, _StoredDefinition] = field(default_factory=dict)
    catalog: dict[str, dict[str, EntityRow]] = field(default_factory=dict)
    settings: SettingsRow | None = None
    versions: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """The last version of each workflow and goal, those that were deleted included."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class MemoryConfigurationStore:
    """`configuration.ports.ConfigurationStore`. It has no enrollments and no shards, publishes no
    notices, and keeps no audit log."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tenants: dict[str, _Tenant] = defaultdict(_Tenant)
        self._version = 0

    async def load(self, tenant: str, scope: ConfigurationScope) -> CurrentConfiguration:
        return _in_scope(self._tenants[tenant], scope)

    async def workflows(
        self, tenant: str, offset: int, limit: int
    ) -> tuple[Sequence[WorkflowRow], int]:
        rows = [row for _, row in sorted(self._tenants[tenant].workflows.items())]
        return rows[offset : offset + limit], len(rows)

    async def entities(self, tenant: str, kind: str, after: str, limit: int) -> Sequence[EntityRow]:
        found = sorted(self._tenants[tenant].catalog.get(kind, {}).items())
        return [row for entity_id, row in found if entity_id > after][:limit]

    async def definition(self, tenant: str, workflow_id: str, version: int) -> DefinitionRow | None:
        stored = self._tenants[tenant].definitions.get(workflow_id)
        found = None if stored is None else stored.versions.get(version)
        return None if found is None else found[0]

    async def definitions(
        self, tenant: str, workflow_id: str, offset: int, limit: int
    ) -> tuple[Sequence[DefinitionVersion], int]:
        stored = self._tenants[tenant].definitions.get(workflow_id, _StoredDefinition())
        newest_first = [entry for _, (_, entry) in sorted(stored.versions.items(), reverse=True)]
        return newest_first[offset : offset + limit], len(newest_first)

    async def change(
        self,
        tenant: str,
        actor: str,
        scope: ConfigurationScope,
        decide: Callable[[CurrentConfiguration], ChangeSet],
    ) -> CommittedChanges:
        stored = self._tenants[tenant]
        async with stored.lock:
            change_set = decide(_in_scope(stored, scope))
            written = [self._write(stored, change, actor) for change in change_set.changes]
        if not any(not isinstance(change.row, EntityRow) for change in written):
            return CommittedChanges(written, None, [])
        self._version += 1
        return CommittedChanges(written, self._version, [])

    async def mark_published(self, tenant: str, numbers: Sequence[int]) -> None:
        pass

    async def rollout(self, version: int) -> RolloutStatus:
        return RolloutStatus(0, 0)

    async def close(self) -> None:
        pass

    def _write(
        self, stored: _Tenant, change: ConfigurationChange, actor: str
    ) -> ConfigurationChange:
        match change.row:
            case SettingsRow() as row:
                stored.settings = row
            case EntityRow() as row if change.after is None:
                stored.catalog[row.kind].pop(row.id, None)
            case EntityRow() as row:
                stored.catalog.setdefault(row.kind, {})[row.id] = row
            case WorkflowRow() as row if change.after is None:
                stored.versions[row.id] += 1
                stored.workflows.pop(row.id, None)
                if row.id in stored.definitions:
                    stored.definitions[row.id].versions.clear()
            case WorkflowRow() as row:
                before = stored.workflows.get(row.id)
                saved = replace(row, metadata=self._metadata(stored, row.id, before))
                stored.workflows[row.id] = saved
                return replace(change, after=saved)
            case GoalRow() as row:
                others = [
                    goal for goal in stored.goals.get(row.workflow_id, []) if goal.id != row.id
                ]
                before_goal = change.before if isinstance(change.before, GoalRow) else None
                goal = replace(row, metadata=self._metadata(stored, str(row.id), before_goal))
                kept = others if change.after is None else [*others, goal]
                stored.goals[row.workflow_id] = sorted(kept, key=lambda each: each.position)
                return replace(change, after=None if change.after is None else goal)
            case DefinitionRow() as row:
                return replace(change, after=self._write_definition(stored, row, actor))
        return change

    def _metadata(
        self, stored: _Tenant, name: str, before: WorkflowRow | GoalRow | None
    ) -> RowMetadata:
        stored.versions[name] += 1
        now_us = self._clock.now_us()
        known = before.metadata if before is not None else None
        created_at = known.created_at if known is not None else now_us
        return RowMetadata(stored.versions[name], created_at, now_us)

    def _write_definition(self, stored: _Tenant, row: DefinitionRow, actor: str) -> DefinitionRow:
        document_text(row.document)
        definition = stored.definitions.setdefault(row.workflow_id, _StoredDefinition())
        now_us = self._clock.now_us()
        definition.revision += 1
        definition.last_version = max(definition.last_version, row.version)
        old = definition.versions.get(row.version)
        draft = next(
            (v for v, (each, _) in definition.versions.items() if not each.is_published), None
        )
        if draft is not None:
            del definition.versions[draft]
        entry = (
            old[1]
            if old is not None
            else DefinitionVersion(
                row.version, row.digest, now_us, actor, now_us, actor, None, None
            )
        )
        if row.published_at is None:
            published = (now_us, actor) if row.is_published else (None, None)
            entry = DefinitionVersion(
                row.version,
                row.digest,
                entry.created_at,
                entry.created_by,
                now_us,
                actor,
                *published,
            )
        saved = replace(
            row,
            published_at=entry.published_at,
            metadata=RowMetadata(definition.revision, entry.created_at, entry.updated_at),
        )
        definition.versions[row.version] = (saved, entry)
        return saved


def _in_scope(stored: _Tenant, scope: ConfigurationScope) -> CurrentConfiguration:
    ids = stored.workflows.keys() if scope.workflows is None else scope.workflows
    workflows = {id_: stored.workflows[id_] for id_ in ids if id_ in stored.workflows}
    goals = {id_: [*stored.goals[id_]] for id_ in workflows if stored.goals.get(id_)}
    entities = set(scope.entities)
    if scope.references:
        for row in (row for rows in goals.values() for row in rows):
            entities |= {(kind, id_) for _, kind, id_ in references(row.goal_type, row.criteria)}
    current = CurrentConfiguration(
        workflows,
        goals,
        settings=stored.settings if scope.settings else None,
        active_enrollments=dict.fromkeys(workflows, 0) if scope.active_enrollments else {},
    )
    for kind, rows in stored.catalog.items():
        found = {
            id_: row for id_, row in rows.items() if kind in scope.kinds or (kind, id_) in entities
        }
        if found:
            current.catalog[kind] = found
        if entities and rows:
            current.kinds.add(kind)
    if scope.definitions:
        current.definitions = {
            id_: _current_definition(stored.definitions[id_])
            for id_ in workflows
            if id_ in stored.definitions
        }
    return current


def _current_definition(stored: _StoredDefinition) -> CurrentDefinition:
    rows = [row for _, (row, _) in sorted(stored.versions.items())]
    draft = next((row for row in rows if not row.is_published), None)
    published = next((row for row in reversed(rows) if row.is_published), None)
    return CurrentDefinition(draft, published, stored.last_version)
