"""The words that the acceptance scenarios are told with, over the running daemon.

Given: `workflow`, `enrolled`. When: `happens`, which returns once it has taken effect.
Then: `achievements`, `status_of`, `exits`, and `assert_went_out_by` or `assert_still_in`.
"""

from dataclasses import dataclass
from typing import Any

import yaml
from tests.support.daemon import Daemon

from goald.client import Exit, event


@dataclass(frozen=True)
class Achievement:
    """A row of the achievements."""

    contact_id: str
    goal_type: str
    trigger_event: dict[str, Any]
    event_id: str


class Scenario:
    """One scenario, in a tenant of its own."""

    def __init__(self, daemon: Daemon, tenant: str) -> None:
        self.daemon = daemon
        self.tenant = tenant

    def workflow(
        self,
        workflow: str,
        name: str,
        *goals: tuple[str, dict[str, Any]],
        goal_logic: str = "any",
        active: bool = True,
    ) -> str:
        """A workflow with goals (type, criteria), as `goald apply` makes it; what that said."""
        made = {
            "id": workflow,
            "name": name,
            "goal_logic": goal_logic,
            "active": active,
            "goals": [{"goal_type": kind, "criteria": criteria} for kind, criteria in goals],
        }
        return self.daemon.apply(yaml.safe_dump({"tenant": self.tenant, "workflows": [made]}))

    def enrolled(self, contact: str, workflow: str, *, again: str = "", **data: Any) -> str:
        """A contact that has just been enrolled; the enrollment's id. `again` tells a second
        enrollment from the first."""
        enrollment = f"{workflow}:{contact}{again}"
        self.happens(
            "workflow.enrollment.started",
            contact,
            workflow_id=workflow,
            enrollment_id=enrollment,
            **data,
        )
        assert self.status_of(enrollment) == "active"
        return enrollment

    def happens(self, kind: str, contact: str, **data: Any) -> str:
        """An event of a contact, once it has taken effect; its id."""
        made = event(kind, self.tenant, contact, data, source="acceptance")
        self.daemon.publish(made)
        self.daemon.until_lag_zero()
        return str(made["id"])

    def status_of(self, enrollment: str) -> str:
        """Of an enrollment that is there."""
        ((status,),) = self.daemon.sql(
            "SELECT status FROM goald.workflow_enrollments WHERE tenant_id = %s AND id = %s",
            self.tenant,
            enrollment,
        )
        return str(status)

    def achievements(self, enrollment: str) -> list[Achievement]:
        """Of an enrollment, in the order in which they were achieved."""
        rows = self.daemon.sql(
            "SELECT contact_id, goal_type, trigger_event, metadata->>'event_id'"
            " FROM goald.workflow_goal_achievements"
            " WHERE tenant_id = %s AND workflow_enrollment_id = %s ORDER BY achieved_at",
            self.tenant,
            enrollment,
        )
        return [Achievement(*row) for row in rows]

    def exits(self, enrollment: str) -> list[Exit]:
        """The exits of an enrollment; one published twice is one."""
        found = self.daemon.exits(self.tenant)
        return list({each.id: each for each in found if each.enrollment_id == enrollment}.values())

    def assert_went_out_by(self, event_id: str, enrollment: str) -> Exit:
        """The contact has left the workflow by this event: the enrollment is completed, and
        one exit tells the engine so. Gives it."""
        assert self.status_of(enrollment) == "completed_goal"
        assert self.achievements(enrollment)[-1].event_id == event_id
        (left,) = self.exits(enrollment)
        assert left.trigger_event.id == event_id
        assert (left.tenant_id, left.exit_reason) == (self.tenant, "goal_achieved")
        told = self.daemon.notices(self.tenant, "workflow.goal.achieved")
        assert enrollment in {each["workflow_enrollment_id"] for each in told}
        return left

    def assert_still_in(self, enrollment: str) -> None:
        """The goal is not achieved, and the contact remains in the workflow."""
        assert self.status_of(enrollment) == "active"
        assert self.achievements(enrollment) == []
        assert self.exits(enrollment) == []
