"""The load of the API: what 200 requests a second of several tenants look like.

`python -m bench.load` starts a goald, fills it and runs this; against another goald, which
holds the workflows of `bench.load`:

    LOAD_TOKENS='{"load-0": "…"}' locust -f bench/locustfile.py --host http://127.0.0.1:8080

60% reads of statistics, lists and goals, 15% events (1 to 20 each), 10% dry runs, 5% changes
of the configuration, 5% enrollments, 5% the audit log. Requests come as those of many
strangers do (a Poisson process): now and then several at once, never all in step. Each user
keeps to a plan of its own, so that one who was answered late asks no less for it.
"""

import itertools
import json
import os
import random
import time
import uuid
from datetime import UTC, datetime
from typing import Any

from locust import FastHttpUser, task

USER_RATE = float(os.environ.get("LOAD_USER_RATE", "4"))
"""Requests a second of each user: with 4, 50 users are 200."""
TOKENS: dict[str, str] = json.loads(os.environ["LOAD_TOKENS"])
CONTACTS = int(os.environ.get("LOAD_CONTACTS", "20000"))
"""Of each tenant, named c-0, c-1, … and each enrolled as e-0, e-1, … in `nurturing`."""

_tenants = itertools.cycle(sorted(TOKENS.items()))


class Platform(FastHttpUser):
    """A program of one tenant's platform."""

    def on_start(self) -> None:
        """Become somebody."""
        self.tenant, token = next(_tenants)
        self.client.auth_header = f"Bearer {token}"
        self.random = random.Random()
        goals = self.client.get("/api/v1/workflows/edited/goals", name="(start)").json()
        self.goal = goals["goals"][0]["id"]
        self.next_at = time.monotonic() + self.random.expovariate(USER_RATE)
        # Locust lets other users run meanwhile.
        time.sleep(self.wait_time())

    def wait_time(self) -> float:
        """Seconds until the next request that the plan holds; none where it is late."""
        now = time.monotonic()
        wait = max(0.0, self.next_at - now)
        self.next_at += self.random.expovariate(USER_RATE)
        return wait

    @task(20)
    def statistics(self) -> None:
        self.client.get("/api/v1/workflows/nurturing/goals/stats", name="GET stats")

    @task(15)
    def goals(self) -> None:
        self.client.get("/api/v1/workflows/nurturing/goals", name="GET goals")

    @task(10)
    def enrollments(self) -> None:
        self.client.get("/api/v1/workflows/nurturing/enrollments", name="GET enrollments")

    @task(10)
    def achievements(self) -> None:
        self.client.get("/api/v1/workflows/nurturing/achievements", name="GET achievements")

    @task(5)
    def listeners(self) -> None:
        self.client.get("/api/v1/workflows/nurturing/listeners", name="GET listeners")

    @task(15)
    def events(self) -> None:
        events = [self._event() for _ in range(self.random.randint(1, 20))]
        self.client.post("/api/v1/events", json=events, name="POST events")

    @task(10)
    def explain(self) -> None:
        self.client.post("/api/v1/explain", json=self._event(), name="POST explain")

    @task(2)
    def put_workflow(self) -> None:
        name = f"Edited {self.random.randrange(1_000)}"
        body = {"name": name, "goal_logic": "any"}
        self.client.put("/api/v1/workflows/edited", json=body, name="PUT workflow")

    @task(2)
    def patch_goal(self) -> None:
        form = f"form-{self.random.randrange(1_000)}"
        path = f"/api/v1/workflows/edited/goals/{self.goal}"
        self.client.patch(path, json={"criteria": {"form_id": form}}, name="PATCH goal")

    @task(1)
    def activate(self) -> None:
        how = self.random.choice(("activate", "deactivate"))
        self.client.post(f"/api/v1/workflows/edited/{how}", name="POST (de)activate")

    @task(5)
    def enrol(self) -> None:
        body = {"enrollment_id": str(uuid.uuid4()), "contact_id": f"new-{uuid.uuid4()}"}
        path = "/api/v1/workflows/nurturing/enrollments"
        self.client.post(path, json=body, name="POST enrollment")

    @task(5)
    def audit(self) -> None:
        self.client.get("/api/v1/audit", name="GET audit")

    def _event(self) -> dict[str, Any]:
        """One in fifty reaches the goal of `nurturing`."""
        customer = self.random.randrange(50) == 0
        return {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": "bench/load",
            "type": "contact.tag.added",
            "time": datetime.now(UTC).isoformat(),
            "data": {
                "contact_id": f"c-{self.random.randrange(CONTACTS)}",
                "tag_name": "Customer" if customer else "Prospect",
            },
        }
