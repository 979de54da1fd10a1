"""What the configuration's service asks of the world. Each call may raise ServiceUnavailable,
having changed nothing."""

from collections.abc import Callable, Sequence
from typing import Protocol

from goald.domain.configuration.workflows import (
    Changed,
    ChangeSet,
    EntityRow,
    HeldConfiguration,
    Holders,
    Scope,
    WorkflowRow,
)
from goald.ports.outbound import Message


class Configurations(Protocol):
    """Where configurations are kept."""

    async def held(self, tenant: str, scope: Scope) -> HeldConfiguration:
        """This part of a tenant's configuration, all of one moment."""

    async def workflows(
        self, tenant: str, offset: int, limit: int
    ) -> tuple[Sequence[WorkflowRow], int]:
        """Some of a tenant's workflows, by id; and how many it has."""

    async def entities(self, tenant: str, kind: str, after: str, limit: int) -> Sequence[EntityRow]:
        """Up to `limit` entities of a kind, by id, with ids above `after`."""

    async def change(
        self,
        tenant: str,
        actor: str,
        scope: Scope,
        decide: Callable[[HeldConfiguration], ChangeSet],
    ) -> Changed:
        """Let `decide` see this part of what is held, and carry its decision out, before
        anybody else changes anything of the tenant. What `decide` raises leaves everything
        as it was. `actor`: who it is, for the audit log."""

    async def mark_published(self, tenant: str, numbers: Sequence[int]) -> None:
        """Nobody need publish these messages any more."""

    async def holders(self, version: int) -> Holders:
        """The live shards, and those of them that hold this version or a later one."""

    async def close(self) -> None: ...


class NoticePublisher(Protocol):
    """Where messages are published: that of the pipeline."""

    async def publish(self, messages: Sequence[Message]) -> object:
        """Returns when every message is taken; after an error some may have been."""

    async def close(self) -> None: ...
