"""The configuration service of `goald apply` and the API.

A change is decided and written in one transaction, so that a concurrent edit cannot come between.
The shards are then notified, and the call waits until every live shard has loaded the change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4

from goald.configuration.compiled_definitions import (
    CompiledDefinition,
    compile_file,
    require_references,
)
from goald.configuration.definitions import DefinitionService
from goald.configuration.executor import ChangeExecutor, EditResult, is_rolled_out
from goald.configuration.export import export_configuration
from goald.configuration.ports import ConfigurationStore, NoticePublisher
from goald.domain.configuration import edits
from goald.domain.configuration.catalog import Catalog, CatalogCheck, catalog_after
from goald.domain.configuration.criteria import possible_references
from goald.domain.configuration.desired import DesiredConfiguration
from goald.domain.configuration.diff import diff_configuration, scope_for
from goald.domain.configuration.edits import ExpectedVersion, GoalPatch, NewGoal
from goald.domain.configuration.goals import GoalLogic
from goald.domain.configuration.workflows import (
    ConfigurationChange,
    ConfigurationScope,
    CurrentConfiguration,
    EntityRow,
    GoalRow,
    Overdue,
    RolloutStatus,
    SettingsPatch,
    SettingsRow,
    WorkflowRow,
)
from goald.domain.definitions.references import EntityReference
from goald.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class ApplyResult:
    """The result of `ConfigurationService.apply`.

    `version`: the new configuration version; None if no workflow changed in any way. `rollout`:
    None if Postgres became unavailable before it could be read.
    """

    changes: list[ConfigurationChange]
    version: int | None
    rollout: RolloutStatus | None

    @property
    def is_rolled_out(self) -> bool:
        """Whether every live shard has loaded the version."""
        return is_rolled_out(self.rollout)


class ConfigurationService:
    """Reads and changes the configurations of tenants (E3, E10).

    `actor` is recorded in the audit log. Each call may raise ServiceUnavailable, in which case
    nothing was changed. An edit raises the errors of the function of the same name in `edits`.
    """

    def __init__(
        self,
        store: ConfigurationStore,
        clock: Clock,
        *,
        outbound: NoticePublisher | None = None,
        catalog: CatalogCheck = "known",
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        """`outbound`: publishes the notices of changes; None leaves that to the shards, which
        check for them each second. `catalog`: how references of goals are checked."""
        self._store = store
        self._executor = ChangeExecutor(store, outbound, clock, new_id)
        self._clock = clock
        self._check = catalog
        self._new_id = new_id
        self.definitions = DefinitionService(store, self._executor, catalog)
        """The definitions of workflows."""

    async def plan(
        self, desired: DesiredConfiguration, *, prune: bool = False
    ) -> list[ConfigurationChange]:
        """Return the changes that `apply` would make now. Raises InvalidFile as it does."""
        definitions = compile_file(desired)
        current = await self._store.load(desired.tenant, _scope(desired, definitions, prune))
        return self._diff(desired, definitions, current, prune)

    async def apply(
        self, desired: DesiredConfiguration, *, prune: bool = False, actor: str = "goald"
    ) -> ApplyResult:
        """Make the tenant's configuration equal to `desired`, then wait up to WAIT_SECONDS until
        every live shard has loaded it. Idempotent.

        Raises InvalidFile, having changed nothing, if the result would be invalid.
        """
        definitions = compile_file(desired)
        committed, rollout = await self._executor.execute(
            desired.tenant,
            actor,
            _scope(desired, definitions, prune),
            lambda current: self._diff(desired, definitions, current, prune),
        )
        return ApplyResult(committed.changes, committed.version, rollout)

    async def export(self, tenant: str) -> dict[str, Any]:
        """Return the configuration of a tenant as the contents of a file; see
        `export_configuration`."""
        return await export_configuration(self._store, tenant)

    # Reading ----------------------------------------------------------------------------

    async def workflows(
        self, tenant: str, offset: int, limit: int
    ) -> tuple[list[WorkflowRow], int]:
        """Return up to `limit` workflows, ordered by id, and the total number."""
        rows, total = await self._store.workflows(tenant, offset, limit)
        return list(rows), total

    async def workflow(self, tenant: str, workflow_id: str) -> tuple[WorkflowRow, list[GoalRow]]:
        """Return a workflow and its goals in order of position. Raises NotFound."""
        current = await self._store.load(
            tenant, ConfigurationScope([workflow_id], references=False)
        )
        row = edits.workflow_of(current, workflow_id)
        return row, current.goals.get(workflow_id, [])

    async def goal(self, tenant: str, workflow_id: str, goal_id: UUID) -> GoalRow:
        """Return a goal. Raises NotFound."""
        current = await self._store.load(
            tenant, ConfigurationScope([workflow_id], references=False)
        )
        return edits.goal_of(current, workflow_id, goal_id)[1]

    async def entity(self, tenant: str, kind: str, entity_id: str) -> EntityRow:
        """Return a catalog entity. Raises NotFound."""
        current = await self._store.load(tenant, ConfigurationScope(entities=[(kind, entity_id)]))
        return edits.entity_of(current, kind, entity_id)

    async def entities(self, tenant: str, kind: str, after: str, limit: int) -> list[EntityRow]:
        """Return up to `limit` entities of a kind with ids greater than `after`, ordered by id."""
        return list(await self._store.entities(tenant, kind, after, limit))

    async def settings(self, tenant: str) -> SettingsRow:
        """Return the settings of a tenant: the defaults if they were never changed."""
        return edits.settings_of(
            await self._store.load(tenant, ConfigurationScope(settings=True, references=False))
        )

    # Editing ----------------------------------------------------------------------------

    async def put_workflow(
        self,
        tenant: str,
        actor: str,
        workflow_id: str,
        name: str | None,
        goal_logic: GoalLogic | None,
        expected: ExpectedVersion,
    ) -> EditResult[WorkflowRow]:
        return await self._executor.edit(
            tenant, actor, ConfigurationScope([workflow_id], references=False),
            lambda current: edits.put_workflow(current, workflow_id, name, goal_logic, expected),
            lambda current: edits.workflow_of(current, workflow_id),
        )  # fmt: skip

    async def set_active(
        self,
        tenant: str,
        actor: str,
        workflow_id: str,
        is_active: bool,
        expected: ExpectedVersion,
        *,
        exit_missed: bool = False,
        overdue: Overdue | None = None,
    ) -> EditResult[WorkflowRow]:
        scope = ConfigurationScope([workflow_id], references=is_active, missed=is_active)
        return await self._executor.edit(
            tenant, actor, scope,
            lambda current: edits.set_active(
                current, workflow_id, is_active, expected, self._catalog(current),
                self._clock.now_us(), exit_missed=exit_missed, overdue=overdue,
            ),
            lambda current: edits.workflow_of(current, workflow_id),
        )  # fmt: skip

    async def delete_workflow(
        self, tenant: str, actor: str, workflow_id: str, expected: ExpectedVersion
    ) -> bool:
        """Return whether every live shard has loaded the deletion. An enrollment whose start is
        committed before the deletion prevents it. An enrollment that starts later is in an unknown
        workflow (E5)."""
        _, rollout = await self._executor.execute(
            tenant, actor,
            ConfigurationScope(
                [workflow_id], references=False, active_enrollments=edits.COUNTED_ENROLLMENTS
            ),
            lambda current: edits.delete_workflow(current, workflow_id, expected),
        )  # fmt: skip
        return is_rolled_out(rollout)

    async def add_goal(
        self, tenant: str, actor: str, workflow_id: str, goal: NewGoal
    ) -> EditResult[GoalRow]:
        goal_id = self._new_id()
        return await self._executor.edit(
            tenant, actor, ConfigurationScope([workflow_id], possible_references(goal.criteria)),
            lambda current: edits.add_goal(
                current, workflow_id, goal, self._catalog(current), self._clock.now_us(),
                lambda: goal_id,
            ),
            lambda current: edits.goal_of(current, workflow_id, goal_id)[1],
        )  # fmt: skip

    async def change_goal(
        self,
        tenant: str,
        actor: str,
        workflow_id: str,
        goal_id: UUID,
        patch: GoalPatch,
        expected: ExpectedVersion,
    ) -> EditResult[GoalRow]:
        return await self._executor.edit(
            tenant, actor, ConfigurationScope([workflow_id], possible_references(patch.criteria)),
            lambda current: edits.change_goal(
                current, workflow_id, goal_id, patch, expected, self._catalog(current),
                self._clock.now_us(),
            ),
            lambda current: edits.goal_of(current, workflow_id, goal_id)[1],
        )  # fmt: skip

    async def delete_goal(
        self, tenant: str, actor: str, workflow_id: str, goal_id: UUID, expected: ExpectedVersion
    ) -> bool:
        """Return whether every live shard has loaded the deletion."""
        _, rollout = await self._executor.execute(
            tenant, actor, ConfigurationScope([workflow_id], references=False),
            lambda current: edits.delete_goal(current, workflow_id, goal_id, expected),
        )  # fmt: skip
        return is_rolled_out(rollout)

    async def put_settings(
        self, tenant: str, actor: str, patch: SettingsPatch
    ) -> EditResult[SettingsRow]:
        return await self._executor.edit(
            tenant, actor, ConfigurationScope(settings=True, references=False),
            lambda current: edits.put_settings(current, patch),
            edits.settings_of,
        )  # fmt: skip

    async def put_entity(self, tenant: str, actor: str, row: EntityRow) -> EditResult[EntityRow]:
        return await self._executor.edit(
            tenant, actor, ConfigurationScope(entities=[(row.kind, row.id)]),
            lambda current: edits.put_entity(current, row),
            lambda current: edits.entity_of(current, row.kind, row.id),
        )  # fmt: skip

    async def delete_entity(self, tenant: str, actor: str, kind: str, entity_id: str) -> None:
        await self._executor.execute(
            tenant, actor, ConfigurationScope(entities=[(kind, entity_id)]),
            lambda current: edits.delete_entity(current, kind, entity_id),
        )  # fmt: skip

    async def close(self) -> None:
        """Close the connections."""
        await self._executor.close()
        await self._store.close()

    async def _load_workflow(self, tenant: str, workflow_id: str) -> CurrentConfiguration:
        scope = ConfigurationScope([workflow_id], references=False)
        return await self._store.load(tenant, scope)

    def _diff(
        self,
        desired: DesiredConfiguration,
        definitions: Mapping[str, CompiledDefinition],
        current: CurrentConfiguration,
        prune: bool,
    ) -> list[ConfigurationChange]:
        changes = diff_configuration(
            desired, current, prune=prune, now_us=self._clock.now_us(), new_id=self._new_id,
            check=self._check,
            definitions={id_: compiled.content for id_, compiled in definitions.items()},
        )  # fmt: skip
        catalog = catalog_after(current, changes, self._check)
        require_references(definitions, desired, catalog)
        return changes

    def _catalog(self, current: CurrentConfiguration) -> Catalog:
        return catalog_after(current, [], self._check)


def _scope(
    desired: DesiredConfiguration, definitions: Mapping[str, CompiledDefinition], prune: bool
) -> ConfigurationScope:
    """Return the part of the configuration that a file and its definitions need."""
    scope = scope_for(desired, prune=prune)
    references = (each for compiled in definitions.values() for each in compiled.references)
    entities = {
        (each.kind, each.entity_id) for each in references if isinstance(each, EntityReference)
    }
    return replace(scope, entities={*scope.entities, *entities})
