"""The service behind `goald apply` and the API: one way to change a configuration.

A change is decided and written in one transaction: what was decided on is what is changed,
whoever else edits. It is then announced, and awaited until every live shard has it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID, uuid4

from goald.configuration.changes import Changes, Edited, is_everywhere
from goald.configuration.ports import Configurations, NoticePublisher
from goald.domain.configuration import edits
from goald.domain.configuration.catalog import Catalog, CatalogCheck, catalog_after
from goald.domain.configuration.changes import differences, scope_of
from goald.domain.configuration.criteria import mentioned
from goald.domain.configuration.desired import DesiredConfiguration
from goald.domain.configuration.edits import Expected, GoalPatch, NewGoal
from goald.domain.configuration.goals import GoalLogic
from goald.domain.configuration.workflows import (
    ConfigurationChange,
    EntityRow,
    GoalRow,
    HeldConfiguration,
    Holders,
    Scope,
    WorkflowRow,
)
from goald.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class Applied:
    """What an application changed, and how many live shards have it by now.

    `version`: None where nothing changed that shards hold. `holders`: None where Postgres
    went away before it could tell.
    """

    changes: list[ConfigurationChange]
    version: int | None
    holders: Holders | None

    @property
    def everywhere(self) -> bool:
        """Whether every live shard has it."""
        return is_everywhere(self.holders)


class ConfigurationService:
    """Makes tenants' configurations as they are wanted (3.5, E3, E10, R13).

    `actor`, in each change: who it is, for the audit log. Each call may raise
    ServiceUnavailable, having changed nothing.
    """

    def __init__(
        self,
        configurations: Configurations,
        clock: Clock,
        *,
        outbound: NoticePublisher | None = None,
        catalog: CatalogCheck = "known",
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        """`outbound`: where changes are announced; None leaves that to the shards, which do it
        each second. `catalog`: how what goals refer to is checked."""
        self._kept = configurations
        self._changes = Changes(configurations, outbound, clock, new_id)
        self._clock = clock
        self._check = catalog
        self._new_id = new_id

    async def plan(
        self, wanted: DesiredConfiguration, *, prune: bool = False
    ) -> list[ConfigurationChange]:
        """What `apply` would change now. Changes nothing. Raises InvalidFile as it does."""
        held = await self._kept.held(wanted.tenant, scope_of(wanted, prune=prune))
        return self._differences(wanted, held, prune)

    async def apply(
        self, wanted: DesiredConfiguration, *, prune: bool = False, actor: str = "goald"
    ) -> Applied:
        """Make the tenant's configuration as wanted, then wait until every live shard has it,
        at most WAIT_SECONDS. Applying the same again changes nothing.

        Raises InvalidFile, having changed nothing, where it cannot be.
        """
        changed, holders = await self._changes.make(
            wanted.tenant,
            actor,
            scope_of(wanted, prune=prune),
            lambda held: self._differences(wanted, held, prune),
        )
        return Applied(changed.changes, changed.version, holders)

    # Reading ----------------------------------------------------------------------------

    async def workflows(
        self, tenant: str, offset: int, limit: int
    ) -> tuple[list[WorkflowRow], int]:
        """Some of a tenant's workflows, by id; and how many it has."""
        rows, total = await self._kept.workflows(tenant, offset, limit)
        return list(rows), total

    async def workflow(self, tenant: str, workflow_id: str) -> tuple[WorkflowRow, list[GoalRow]]:
        """A workflow and its goals, in their order. Raises NotFound."""
        held = await self._kept.held(tenant, Scope([workflow_id], references=False))
        row = edits.workflow_of(held, workflow_id)
        return row, held.goals.get(workflow_id, [])

    async def goal(self, tenant: str, workflow_id: str, goal_id: UUID) -> GoalRow:
        """A goal. Raises NotFound."""
        held = await self._kept.held(tenant, Scope([workflow_id], references=False))
        return edits.goal_of(held, workflow_id, goal_id)[1]

    async def entity(self, tenant: str, kind: str, entity_id: str) -> EntityRow:
        """An entity of the catalog. Raises NotFound."""
        held = await self._kept.held(tenant, Scope(entities=[(kind, entity_id)]))
        return edits.entity_of(held, kind, entity_id)

    async def entities(self, tenant: str, kind: str, after: str, limit: int) -> list[EntityRow]:
        """Up to `limit` entities of a kind, by id, with ids above `after`."""
        return list(await self._kept.entities(tenant, kind, after, limit))

    # Editing ----------------------------------------------------------------------------

    async def put_workflow(
        self,
        tenant: str,
        actor: str,
        workflow_id: str,
        name: str | None,
        goal_logic: GoalLogic | None,
        expected: Expected,
    ) -> Edited[WorkflowRow]:
        """See `edits.put_workflow`, for this and what follows."""
        return await self._changes.edit(
            tenant, actor, Scope([workflow_id], references=False),
            lambda held: edits.put_workflow(held, workflow_id, name, goal_logic, expected),
            lambda held: edits.workflow_of(held, workflow_id),
        )  # fmt: skip

    async def set_active(
        self, tenant: str, actor: str, workflow_id: str, is_active: bool, expected: Expected
    ) -> Edited[WorkflowRow]:
        return await self._changes.edit(
            tenant, actor, Scope([workflow_id], references=is_active),
            lambda held: edits.set_active(
                held, workflow_id, is_active, expected, self._catalog(held), self._clock.now_us()
            ),
            lambda held: edits.workflow_of(held, workflow_id),
        )  # fmt: skip

    async def add_goal(
        self, tenant: str, actor: str, workflow_id: str, goal: NewGoal
    ) -> Edited[GoalRow]:
        goal_id = self._new_id()
        return await self._changes.edit(
            tenant, actor, Scope([workflow_id], mentioned(goal.criteria)),
            lambda held: edits.add_goal(
                held, workflow_id, goal, self._catalog(held), self._clock.now_us(), lambda: goal_id
            ),
            lambda held: edits.goal_of(held, workflow_id, goal_id)[1],
        )  # fmt: skip

    async def change_goal(
        self,
        tenant: str,
        actor: str,
        workflow_id: str,
        goal_id: UUID,
        patch: GoalPatch,
        expected: Expected,
    ) -> Edited[GoalRow]:
        return await self._changes.edit(
            tenant, actor, Scope([workflow_id], mentioned(patch.criteria)),
            lambda held: edits.change_goal(
                held, workflow_id, goal_id, patch, expected, self._catalog(held),
                self._clock.now_us(),
            ),
            lambda held: edits.goal_of(held, workflow_id, goal_id)[1],
        )  # fmt: skip

    async def delete_goal(
        self, tenant: str, actor: str, workflow_id: str, goal_id: UUID, expected: Expected
    ) -> bool:
        """Whether every live shard knows that it is gone."""
        _, holders = await self._changes.make(
            tenant, actor, Scope([workflow_id], references=False),
            lambda held: edits.delete_goal(held, workflow_id, goal_id, expected),
        )  # fmt: skip
        return is_everywhere(holders)

    async def put_entity(self, tenant: str, actor: str, row: EntityRow) -> Edited[EntityRow]:
        return await self._changes.edit(
            tenant, actor, Scope(entities=[(row.kind, row.id)]),
            lambda held: edits.put_entity(held, row),
            lambda held: edits.entity_of(held, row.kind, row.id),
        )  # fmt: skip

    async def delete_entity(self, tenant: str, actor: str, kind: str, entity_id: str) -> None:
        await self._changes.make(
            tenant, actor, Scope(entities=[(kind, entity_id)]),
            lambda held: edits.delete_entity(held, kind, entity_id),
        )  # fmt: skip

    async def close(self) -> None:
        """Close the connections."""
        await self._changes.close()
        await self._kept.close()

    def _differences(
        self, wanted: DesiredConfiguration, held: HeldConfiguration, prune: bool
    ) -> list[ConfigurationChange]:
        return differences(
            wanted, held, prune=prune, now_us=self._clock.now_us(), new_id=self._new_id,
            check=self._check,
        )  # fmt: skip

    def _catalog(self, held: HeldConfiguration) -> Catalog:
        return catalog_after(held, [], self._check)
