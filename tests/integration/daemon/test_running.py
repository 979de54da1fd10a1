"""A running `goald serve --embedded`: its API, its secrets, its metrics, its workflows and its data
directory."""

import asyncio
import json
import stat
import subprocess
from typing import Any

import httpx
from tests.integration.daemon.test_serve_api import EVENTS, SCOPES, api_url, token
from tests.support.services.daemon import DEADLINE_S, GOALD, Daemon

from goald.client import event
from goald.client.action_worker import Action, ActionWorker

WORKFLOW = """
tenant: TENANT
workflows:
  - id: trial
    name: Trial
    active: true
    goals: []
    trigger: {on: form_submitted, criteria: {form_id: trial}}
    steps:
      - {id: first, action: acme.call, with: {who: "{{ contact.id }}"}}
      - {id: pause, wait: {for: 1s}}
      - {id: after, action: acme.call}
"""
WAITING = """
tenant: TENANT
workflows:
  - {id: short, name: S, active: true, goals: [], steps: [{id: pause, wait: {for: 1s}}]}
  - {id: long, name: L, active: true, goals: [], steps: [{id: pause, wait: {for: 1h}}]}
"""


def tag_goal(name: str) -> dict[str, Any]:
    return {"goal_type": "tag_added", "criteria": {"tag_name": name}}


def test_status_has_the_api_url_and_the_api_accepts_tokens_of_the_cli(
    daemon: Daemon, tenant: str
) -> None:
    with httpx.Client(base_url=api_url(daemon), timeout=DEADLINE_S) as client:
        assert client.get("/readyz").status_code == 200
        sent = event("contact.tag.added", tenant, "c-1", {"tag_name": "Customer"})
        assert client.post("/api/v1/events", json=sent).status_code == 401
        reading = {"authorization": f"Bearer {token(daemon, tenant, 'workflows:read')}"}
        assert client.post("/api/v1/events", json=sent, headers=reading).status_code == 403
        writing = {"authorization": f"Bearer {token(daemon, tenant, EVENTS)}"}
        assert client.post("/api/v1/events", json=sent, headers=writing).status_code == 202
    daemon.until_lag_zero()
    assert f"{api_url(daemon)}/docs" in daemon.printed()


def test_every_shard_applies_a_change_once_the_api_responds(daemon: Daemon, tenant: str) -> None:
    contacts = [f"c-{number}" for number in range(20)]  # almost certainly on both shards
    bearer = {"authorization": f"Bearer {token(daemon, tenant, *SCOPES)}"}
    path = "/api/v1/workflows/w"
    with httpx.Client(base_url=api_url(daemon), headers=bearer, timeout=DEADLINE_S) as client:

        def call(method: str, path: str, status: int, body: Any = None) -> Any:
            response = client.request(method, path, json=body)
            assert response.status_code == status, response.text
            return response.json()

        def tag(name: str) -> None:
            sent = [event("contact.tag.added", tenant, c, {"tag_name": name}) for c in contacts]
            assert call("POST", "/api/v1/events", 202, sent)["accepted"] == len(contacts)

        def exited() -> int:
            return len({each.contact_id for each in daemon.exits(tenant)})

        call("PUT", path, 201, {"name": "W", "goal_logic": "any"})
        goal = call("POST", f"{path}/goals", 201, tag_goal("Prospect"))
        call("POST", f"{path}/activate", 200)
        for contact in contacts:
            started = {"enrollment_id": f"e-{contact}", "contact_id": contact}
            call("POST", f"{path}/enrollments", 202, started)
        call("PATCH", f"{path}/goals/{goal['id']}", 200, {"criteria": {"tag_name": "Customer"}})
        tag("Prospect")
        daemon.until_lag_zero()
        assert exited() == 0
        call("POST", f"{path}/goals", 201, tag_goal("Lead"))
        tag("Lead")
        daemon.until("every exit", lambda: exited() == len(contacts))


def test_a_workflow_runs_from_its_trigger_over_a_wait_to_the_action_of_a_worker(
    daemon: Daemon, tenant: str
) -> None:
    daemon.apply(WORKFLOW.replace("TENANT", tenant))
    contacts = [f"c-{number}" for number in range(10)]  # almost certainly on both shards
    daemon.publish(
        *(event("form.submitted", tenant, contact, {"form_id": "trial"}) for contact in contacts)
    )

    async def perform() -> list[tuple[str, str]]:
        performed: list[tuple[str, str]] = []

        async def handle(action: Action) -> None:
            if action.tenant_id == tenant:
                performed.append((action.contact_id, action.step_id))
                if len(performed) == 2 * len(contacts):
                    worker.stop()

        async with ActionWorker(daemon.redis_url, {"acme.call": handle}) as worker:
            async with asyncio.timeout(DEADLINE_S):
                await worker.run()
        return performed

    performed = asyncio.run(perform())
    assert sorted(performed) == [(c, step) for c in sorted(contacts) for step in ("after", "first")]
    assert all(performed.index((c, "first")) < performed.index((c, "after")) for c in contacts)
    statuses = "SELECT status FROM goald.workflow_enrollments WHERE tenant_id = %s"
    completed = [("completed",)] * len(contacts)
    daemon.until("every end", lambda: daemon.sql(statuses, tenant) == completed or None)


