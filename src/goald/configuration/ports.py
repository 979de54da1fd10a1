"""The ports of the configuration service. Each call may raise ServiceUnavailable, in which case
nothing was changed."""

from collections.abc import Callable, Sequence
from typing import Protocol

from goald.domain.configuration.workflows import (
    ChangeSet,
    CommittedChanges,
    ConfigurationScope,
    CurrentConfiguration,
    DefinitionRow,
    DefinitionVersion,
    EntityRow,
    RolloutStatus,
    WorkflowRow,
)
from goald.ports.outbound import Message


class ConfigurationStore(Protocol):
    """Stores the configurations of tenants."""

    async def load(self, tenant: str, scope: ConfigurationScope) -> CurrentConfiguration:
        """Return this part of a tenant's configuration, in one consistent snapshot."""

    async def workflows(
        self, tenant: str, offset: int, limit: int
    ) -> tuple[Sequence[WorkflowRow], int]:
        """Return up to `limit` workflows of a tenant, ordered by id, and the total number."""

    async def entities(self, tenant: str, kind: str, after: str, limit: int) -> Sequence[EntityRow]:
        """Return up to `limit` entities of a kind with ids greater than `after`, ordered by id."""

    async def definition(self, tenant: str, workflow_id: str, version: int) -> DefinitionRow | None:
        """Return a version of the definition of a workflow, also a draft; None if there is none."""

    async def definitions(
        self, tenant: str, workflow_id: str, offset: int, limit: int
    ) -> tuple[Sequence[DefinitionVersion], int]:
        """Return up to `limit` versions of the definition of a workflow, newest first, and the
        total number."""

    async def change(
        self,
        tenant: str,
        actor: str,
        scope: ConfigurationScope,
        decide: Callable[[CurrentConfiguration], ChangeSet],
    ) -> CommittedChanges:
        """Load this part of the configuration, pass it to `decide`, and write the result in the
        same transaction. Changes of one tenant are serialized. An exception from `decide` rolls
        the transaction back. `actor` is recorded in the audit log."""

    async def mark_published(self, tenant: str, numbers: Sequence[int]) -> None:
        """Mark outbox rows as published, so that no shard publishes them."""

    async def rollout(self, version: int) -> RolloutStatus:
        """Return how many shards are live, and how many have loaded this version or a later
        one."""

    async def close(self) -> None: ...


class NoticePublisher(Protocol):
    """Publishes messages to the outbound streams."""

    async def publish(self, messages: Sequence[Message]) -> object:
        """Return when every message is published. After an error some may have been."""

    async def close(self) -> None: ...
