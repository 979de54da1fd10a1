"""Evaluate and apply: a shard's state in memory, and the rules over it.

`evaluate` proposes changes and leaves memory as it is; `apply` changes memory to what Postgres
returned from the commit.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from goald import _native
from goald.domain.contacts.forwards import Forward
from goald.domain.contacts.merging import ContactKey
from goald.domain.errors import ServiceUnavailable
from goald.domain.ids import ContactId, TenantId
from goald.domain.leases import SlotLease
from goald.pipeline.executions.memory import ExecutionMemory
from goald.pipeline.executions.rules import ExecutionRules
from goald.pipeline.shard.group import Group
from goald.pipeline.shard.known.contacts import KnownContacts
from goald.pipeline.shard.known.ended import KnownEnded
from goald.ports.change import Committed
from goald.ports.configuration import Configuration, WorkflowKey
from goald.ports.shard_store import Excluded, RunEnd, ShardStore

Repeats: TypeAlias = Collection[tuple[str, str]]
"""(tenant, enrollment id) of starts that begin no active enrollment."""


class MissingEnds(NamedTuple):
    """The ends of a tenant's enrollments that memory lacks: see `_native.Matcher.ended_to_load`."""

    tenant_id: TenantId
    generation: int
    before: int
    first: int


class Evaluator:
    """The goals and active enrollments of a shard's slots, and rules E1 to E6 and E8."""

    def __init__(
        self,
        store: ShardStore,
        *,
        clock_skew_us: int,
        max_enrollments_per_contact: int = 10_000,
        late_us: int = 0,
        matcher: _native.Matcher | None = None,
        executions: ExecutionRules | None = None,
    ) -> None:
        """`late_us`: for how long goals without a window watch ended enrollments (E18). `matcher`
        is another implementation of `_native.Matcher`, for comparisons. `executions`: None if
        goald does not run workflows that have a definition."""
        self.lock = asyncio.Lock()
        """Held from a commit until `apply`, while memory lags behind the table."""
        self.groups = asyncio.Lock()
        """Held while a group is processed, and during a transfer (E21); and from the moment when
        workflows are active until what they missed is judged, so that no other event is judged
        before (E19)."""
        self._store = store
        self._matcher = matcher or _native.Matcher(
            clock_skew_us=clock_skew_us,
            max_enrollments_per_contact=max_enrollments_per_contact,
            late_us=late_us,
        )
        self.executions = (
            None
            if executions is None
            else ExecutionMemory(self._matcher, store.executions, executions)
        )
        self._config_version = 0
        self._exits_missed: dict[str, dict[str, bool]] = {}
        """The active workflows of each tenant, and whether they exit what they missed (E19)."""
        self._forward_number = 0
        self._forwards_read: frozenset[Forward] = frozenset()
        """By the last call of `load_forwards`, but not all that a shard reads when it starts."""

    @property
    def config_version(self) -> int:
        """The version of the configuration that events are evaluated against."""
        return self._config_version

    def stats(self) -> dict[str, int]:
        """See `_native.Matcher.stats`."""
        return self._matcher.stats()

    async def load(self, lease: SlotLease) -> None:
        """Load the configuration and every active enrollment of the slots. Raises LeaseLost,
        or ServiceUnavailable if the load was interrupted."""
        configuration = await self._store.configuration(after=0)
        self.configure(configuration)
        if self.executions is not None:
            self.executions.configure(configuration)
            await self.executions.load_plans(lease)
        await self.load_forwards(lease)
        await self._store.load(lease, self._matcher.load)
        if not self._matcher.load_ended():
            raise ServiceUnavailable("the load of the enrollments was interrupted")
        if self.executions is not None:
            await self.executions.load(lease)

    async def load_forwards(self, lease: SlotLease) -> bool:
        """Load the forwards of merged contacts that changed (E21), and return whether any did; also
        of others, if it is the second call. Raises LeaseLost."""
        if self._forward_number == 0:
            self._matcher.set_forward_secret(await self._store.forward_secret())
        changed, number = await self._store.forwards(lease, self._forward_number)
        self._matcher.set_forwards(changed)
        is_first, self._forward_number = self._forward_number == 0, number
        before, self._forwards_read = self._forwards_read, frozenset(() if is_first else changed)
        return not before.issuperset(changed)

    async def reload(
        self, lease: SlotLease, buffers: Sequence[bytes], more: Sequence[ContactKey] = ()
    ) -> None:
        """Load the contacts of these buffers, and more of them, again, after a commit with an
        unknown outcome."""
        await self.load_forwards(lease)
        others = [(TenantId(tenant), ContactId(contact)) for tenant, contact in more]
        await self.load_contacts(lease, [*self._matcher.contacts_of(buffers), *others])

    async def configure_executions(self, lease: SlotLease, changed: Configuration) -> None:
        """Take a configuration that changed while the shard was loading. Raises LeaseLost, or
        ServiceUnavailable."""
        if self.executions is not None:
            keys = self.executions.configure(changed)
            await self.executions.load_plans(lease, keys)

    async def adopt(self, lease: SlotLease, contact: tuple[TenantId, ContactId]) -> None:
        """Load a contact to which enrollments have moved (E21). Raises as `load_contacts`."""
        if self.executions is not None:
            await self.executions.load_pinned_plans(lease, contact)
        await self.load_contacts(lease, [contact])

    async def load_contacts(
        self, lease: SlotLease, contacts: Sequence[tuple[TenantId, ContactId]]
    ) -> None:
        """Load these contacts again. No proposal may be evaluated and not applied."""
        rows = bytearray()
        await self._store.load_contacts(lease, contacts, rows.extend)
        executions = b""
        if self.executions is not None:
            executions = await self.executions.rows_of(lease, contacts)
        self._matcher.evict(contacts)
        self._matcher.load(bytes(rows))
        if self.executions is not None:
            self.executions.replace(executions)

    def configure(self, changed: Configuration) -> None:
        """Apply a changed configuration (E8). The caller must hold `lock`. A proposal that was
        evaluated before can still be committed and applied (E1)."""
        self._matcher.update_workflows(changed.workflows)
        self._matcher.remove_workflows(changed.deleted)
        self._matcher.keep_contacts(changed.keeps_contacts)
        self._config_version = changed.version
        for each in changed.workflows:
            of_tenant = self._exits_missed.setdefault(each["tenant_id"], {})
            of_tenant.pop(each["workflow_id"], None)
            if each["is_active"]:
                of_tenant[each["workflow_id"]] = each.get("exits_missed", False)
        for tenant, workflow in changed.deleted:
            self._exits_missed.get(tenant, {}).pop(workflow, None)

    def active_workflows(self, tenant: str | None = None) -> list[WorkflowKey]:
        """Return the active workflows of a tenant; None: of all."""
        tenants = self._exits_missed if tenant is None else [tenant]
        return [
            WorkflowKey(each, workflow)
            for each in tenants
            for workflow in self._exits_missed.get(each, ())
        ]

    def exits_missed(self, workflow: WorkflowKey) -> bool | None:
        """Return whether a workflow exits what it missed, or forgets it; None if it is not
        active (E19)."""
        return self._exits_missed.get(workflow.tenant_id, {}).get(workflow.workflow_id)

    def evaluate(
        self,
        group: Group,
        now_us: int,
        repeats: Repeats = (),
        excluded: Collection[Excluded] = (),
        known: KnownContacts | None = None,
        ended: KnownEnded | None = None,
        executions: Mapping[str, object] | None = None,
    ) -> _native.Proposal:
        """Return what the events of a group would change, and which of them are deferred. Memory
        does not change. Blocks while Rust works, for a bounded amount of work. `repeats`,
        `excluded`, `known` and `ended`: see `stored_facts.evaluate`. `executions`: see
        `ExecutionFacts.options`."""
        old_tags = {} if known is None else known.old_tags
        states = {} if known is None else known.states
        return self._matcher.evaluate(
            group.buffers,
            now_us,
            shares=(group.share, group.event_share),
            deferred=sorted(group.deferred_tenants),
            repeats=sorted(repeats),
            excluded=sorted(excluded),
            old_tags=[(*event, list(old)) for event, old in old_tags.items() if old],
            states=[(*start, *state) for start, state in states.items()],
            ended=() if ended is None else ended.rows(),
            defers_ended=ended is not None and ended.is_exhausted,
            only=group.only,
            merges=group.merges,
            origins=group.origins,
            executions=executions,
        )

    def ended_to_load(self, now_us: int) -> MissingEnds | None:
        """See `_native.Matcher.ended_to_load`."""
        found = self._matcher.ended_to_load(now_us)
        return None if found is None else MissingEnds(*found)

    def add_ended(
        self, of: MissingEnds, ends: Sequence[RunEnd], first: int, now_us: int
    ) -> int | None:
        """Add ends that are missing. With them, all are added back to the time `first`. See
        `_native.Matcher.add_ended`."""
        rows = [(end.contact_id, end.position.ended_at) for end in ends]
        return self._matcher.add_ended(of.tenant_id, of.generation, rows, first, now_us)

    def contacts_of(self, buffers: Sequence[bytes]) -> list[tuple[TenantId, ContactId]]:
        """Return the contacts of the events of these buffers."""
        return [
            (TenantId(tenant), ContactId(contact))
            for tenant, contact in self._matcher.contacts_of(buffers)
        ]

    def mark_ended(self, tenant: TenantId, contact: ContactId) -> None:
        """A contact gets enrollments that have ended."""
        self._matcher.mark_ended([(tenant, contact)])

    def tenants_of(self, buffers: Sequence[bytes]) -> list[str]:
        """Return the tenants that these buffers name."""
        return sorted({tenant for tenant, _ in self._matcher.contacts_of(buffers)})

    def mark_missed(self, proposal: _native.Proposal, dropped: Collection[str]) -> None:
        """The missed events of a slice are committed, except those of the tenants in `dropped`, and
        it was applied (E19)."""
        self._matcher.mark_missed(proposal, sorted(set(dropped)))

    def apply(self, proposal: _native.Proposal, committed: Committed) -> None:
        """Change memory to what was committed of a slice. The slices of a proposal must be
        applied in order."""
        self._matcher.apply(proposal, committed.effective, committed.transitions)
        if committed.keeps_contacts:
            self._matcher.keep_contacts(committed.keeps_contacts)
        if committed.merges:
            self._forward(proposal, committed)

    def _forward(self, proposal: _native.Proposal, committed: Committed) -> None:
        """Forward the events of merged contacts, whose enrollments belong to other contacts now.
        The last slice of a proposal has its merges."""
        self._matcher.evict(merged_contacts(proposal, committed))
        forwards = [outcome.forward for outcome in committed.merges]
        self._matcher.set_forwards([forward for forward in forwards if forward is not None])


def merged_contacts(
    proposal: _native.Proposal, committed: Committed
) -> list[tuple[TenantId, ContactId]]:
    """The contacts whose merges are committed."""
    contacts = [(tenant, contact) for tenant, contact, *_ in proposal.merges]
    return [
        (TenantId(tenant), ContactId(contact))
        for (tenant, contact), outcome in zip(contacts, committed.merges, strict=True)
        if outcome.forward is not None
    ]