def test_executions_are_started_read_and_cancelled_over_the_api(
    daemon: Daemon, tenant: str
) -> None:
    daemon.apply(WAITING.replace("TENANT", tenant))
    bearer = {"authorization": f"Bearer {token(daemon, tenant, 'executions:read executions:edit')}"}
    with httpx.Client(base_url=api_url(daemon), headers=bearer, timeout=DEADLINE_S) as client:

        def call(method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
            answer = client.request(method, f"/api/v1/{path}", json=body)
            return answer.status_code, answer.json()

        def start(workflow: str) -> tuple[int, dict[str, Any]]:
            return call("POST", f"workflows/{workflow}/executions", {"contact_id": "ann"})

        status, short = start("short")
        assert (status, short["status"]) == (201, "QUEUED")
        status, ignored = start("short")
        assert (status, ignored["message"]) == (200, "duplicate trigger ignored")
        assert ignored["id"] == short["id"]
        ended = daemon.until(
            "the end",
            lambda: (
                found
                if (found := call("GET", f"executions/{short['id']}")[1])["status"] == "COMPLETED"
                else None
            ),
        )
        assert (ended["completion_reason"], ended["progress_percent"]) == ("finished", 100)
        _, logs = call("GET", f"executions/{short['id']}/logs")
        kinds = ["execution_started", "wait_started", "wait_ended", "execution_completed"]
        assert [row["event_type"] for row in logs["items"]] == kinds

        _, long = start("long")
        path = f"executions/{long['id']}"
        waiting = daemon.until(
            "the wait",
            lambda: found if (found := call("GET", path)[1])["waiting_for"] == "timer" else None,
        )
        assert waiting["waiting_reason"] == f"Its step waits until {waiting['due_at']}."
        status, cancelled = call("POST", f"{path}/cancel")
        assert (status, cancelled["status"]) == (200, "CANCELLED")
        assert cancelled["action_in_flight"] is False
        status, again = call("POST", f"{path}/cancel")
        assert (status, again["execution_status"]) == (409, "CANCELLED")
        _, listed = call("GET", "workflows/long/executions?status=CANCELLED")
        assert [row["id"] for row in listed["items"]] == [long["id"]]

    def run(*words: str) -> Any:
        ran = daemon.run("executions", *words, "--tenant", tenant, "--json")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    begun = run("start", "long", "--contact", "bob", "coupon=SPRING")
    assert run("cancel", begun["id"])["status"] == "CANCELLED"


def test_a_separate_worker_is_in_the_status_until_it_is_stopped(daemon: Daemon) -> None:
    def workers() -> list[int]:
        return [each.index for each in daemon.readings().heartbeats if each.role == "worker"]

    refused = daemon.run("worker", "--only", "web_hook")
    assert refused.returncode == 2
    assert "does not perform 'web_hook'. Did you mean webhook?" in refused.stderr
    command = [*GOALD, "worker", "--only", "noop"]
    with subprocess.Popen(command, env=daemon.environment, stdout=subprocess.PIPE) as worker:
        try:
            daemon.until("heartbeat", lambda: workers() == [0, 100])
            assert daemon.is_ready()
        finally:
            worker.terminate()
        printed, _ = worker.communicate(timeout=DEADLINE_S)
    assert worker.returncode == 0
    assert printed.startswith(b"Worker 100 performs noop.")
    assert workers() == [0]


def test_only_this_user_may_read_the_secrets_of_an_embedded_goald(daemon: Daemon) -> None:
    for name in ("token-secret", "secrets-key"):
        secret = daemon.data_dir / name
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert len(secret.read_text()) >= 43
        assert secret.read_text() not in daemon.printed()


def test_the_api_serves_the_metrics_of_the_whole_instance(daemon: Daemon) -> None:
    def served(url: str) -> set[str]:
        lines = httpx.get(url, timeout=DEADLINE_S).text.splitlines()
        return {line.split(" ")[2] for line in lines if line.startswith("# TYPE")}

    metrics_url = json.loads(daemon.run("status", "--json").stdout)["metrics_url"]
    assert served(f"{api_url(daemon)}/metrics") == served(metrics_url)
    assert {"goald_ready", "goald_exits_total", "goald_api_requests_total"} <= served(metrics_url)


def test_a_second_goald_on_the_same_data_directory_does_not_start(daemon: Daemon) -> None:
    assert daemon.process is not None
    ran = daemon.run("serve", "--embedded")
    assert ran.returncode == 1
    assert f"in use by another goald (process {daemon.process.pid})" in ran.stderr
    assert "--data-dir" in ran.stderr
    assert daemon.is_ready()
