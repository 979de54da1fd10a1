"""A tenant is served few lists at a time, so that its lists do not take the API's time (D8)."""

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import psycopg
import pytest
from tests.support.api.client import Api
from tests.support.services.servers import Database

from goald.api.admission.places import WorkLimits
from goald.runtime.wiring import api as wiring

LISTS = {
    "/api/v1/audit": "audit_log",
    "/api/v1/catalog/tag": "catalog_entities",
    "/api/v1/webhooks": "webhook_secrets",
    "/api/v1/workflows": "workflows",
    "/api/v1/workflows/w/achievements": "workflow_goal_achievements",
    "/api/v1/workflows/w/enrollments": "workflow_enrollments",
    "/api/v1/workflows/w/goals": "workflow_goals",
}


@pytest.mark.parametrize("path", LISTS)
def test_another_list_of_the_tenant_gets_429(
    make_api: Callable[..., Api], database: Database, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(wiring, "LISTS", WorkLimits(total=2, per_tenant=1, waiting=0))
    api = make_api()
    client = api.client("acme")
    assert client.put("/api/v1/workflows/w", json={"name": "W"}).status_code == 201
    with ThreadPoolExecutor(2) as pool:
        with psycopg.connect(database.admin_dsn) as tables:
            tables.execute(f"LOCK TABLE goald.{LISTS[path]}")  # the first request does not end
            requests = [pool.submit(client.get, path) for _ in range(2)]
            done, waiting = wait(requests, return_when=FIRST_COMPLETED)
        refused, answer = done.pop().result(), waiting.pop().result()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert "lists of this tenant" in refused.json()["detail"]
    assert answer.status_code == 200
