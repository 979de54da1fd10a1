"""The plans and executions of a shard in memory, next to its goals and enrollments."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import available_timezones

from goald import _native
from goald.domain.actions.gates import ActionType
from goald.domain.configuration.workflows import Overdue
from goald.domain.contacts.merging import ContactKey
from goald.domain.errors import ServiceUnavailable
from goald.domain.ids import ContactId, EnrollmentId, TenantId
from goald.domain.leases import SlotLease
from goald.domain.slots import slot_of
from goald.pipeline.executions.release.queues import QueueKey
from goald.pipeline.executions.release.releases import Grant, QueuedExecution
from goald.pipeline.executions.rules import ExecutionRules
from goald.ports.actions.permits import Permit
from goald.ports.configuration import Configuration, ExecutionSettings, WorkflowKey
from goald.ports.executions.store import ExecutionStore, StoredPlan

ACTIVE_STATES = ("ready", "running")
"""The states of executions that are ACTIVE."""


class ExecutionMemory:
    """The executions of one matcher, and the plans that they run. A `DueSteps`."""

    def __init__(
        self, matcher: _native.Matcher, store: ExecutionStore, rules: ExecutionRules
    ) -> None:
        self._matcher = matcher
        self._store = store
        self.rules = rules
        self._settings: dict[str, ExecutionSettings] = {}
        """By tenant."""
        self._workflows: dict[WorkflowKey, bool] = {}
        """The workflows that are not deleted, and whether they are active."""
        self._activations: dict[WorkflowKey, tuple[int, Overdue]] = {}
        """When workflows with overdue steps were activated, in milliseconds, and how they treat
        these (X7)."""
        self.waiting: frozenset[WorkflowKey] = frozenset()
        """Active workflows whose missed events are not all judged: their steps wait (X7)."""
        self._names: dict[WorkflowKey, str] = {}
        self._by_case: set[str] = set()
        """The tenants that distinguish names of tags by case."""
        self._planned: set[WorkflowKey] = set()
        """The workflows with a plan."""

    @property
    def is_empty(self) -> bool:
        """Whether no workflow has a plan, so that there are no executions."""
        return not self._planned

    def configure(self, changed: Configuration) -> list[WorkflowKey]:
        """Take a changed configuration, whose plans must be loaded. Returns its workflows."""
        keys = []
        for each in changed.workflows:
            key = WorkflowKey(each["tenant_id"], each["workflow_id"])
            self._workflows[key] = each["is_active"]
            self._names[key] = each.get("name", "")
            keys.append(key)
            self._activations.pop(key, None)
            if (at := each.get("activated_at_ms")) is not None:
                self._activations[key] = at, each.get("overdue") or "run"
            self._set(key.tenant_id, each.get("executions", ExecutionSettings()))
            if each.get("tag_case_sensitive", False):
                self._by_case.add(key.tenant_id)
            else:
                self._by_case.discard(key.tenant_id)
        for key in (WorkflowKey(*of) for of in changed.deleted):
            self._workflows.pop(key, None)
            self._names.pop(key, None)
            self._activations.pop(key, None)
            keys.append(key)
        return keys

    def limit_of(self, tenant: str) -> int:
        """How many executions of a tenant may be ACTIVE (X8)."""
        settings = self._settings.get(tenant, ExecutionSettings())
        limit = settings.concurrent_executions_per_account
        return self.rules.concurrent_executions if limit is None else limit

    def _set(self, tenant: str, settings: ExecutionSettings) -> None:
        if self._settings.get(tenant) == settings:
            return
        self._settings[tenant] = settings
        base = settings.retry_base_delay_seconds
        self._matcher.set_execution_settings(
            tenant,
            max_retries=settings.max_retry_attempts,
            retry_base_ms=round((self.rules.retry_base if base is None else base) * 1_000),
            notifies=settings.error_notification,
        )

    def name_of(self, workflow: WorkflowKey) -> str:
        """The name of a workflow; empty if it was deleted."""
        return self._names.get(workflow, "")

    def inactive(self) -> list[WorkflowKey]:
        """The workflows with a plan that are not active (X11)."""
        return [key for key in sorted(self._planned) if not self._is_active(key)]

    def active_among(self, workflows: Iterable[WorkflowKey]) -> list[WorkflowKey]:
        """Those of the workflows that have a plan and are active."""
        return [key for key in workflows if key in self._planned and self._is_active(key)]

    def _is_active(self, key: WorkflowKey) -> bool:
        return self._workflows.get(key, False) and key not in self.waiting

    async def load_plans(
        self, lease: SlotLease, workflows: Sequence[WorkflowKey] | None = None
    ) -> None:
        """Load the current plans of these workflows; None: every plan that may be needed. Raises
        LeaseLost or ServiceUnavailable."""
        plans = await self._store.plans(lease, workflows)
        self._update(plans, workflows or ())

    async def load_pinned_plans(self, lease: SlotLease, contact: ContactKey) -> None:
        """Load the plans of a contact to which executions moved: they may use versions that no
        other execution of the slots does. Raises LeaseLost or ServiceUnavailable."""
        self._update(await self._store.pinned_plans(lease, contact), ())

    def _update(self, plans: Sequence[StoredPlan], workflows: Sequence[WorkflowKey]) -> None:
        """Take the plans of workflows. `workflows`: those that may have no plan any more."""
        if plans and not self._planned:
            self._matcher.set_zones(_zones())
        of_workflow: dict[WorkflowKey, list[StoredPlan]] = {}
        for plan in plans:
            of_workflow.setdefault(WorkflowKey(plan.tenant_id, plan.workflow_id), []).append(plan)
        changed = of_workflow.keys() | (self._planned & set(workflows))
        self._planned |= of_workflow.keys()
        self._matcher.update_plans(
            [self._described(key, of_workflow.get(key, ())) for key in sorted(changed)]
        )

    async def load(self, lease: SlotLease) -> None:
        """Load every open execution of the slots, after their enrollments."""
        if self.is_empty:
            return
        await self._store.load(lease, self._matcher.load_executions)
        if not self._matcher.load_executions_ended():
            raise ServiceUnavailable("the load of the executions was interrupted")

    async def rows_of(
        self, lease: SlotLease, contacts: Sequence[tuple[TenantId, ContactId]]
    ) -> bytes:
        """Read the open executions of these contacts, for `replace`."""
        rows = bytearray()
        if not self.is_empty:
            await self._store.load_contacts(lease, contacts, rows.extend)
        return bytes(rows)

    def replace(self, rows: bytes) -> None:
        """Load executions again, after their enrollments."""
        if rows:
            self._matcher.load_executions(rows)

    def running(self) -> list[tuple[str, str, str]]:
        """(tenant, contact, execution) of the executions whose jobs are out."""
        return self._matcher.executions_in("running")

    def active(self) -> list[Permit]:
        """The permits of the executions that are ACTIVE (X8)."""
        return [
            Permit(TenantId(tenant), EnrollmentId(execution), slot_of(tenant, contact))
            for state in ACTIVE_STATES
            for tenant, contact, execution in self._matcher.executions_in(state)
        ]

    def active_of(self, contacts: set[ContactKey]) -> list[Grant]:
        """(tenant, contact, execution) of the ACTIVE executions of these contacts."""
        active = (row for state in ACTIVE_STATES for row in self._matcher.executions_in(state))
        return [row for row in active if row[:2] in contacts]

    def counts(self, now_ms: int) -> dict[str, Any]:
        """See `_native.Matcher.execution_counts`."""
        return self._matcher.execution_counts(now_ms)

    def is_due(self, watermark_ms: int | None) -> bool:
        """Whether a step is due, or a timer is not later than the watermark and not processed."""
        counts = self.counts(watermark_ms or 0)
        return counts["due"] > 0 or counts["oldest_timer_ms"] is not None

    def advance_timers(self, watermark_ms: int) -> None:
        """See `_native.Matcher.advance_timers`."""
        self._matcher.advance_timers(watermark_ms)

    def queues(self) -> list[tuple[QueueKey, int]]:
        """The queues that are not empty, with their lengths. Steps that are no actions have the
        action `""`."""
        return [
            (QueueKey(tenant, ActionType(action), connection), count)
            for tenant, action, connection, count in self._matcher.execution_queues()
        ]

    def first(self, queue: QueueKey, limit: int) -> list[QueuedExecution]:
        """See `DueSteps.first`."""
        rows = self._matcher.queued_executions(*queue, limit)
        return [QueuedExecution(contact, id_, permit) for _, contact, id_, _, permit in rows]

    def _described(self, key: WorkflowKey, plans: Sequence[StoredPlan]) -> dict[str, object]:
        current = [plan.version for plan in plans if plan.is_current]
        activated_at, overdue = self._activations.get(key, (None, "run"))
        return {
            "tenant_id": key.tenant_id,
            "workflow_id": key.workflow_id,
            "is_active": self._is_active(key),
            "activated_at_ms": activated_at,
            "overdue": overdue,
            "current_version": current[0] if current else None,
            "versions": [(plan.version, plan.plan) for plan in plans],
            "tag_case_sensitive": key.tenant_id in self._by_case,
        }


@cache
def _zones() -> Sequence[tuple[str, bytes]]:
    """Every time zone of the package tzdata, with its TZif file (decision 52)."""
    root = files("tzdata.zoneinfo")
    places = [(name, root.joinpath(*name.split("/"))) for name in sorted(available_timezones())]
    return [(name, place.read_bytes()) for name, place in places if place.is_file()]
