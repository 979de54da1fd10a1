"""The configuration of workflows as the matcher takes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, NotRequired, TypedDict

from goald.domain.configuration.goals import GoalLogic, GoalType
from goald.domain.configuration.workflows import Overdue


class GoalConfiguration(TypedDict):
    """A goal that is not deleted. Times are microseconds since the Unix epoch."""

    id: str
    goal_type: GoalType
    criteria: str
    """A JSON object. Decimals in it are strings or integers, never floats."""
    is_active: bool
    effective_from: int | None
    """None if the goal was never active."""
    created_at: int
    position: int
    check_on_enrollment: NotRequired[bool]
    """Whether a state that the contact already has meets the goal (E22). False if absent."""
    conversion_window: NotRequired[int | None]
    """For how long after the enrollment, in microseconds, an event may meet the goal although the
    enrollment has ended (E18). None if absent."""


class ExecutionSettings(NamedTuple):
    """The settings of a tenant for its executions."""

    error_notification: bool = True
    max_retry_attempts: int = 3
    retry_base_delay_seconds: float | None = None
    """None: that of goald (GOALD_RETRY_BASE_SECONDS)."""
    concurrent_executions_per_account: int | None = None
    """None: that of goald."""


class WorkflowConfiguration(TypedDict):
    """A workflow with its goals."""

    tenant_id: str
    workflow_id: str
    name: NotRequired[str]
    """For templates. Empty if absent."""
    goal_logic: GoalLogic
    is_active: bool
    tag_case_sensitive: NotRequired[bool]
    """Whether the tenant distinguishes names of tags by case (E16). False if absent."""
    overdue: NotRequired[Overdue | None]
    """How the last activation treats the steps that had become due before it (X7). None, or absent:
    there were none."""
    activated_at_ms: NotRequired[int | None]
    """When it was activated, if there were overdue steps. Milliseconds since the Unix epoch."""
    executions: NotRequired[ExecutionSettings]
    """The settings of the tenant. The defaults if absent."""
    goals: list[GoalConfiguration]
    exits_missed: NotRequired[bool]
    """If it is active: whether the events that it missed while it was paused are judged, before any
    other (E19). Otherwise they are forgotten."""


class WorkflowKey(NamedTuple):
    """Identifies a workflow."""

    tenant_id: str
    workflow_id: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """Workflows that changed up to a version, in the order of their versions."""

    version: int
    workflows: Sequence[WorkflowConfiguration] = ()
    deleted: Sequence[tuple[str, str]] = ()
    """(tenant, workflow) of each deleted one; none if every workflow is read."""
    keeps_contacts: Sequence[str] = ()
    """The tenants that have had a projection of contacts since."""
