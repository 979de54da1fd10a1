"""Execution of a configuration change: decide and commit, notify, wait for the rollout (E10)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar
from uuid import UUID

from goald.configuration.notifier import ChangeNotifier
from goald.configuration.ports import ConfigurationStore, NoticePublisher
from goald.domain.configuration.notices import notice, notices_for
from goald.domain.configuration.workflows import (
    ChangeSet,
    CommittedChanges,
    ConfigurationChange,
    ConfigurationScope,
    CurrentConfiguration,
    CurrentDefinition,
    DefinitionRow,
    EntityRow,
    GoalRow,
    Notice,
    RolloutStatus,
    SettingsRow,
    WorkflowRow,
)
from goald.domain.errors import ServiceUnavailable
from goald.ports.clock import Clock

WAIT_SECONDS = 2.0
"""How long a change waits for every live shard to load it (E10)."""
FIRST_POLL_SECONDS = 0.002
POLL_SECONDS = 0.05

EditedRow = TypeVar("EditedRow", WorkflowRow, GoalRow, DefinitionRow, EntityRow, SettingsRow)
Decide = Callable[[CurrentConfiguration], list[ConfigurationChange]]


@dataclass(frozen=True, slots=True)
class EditResult(Generic[EditedRow]):
    """A row after an edit, which may have changed nothing."""

    row: EditedRow
    created: bool
    is_rolled_out: bool
    """Whether every live shard has loaded the edit."""
    missed: int = 0
    """See `ConfigurationChange.missed`."""


def is_rolled_out(rollout: RolloutStatus | None) -> bool:
    """Return whether every live shard has loaded the version. None: unknown."""
    return rollout is not None and rollout.ready == rollout.live


class ChangeExecutor:
    """Executes changes. After the commit no failure is raised, because nothing can undo it."""

    def __init__(
        self,
        store: ConfigurationStore,
        outbound: NoticePublisher | None,
        clock: Clock,
        new_id: Callable[[], UUID],
    ) -> None:
        self._store = store
        self._notifier = ChangeNotifier(store, outbound)
        self._clock = clock
        self._new_id = new_id

    async def execute(
        self, tenant: str, actor: str, scope: ConfigurationScope, decide: Decide
    ) -> tuple[CommittedChanges, RolloutStatus | None]:
        """Write the changes that `decide` returns for the current configuration, then wait up
        to WAIT_SECONDS for the rollout. The status is None if Postgres became unavailable
        before it could be read."""
        committed = await self._store.change(
            tenant, actor, scope, lambda current: self._change_set(tenant, decide(current))
        )
        deadline = self._clock.monotonic() + WAIT_SECONDS
        if await self._notifier.publish(committed):
            # The shards load the change while this is written.
            await self._notifier.mark(tenant, committed)
        return committed, await self._wait(committed.version or 0, deadline)

    async def edit(
        self,
        tenant: str,
        actor: str,
        scope: ConfigurationScope,
        decide: Decide,
        row_of: Callable[[CurrentConfiguration], EditedRow],
    ) -> EditResult[EditedRow]:
        """Execute the change of one row, which `decide` returns first, and return the row as it
        is after the change."""
        before = CurrentConfiguration()

        def decide_and_keep(current: CurrentConfiguration) -> list[ConfigurationChange]:
            nonlocal before
            before = current
            return decide(current)

        committed, rollout = await self.execute(tenant, actor, scope, decide_and_keep)
        created = bool(committed.changes) and committed.changes[0].before is None
        row = row_of(_apply(before, committed.changes))
        missed = sum(change.missed for change in committed.changes)
        return EditResult(row, created, is_rolled_out(rollout), missed)

    async def close(self) -> None:
        """Close the connection of the notifier."""
        await self._notifier.close()

    def _change_set(self, tenant: str, changes: list[ConfigurationChange]) -> ChangeSet:
        return ChangeSet(changes, list(self._notices(tenant, changes)))

    def _notices(self, tenant: str, changes: list[ConfigurationChange]) -> Iterator[Notice]:
        now = self._clock.now_us()
        for change in changes:
            for workflow_id, name, data in notices_for(change):
                id_ = str(self._new_id())
                yield Notice(workflow_id, id_, notice(name, id_, tenant, now, data))

    async def _wait(self, version: int, deadline: float) -> RolloutStatus | None:
        """Poll until every live shard has loaded the version or the deadline has passed. Version 0
        takes one poll, because every shard has loaded it."""
        pause = FIRST_POLL_SECONDS
        rollout = None
        while True:
            try:
                rollout = await self._store.rollout(version)
            except ServiceUnavailable:
                pause = POLL_SECONDS
            if is_rolled_out(rollout) or self._clock.monotonic() >= deadline:
                return rollout
            await self._clock.sleep(pause)
            pause = min(1.5 * pause, POLL_SECONDS)


def _apply(
    current: CurrentConfiguration, changes: list[ConfigurationChange]
) -> CurrentConfiguration:
    """Return `current` with the rows of the changes; deleted rows stay in it."""
    for change in changes:
        row = change.after
        if isinstance(row, WorkflowRow):
            current.workflows[row.id] = row
        elif isinstance(row, EntityRow):
            current.catalog.setdefault(row.kind, {})[row.id] = row
        elif isinstance(row, SettingsRow):
            current.settings = row
        elif isinstance(row, DefinitionRow):
            found = current.definitions.get(row.workflow_id, CurrentDefinition())
            current.definitions[row.workflow_id] = (
                replace(found, draft=None, published=row)
                if row.is_published
                else replace(found, draft=row)
            )
        elif isinstance(row, GoalRow):
            others = [goal for goal in current.goals.get(row.workflow_id, []) if goal.id != row.id]
            current.goals[row.workflow_id] = [*others, row]
    return current
