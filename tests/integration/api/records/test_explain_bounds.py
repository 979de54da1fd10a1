"""The dry run of a contact with many enrollments costs a bounded amount of work, and the tenant
pays for it (D8)."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psycopg
import pytest
from tests.support.api.client import Api
from tests.support.pipeline.changes import NOON, Effect, change
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.domain.slots import SlotRange

ACTIVE, ENDED, GOALS = 130, 60, 3
DEADLINE_S = 30.0
EVENT: dict[str, Any] = {
    "id": "evt-1",
    "source": "shop",
    "type": "payment.completed",
    "time": "2999-01-01T00:00:00Z",
    "data": {"contact_id": "ann", "amount": "5"},
}


@pytest.fixture
async def crowded(database: Database) -> None:
    """Ann has 130 active enrollments in a workflow with three goals, and 60 ended ones."""
    with psycopg.connect(database.admin_dsn) as tables:
        tables.execute(
            "INSERT INTO goald.workflows (tenant_id, id, name, is_active, config_version)"
            " VALUES ('acme', 'buy', 'Buy', true, nextval('goald.config_version'))"
        )
        for position in range(GOALS):
            tables.execute(
                "INSERT INTO goald.workflow_goals (tenant_id, id, workflow_id, position,"
                " goal_type, criteria, effective_from) VALUES ('acme', gen_random_uuid(), 'buy',"
                " %s, 'purchase_made', %s, 'epoch')",
                (position, f'{{"min_amount": "{position + 1}0.50"}}'),
            )
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(SlotRange(0, 255), "test")
    active = (Effect(f"e-{n}", workflow_id="buy", enrolled_at=NOON + n) for n in range(ACTIVE))
    ended = (Effect(f"d-{n}", workflow_id="buy", status="exited", ended_at=NOON + n)
             for n in range(ENDED))  # fmt: skip
    await store.commit(lease, change(*active, *ended))
    await store.release(lease)
    await store.close()


def explain(client: httpx.Client) -> httpx.Response:
    return client.post(
        "/api/v1/explain", json=EVENT | {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    )


def test_newest_enrollments_are_returned_and_the_others_counted(api: Api, crowded: None) -> None:
    answer = explain(api.client("acme", "workflows:read"))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    ids = [row["enrollment_id"] for row in found["enrollments"]]
    assert set(ids[:100]) == {f"e-{n}" for n in range(ACTIVE - 100, ACTIVE)}
    assert ids[100:] == [f"d-{n}" for n in range(ENDED - 1, ENDED - 51, -1)]
    assert (found["active_enrollments"], found["truncated"]) == (ACTIVE, True)
    assert '"min_amount":10.50' in answer.text  # exact
    assert [goal["reason"] for goal in found["enrollments"][0]["goals"]] == ["amount below"] * GOALS


@pytest.mark.usefixtures("patient_quotas")
def test_explanation_counts_as_requests_by_its_size(
    make_api: Callable[..., Api], crowded: None
) -> None:
    """100 enrollments with three goals each, and 50: nine requests, of which each has counted as
    one before."""
    client = make_api(quota_requests=12).client("acme", "workflows:read")
    details = set[str]()
    deadline = time.monotonic() + DEADLINE_S
    with ThreadPoolExecutor(4) as together:
        while not any("counts as 8" in detail for detail in details):
            assert time.monotonic() < deadline, details
            answers = list(together.map(lambda _: explain(client), range(4)))
            details |= {row.json()["detail"] for row in answers if row.status_code == 429}


@pytest.mark.usefixtures("patient_quotas")
def test_explanation_passes_a_quota_that_is_smaller_than_its_cost(
    make_api: Callable[..., Api], crowded: None
) -> None:
    client = make_api(quota_requests=2).client("acme", "workflows:read")
    deadline = time.monotonic() + DEADLINE_S
    while explain(client).status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(1.1)


def test_tenant_with_many_explanations_gets_429(api: Api, crowded: None) -> None:
    """The last of the 40 would wait behind more than 16."""
    flood = api.client("acme", "workflows:read")
    flood.get("/api/v1/workflows")
    deadline = time.monotonic() + DEADLINE_S
    with ThreadPoolExecutor(40) as together:
        while True:
            answers = list(together.map(lambda _: explain(flood), range(40)))
            refused = [row for row in answers if row.status_code == 429]
            assert {row.status_code for row in answers} <= {200, 429}
            if any("explanations of this tenant" in row.json()["detail"] for row in refused):
                break
            assert time.monotonic() < deadline
    assert all("retry-after" in row.headers for row in refused)
