"""The service behind `goald apply` and, later, the API: one way to change a configuration.

A change is decided and written in one transaction, under one lock: what was decided on is
what is changed, whoever else edits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID, uuid4

from goald.domain.differences import differences
from goald.domain.notices import notice, notices_of
from goald.domain.wanted import WantedConfiguration
from goald.domain.workflows import Decision, Difference, HeldConfiguration, Holders, Notice
from goald.ports import Clock

WAIT_SECONDS = 2.0
"""How long a change waits for every live shard to have it (E10)."""
POLL_SECONDS = 0.05


class Configurations(Protocol):
    """Where configurations are kept. Each call may raise ServiceUnavailable."""

    async def held(self, tenant: str) -> HeldConfiguration:
        """A tenant's configuration, all of one moment."""

    async def change(
        self, tenant: str, decide: Callable[[HeldConfiguration], Decision]
    ) -> tuple[Decision, int | None]:
        """Let `decide` see what is held, and carry its decision out, before anybody else
        changes anything; with the version it made, None where nothing that shards hold
        changed. What `decide` raises leaves everything as it was."""

    async def holders(self, version: int) -> Holders:
        """The live shards, and those of them that hold this version or a later one."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Applied:
    """What an application changed, and how many live shards have it by now.

    `version`: None where nothing changed that shards hold.
    """

    changes: list[Difference]
    version: int | None
    holders: Holders

    @property
    def everywhere(self) -> bool:
        """Whether every live shard has it."""
        return self.holders.ready == self.holders.live


class ConfigurationService:
    """Makes tenants' configurations equal to what is wanted (3.5, E3, E10, R13)."""

    def __init__(
        self,
        configurations: Configurations,
        clock: Clock,
        *,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self._kept = configurations
        self._clock = clock
        self._new_id = new_id

    async def plan(self, wanted: WantedConfiguration, *, prune: bool = False) -> list[Difference]:
        """What `apply` would change now. Changes nothing. Raises InvalidFile as it does."""
        return self._decide(wanted, await self._kept.held(wanted.tenant), prune).changes

    async def apply(self, wanted: WantedConfiguration, *, prune: bool = False) -> Applied:
        """Make the tenant's configuration as wanted, then wait until every live shard has it,
        at most WAIT_SECONDS. Applying the same again changes nothing.

        Raises InvalidFile, having changed nothing, where it cannot be.
        """
        decision, version = await self._kept.change(
            wanted.tenant, lambda held: self._decide(wanted, held, prune)
        )
        return Applied(decision.changes, version, await self._wait(version))

    async def close(self) -> None:
        """Close the connection."""
        await self._kept.close()

    def _decide(
        self, wanted: WantedConfiguration, held: HeldConfiguration, prune: bool
    ) -> Decision:
        now = self._clock.now_us()
        changes = differences(wanted, held, prune=prune, now_us=now, new_id=self._new_id)
        notices = []
        for change in changes:
            for workflow_id, name, data in notices_of(change):
                id_ = str(self._new_id())
                payload = notice(name, id_, wanted.tenant, now, data)
                notices.append(Notice(workflow_id, id_, payload))
        return Decision(changes, notices)

    async def _wait(self, version: int | None) -> Holders:
        if version is None:
            return await self._kept.holders(0)
        deadline = self._clock.monotonic() + WAIT_SECONDS
        while True:
            holders = await self._kept.holders(version)
            if holders.ready == holders.live or self._clock.monotonic() >= deadline:
                return holders
            await self._clock.sleep(POLL_SECONDS)
