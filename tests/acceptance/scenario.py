"""The vocabulary of the acceptance scenarios. It uses the HTTP API of the running daemon, and Redis
in the role of a workflow engine.

Given: `workflow`, `entity`, `enrolled`. When: `adds_goal`, `activates`, `deactivates`,
`happens`, `ends`, `engine_acknowledges`; each returns after it has taken effect. Then: `goals`,
`enrollment`, `achievements`, `listeners`, `statistics`, `audit`, `exits`, and
`assert_exited_by` or `assert_still_in`.
"""

import asyncio
from datetime import datetime
from typing import Any

import httpx
from tests.support.services.daemon import Daemon

from goald.client import Exit, ExitReader, event

Goal = tuple[str, dict[str, Any]]
"""Type and criteria."""


class Scenario:
    """One scenario in its own tenant; the user is `editor-7`."""

    def __init__(self, daemon: Daemon, tenant: str, client: httpx.Client) -> None:
        self.daemon = daemon
        self.tenant = tenant
        self.client = client
        self._runs: dict[str, tuple[str, str]] = {}

    # Configuration

    def workflow(
        self,
        workflow: str,
        name: str,
        *goals: Goal,
        goal_logic: str = "any",
        active: bool = True,
        effective_from: datetime | None = None,
    ) -> list[dict[str, Any]]:
        """Create a workflow with goals, activate it if `active`, and return the goals."""
        body = {"name": name, "goal_logic": goal_logic}
        created = self.client.put(f"/api/v1/workflows/{workflow}", json=body)
        assert created.is_success, created.text
        assert not created.json()["is_active"]
        since = {} if effective_from is None else {"effective_from": effective_from.isoformat()}
        for kind, criteria in goals:
            assert self.adds_goal(workflow, kind, criteria, **since).is_success
        if active:
            assert self.activates(workflow).is_success
        return self.goals(workflow)

    def entity(self, kind: str, entity_id: str, name: str) -> None:
        """Create a catalog entity."""
        path = f"/api/v1/catalog/{kind}/{entity_id}"
        assert self.client.put(path, json={"name": name}).is_success

    def adds_goal(
        self, workflow: str, kind: str, criteria: dict[str, Any], **more: Any
    ) -> httpx.Response:
        """The user tries to add a goal. Returns the response."""
        body = {"goal_type": kind, "criteria": criteria, **more}
        return self.client.post(f"/api/v1/workflows/{workflow}/goals", json=body)

    def activates(self, workflow: str) -> httpx.Response:
        """The user activates a workflow. Returns after every shard has loaded it."""
        return self._change_and_wait(workflow, "activate")

    def deactivates(self, workflow: str) -> None:
        """The user deactivates a workflow. Returns after every shard has loaded it."""
        answer = self._change_and_wait(workflow, "deactivate")
        assert answer.is_success, answer.text

    def _change_and_wait(self, workflow: str, change: str) -> httpx.Response:
        """Make a change and wait for every shard: the response may come earlier (202, E10)."""
        answer = self.client.post(f"/api/v1/workflows/{workflow}/{change}")
        if answer.status_code == 202:
            path = f"/workflows/{workflow}/listeners"
            self.daemon.until("the change", lambda: self.get(path)["everywhere"])
        return answer

    def goals(self, workflow: str) -> list[dict[str, Any]]:
        """The goals of a workflow, in order of position."""
        answer = self.get(f"/workflows/{workflow}/goals")
        assert answer["total"] == len(answer["goals"])
        return list(answer["goals"])

    # Events

    def enrolled(self, contact: str, workflow: str, *, again: str = "", **data: Any) -> str:
        """Enroll a contact now, and return the enrollment id. `again` distinguishes a second
        enrollment of the contact."""
        enrollment = f"{workflow}:{contact}{again}"
        body = {"contact_id": contact, "enrollment_id": enrollment, **data}
        answer = self.client.post(f"/api/v1/workflows/{workflow}/enrollments", json=body)
        assert answer.status_code == 202, answer.text
        self._runs[enrollment] = workflow, contact
        self.daemon.until_lag_zero()
        assert self.status_of(enrollment) == "active"
        return enrollment

    def happens(self, kind: str, contact: str, *, at: datetime | None = None, **data: Any) -> str:
        """Send an event of a contact, wait for its effect, and return its id. `at`: default now."""
        created = event(kind, self.tenant, contact, data, source="acceptance", time=at)
        return self.sent(created)

    def sent(self, created: dict[str, Any]) -> str:
        """Send this event, wait for its effect, and return its id."""
        answer = self.client.post("/api/v1/events", json=created)
        assert (answer.status_code, answer.json()["accepted"]) == (202, 1), answer.text
        self.daemon.until_lag_zero()
        return str(created["id"])

    def ends(self, enrollment: str, reason: str) -> None:
        """The enrollment ends for a reason other than a goal."""
        workflow, _ = self._runs[enrollment]
        path = f"/api/v1/workflows/{workflow}/enrollments/{enrollment}/end"
        answer = self.client.post(path, json={"reason": reason})
        assert answer.status_code == 202, answer.text
        self.daemon.until_lag_zero()

    def engine_acknowledges(self, cancelled_actions: int) -> Exit:
        """The workflow engine reads the next exit of this tenant, and acknowledges it with the
        number of cancelled actions. Returns after goald has processed the acknowledgement."""
        acknowledged = asyncio.run(self._acknowledge_exit(cancelled_actions))
        self.daemon.until_lag_zero()
        return acknowledged

    async def _acknowledge_exit(self, cancelled_actions: int) -> Exit:
        group = f"engine-of-{self.tenant}"
        async with (
            asyncio.timeout(30),
            ExitReader(self.daemon.redis_url, group=group, consumer="engine-1") as exits,
        ):
            async for found in exits:
                if found.tenant_id == self.tenant:
                    await exits.acknowledged(found, cancelled_actions=cancelled_actions)
                    return found
        raise AssertionError("the reader ended")

    # Outcomes

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """The body of a successful response."""
        answer = self.client.get(f"/api/v1{path}", params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def enrollment(self, enrollment: str) -> dict[str, Any]:
        """An existing enrollment. Not found by its contact, which a deletion erases."""
        workflow, _contact = self._runs[enrollment]
        listed = self.get(f"/workflows/{workflow}/enrollments")["items"]
        (found,) = [each for each in listed if each["id"] == enrollment]
        return dict(found)

    def status_of(self, enrollment: str) -> str:
        return str(self.enrollment(enrollment)["status"])

    def achievements(self, enrollment: str) -> list[dict[str, Any]]:
        """The achievements of an enrollment, oldest first."""
        workflow, _ = self._runs[enrollment]
        path = f"/workflows/{workflow}/achievements"
        return list(reversed(self.get(path, enrollment_id=enrollment)["items"]))

    def listeners(self, workflow: str) -> dict[str, Any]:
        """Return the listeners of a workflow. Every shard must have loaded its configuration."""
        found = self.get(f"/workflows/{workflow}/listeners")
        assert found["workflow_id"] == workflow
        assert found["everywhere"], found
        assert found["shards"]["live"] > 0
        return found

    def statistics(self, workflow: str) -> dict[str, Any]:
        return self.get(f"/workflows/{workflow}/goals/stats")

    def audit(self, action: str, subject_id: str) -> list[dict[str, Any]]:
        """The audit log entries about one object, newest first."""
        return list(self.get("/audit", action=action, subject_id=subject_id)["items"])

    def exits(self, enrollment: str) -> list[Exit]:
        """The exits of an enrollment, without duplicates."""
        found = self.daemon.exits(self.tenant)
        return list({each.id: each for each in found if each.enrollment_id == enrollment}.values())

    def assert_exited_by(self, event_id: str, enrollment: str) -> Exit:
        """Assert that this event made the contact leave: the goal is achieved, the enrollment is
        completed, and one exit is published. Returns the exit."""
        assert self.status_of(enrollment) == "completed_goal"
        achieved = self.achievements(enrollment)[-1]
        assert achieved["metadata"]["event_id"] == event_id
        assert achieved["goal_config_id"] in self.enrollment(enrollment)["met_goals"]
        (workflow_exit,) = self.exits(enrollment)
        assert workflow_exit.trigger_event.id == event_id
        assert (workflow_exit.tenant_id, workflow_exit.exit_reason) == (
            self.tenant,
            "goal_achieved",
        )
        reported = self.daemon.notices(self.tenant, "workflow.goal.achieved")
        assert enrollment in {each["workflow_enrollment_id"] for each in reported}
        (entry, *_) = self.audit("goal.achieved", enrollment)
        assert entry["after"]["achievement_id"] == achieved["id"]
        return workflow_exit

    def assert_still_in(self, enrollment: str) -> None:
        """The goal is not achieved, and the contact remains in the workflow."""
        found = self.enrollment(enrollment)
        assert (found["status"], found["met_goals"]) == ("active", [])
        assert self.achievements(enrollment) == []
        assert self.exits(enrollment) == []
        assert self.audit("goal.achieved", enrollment) == []
