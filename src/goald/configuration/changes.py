"""How every change is made: decided and committed, announced, awaited (E10)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from goald.configuration.announcement import Announcer
from goald.configuration.ports import Configurations, NoticePublisher
from goald.domain.configuration.notices import notice, notices_of
from goald.domain.configuration.workflows import (
    Changed,
    ChangeSet,
    ConfigurationChange,
    EntityRow,
    GoalRow,
    HeldConfiguration,
    Holders,
    Notice,
    Scope,
    WorkflowRow,
)
from goald.domain.errors import ServiceUnavailable
from goald.ports.clock import Clock

WAIT_SECONDS = 2.0
"""How long a change waits for every live shard to have it (E10)."""
FIRST_POLL_SECONDS = 0.002
POLL_SECONDS = 0.05

OneRow = TypeVar("OneRow", WorkflowRow, GoalRow, EntityRow)
Decide = Callable[[HeldConfiguration], list[ConfigurationChange]]


@dataclass(frozen=True, slots=True)
class Edited(Generic[OneRow]):
    """A row as it is after an edit, which may have changed nothing."""

    row: OneRow
    created: bool
    everywhere: bool
    """Whether every live shard has it."""

    @property
    def status(self) -> int:
        """What HTTP answers: 201 for one that was made, 200 for one that was there; 202 where
        some shard does not have it yet (E10)."""
        return 202 if not self.everywhere else 201 if self.created else 200


def is_everywhere(holders: Holders | None) -> bool:
    """Whether every live shard has it."""
    return holders is not None and holders.ready == holders.live


class Changes:
    """Makes the changes that are decided. Nothing that fails after the commit takes it back,
    and so nothing of that is raised."""

    def __init__(
        self,
        configurations: Configurations,
        outbound: NoticePublisher | None,
        clock: Clock,
        new_id: Callable[[], UUID],
    ) -> None:
        self._kept = configurations
        self._announcer = Announcer(configurations, outbound)
        self._clock = clock
        self._new_id = new_id

    async def make(
        self, tenant: str, actor: str, scope: Scope, decide: Decide
    ) -> tuple[Changed, Holders | None]:
        """Carry out what `decide` makes of what is held; who has it after WAIT_SECONDS at
        most, None where Postgres went away before it could tell."""
        changed = await self._kept.change(
            tenant, actor, scope, lambda held: self._decision(tenant, decide(held))
        )
        deadline = self._clock.monotonic() + WAIT_SECONDS
        if await self._announcer.publish(changed):
            # While this is written the shards take the change: there is nothing to see yet.
            await self._announcer.mark(tenant, changed)
        return changed, await self._wait(changed.version or 0, deadline)

    async def edit(
        self,
        tenant: str,
        actor: str,
        scope: Scope,
        decide: Decide,
        row_of: Callable[[HeldConfiguration], OneRow],
    ) -> Edited[OneRow]:
        """The same for a change of one row, the first of what changes: as it is then."""
        seen = HeldConfiguration()

        def deciding(held: HeldConfiguration) -> list[ConfigurationChange]:
            nonlocal seen
            seen = held
            return decide(held)

        changed, holders = await self.make(tenant, actor, scope, deciding)
        created = bool(changed.changes) and changed.changes[0].before is None
        return Edited(row_of(_after(seen, changed.changes)), created, is_everywhere(holders))

    async def close(self) -> None:
        """Close the connection to where changes are announced."""
        await self._announcer.close()

    def _decision(self, tenant: str, changes: list[ConfigurationChange]) -> ChangeSet:
        return ChangeSet(changes, list(self._notices(tenant, changes)))

    def _notices(self, tenant: str, changes: list[ConfigurationChange]) -> Iterator[Notice]:
        now = self._clock.now_us()
        for change in changes:
            for workflow_id, name, data in notices_of(change):
                id_ = str(self._new_id())
                yield Notice(workflow_id, id_, notice(name, id_, tenant, now, data))

    async def _wait(self, version: int, deadline: float) -> Holders | None:
        """Every shard has version 0: then it is one look."""
        pause = FIRST_POLL_SECONDS
        holders = None
        while True:
            try:
                holders = await self._kept.holders(version)
            except ServiceUnavailable:
                pause = POLL_SECONDS
            if is_everywhere(holders) or self._clock.monotonic() >= deadline:
                return holders
            await self._clock.sleep(pause)
            pause = min(1.5 * pause, POLL_SECONDS)


def _after(held: HeldConfiguration, changes: list[ConfigurationChange]) -> HeldConfiguration:
    """What is held, with these rows as they are after."""
    for change in changes:
        row = change.after
        if isinstance(row, WorkflowRow):
            held.workflows[row.id] = row
        elif isinstance(row, EntityRow):
            held.catalog.setdefault(row.kind, {})[row.id] = row
        elif isinstance(row, GoalRow):
            others = [one for one in held.goals.get(row.workflow_id, []) if one.id != row.id]
            held.goals[row.workflow_id] = [*others, row]
    return held
