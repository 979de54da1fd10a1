"""The Locust users of the load test: by default 200 requests per second from several tenants.

`python -m bench.load` starts goald, creates data and runs this file. To test another goald
that has the workflows of `bench.load`:

    LOAD_TOKENS='{"load-0": "…"}' locust -f bench/locustfile.py --host http://127.0.0.1:8080

The requests are 60% reads of statistics, lists and goals, 15% events (1 to 20 each), 10% dry
runs, 5% changes of the configuration, 5% enrollments, and 5% reads of the audit log. They are
a Poisson process, as from many independent clients. A user that receives a late response
still sends its next request at the planned time.
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
"""Requests per second of each user: 50 users with 4 each send 200."""
TOKENS: dict[str, str] = json.loads(os.environ["LOAD_TOKENS"])
CONTACTS = int(os.environ.get("LOAD_CONTACTS", "20000"))
"""Contacts of each tenant: c-0, c-1, … with the enrollments e-0, e-1, … in `nurturing`."""

_tenants = itertools.cycle(sorted(TOKENS.items()))


class Platform(FastHttpUser):
    """A client of one tenant."""

    def on_start(self) -> None:
        """Select a tenant, and wait for the first planned request."""
        self.tenant, token = next(_tenants)
        self.client.auth_header = f"Bearer {token}"
        self.random = random.Random()
        goals = self.client.get("/api/v1/workflows/edited/goals", name="(start)").json()
        self.goal = goals["goals"][0]["id"]
        self.next_at = time.monotonic() + self.random.expovariate(USER_RATE)
        # Locust runs other users during this sleep.
        time.sleep(self.wait_time())

    def wait_time(self) -> float:
        """Seconds until the next planned request; 0 if it is late."""
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
        """An event. One of 50 meets the goal of `nurturing`."""
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
