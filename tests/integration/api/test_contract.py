"""Every operation of the OpenAPI document, with valid and invalid requests: each response is a
documented one, and none is a server error (D9).

API_EXAMPLES: the number of requests per operation, 60 by default.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig
from tests.support.api.application import SECRET, SECRETS_KEY, api_app
from tests.support.api.client import Api, served
from tests.support.pipeline.changes import NOON, Effect, change
from tests.support.pipeline.executions import ASLEEP, Log, Transition, with_executions
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.api.app import all_routes
from goald.api.openapi import build_document
from goald.domain.records import execution_requests
from goald.domain.slots import SlotRange
from goald.ports.change import ContactEvent
from goald.runtime.embedded import EmbeddedEndpoints
from goald.settings import Settings

EXAMPLES = int(os.environ.get("API_EXAMPLES", "60"))
TENANT = "acme"
FULL = "full"
"""A contact with as many active enrollments as it may have."""

known: dict[str, str] = {
    "workflow_id": "w",
    "enrollment_id": "e",
    "provider": "pay",
    "name": "src",
    "contact_id": "c",
    "execution_id": "x",
}
"""The ids of existing objects, by the name of their path parameter."""

schema = schemathesis.openapi.from_dict(
    build_document(all_routes()),
    config=SchemathesisConfig.from_dict(
        {
            # Rules that a schema cannot express are refused with 400: a fourth goal, a
            # reference to a missing entity, a cursor of another list.
            "checks": {
                "positive_data_acceptance": {
                    "expected-statuses": ["2xx", "400", "401", "404", "409", "412"]
                }
            }
        }
    ),
)


@schema.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any]) -> dict[str, Any]:
    """Use the ids of existing objects in about half of the requests; random ids would match
    none."""
    for name, value in list((path_parameters or {}).items()):
        allowed = isinstance(value, str) and value.isprintable() and 1 <= len(value) <= 128
        if name in known and allowed and len(value) % 2:
            path_parameters[name] = known[name]
    return path_parameters


@schema.hook
def map_body(context: Any, body: Any) -> Any:
    """Start enrollments of the contact that may have no further one in about half of the
    requests."""
    contact = body.get("contact_id") if isinstance(body, dict) else None
    if isinstance(contact, str) and contact.isprintable() and len(contact) in range(1, 257, 2):
        return {**body, "contact_id": FULL}
    return body


@schema.auth()
class Bearer:
    """Adds a token to each request. A check of Schemathesis removes it again."""

    def get(self, case: schemathesis.Case[Any], context: schemathesis.AuthContext) -> str:
        return Api("", SECRET).token(TENANT)

    def set(
        self, case: schemathesis.Case[Any], data: str, context: schemathesis.AuthContext
    ) -> None:
        case.headers["Authorization"] = f"Bearer {data}"


@pytest.fixture(scope="module")
def busy_api(module_database: Database, endpoints: EmbeddedEndpoints) -> Iterator[Api]:
    """An API with an object for every path parameter."""
    settings = Settings(
        redis_url=endpoints.redis_url,
        postgres_dsn=module_database.dsn,
        jwt_secret=SECRET,
        secrets_keys=SECRETS_KEY,
        quota_requests=0,
        quota_events=0,
        max_enrollments_per_contact=1,
    )
    asyncio.run(_fill(module_database))
    with (
        pytest.MonkeyPatch.context() as patch,
        served(api_app(settings)) as url,
        closing(Api(url, SECRET)) as api,
    ):
        patch.setattr(execution_requests, "ANSWER_SECONDS", 0.05)  # no shard answers
        client = api.client(TENANT)
        created = [
            client.put("/api/v1/workflows/w", json={"name": "W"}),
            client.post(
                "/api/v1/workflows/w/goals",
                json={"goal_type": "tag_added", "criteria": {"tag_name": "Customer"}},
            ),
            client.put("/api/v1/webhooks/pay"),
            client.put("/api/v1/sources/src", json={"preset": "jotform"}),
            client.put(
                "/api/v1/workflows/w/definition", json={"steps": [{"id": "a", "action": "noop"}]}
            ),
        ]
        assert [answer.status_code for answer in created] == [201] * 5
        known["goal_id"] = created[1].json()["id"]
        yield api


async def _fill(database: Database) -> None:
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(SlotRange(0, 255), "test")
    described = ContactEvent("acme", "c", 3, "contact.updated", "key", NOON, '{"email": "a@b.de"}')
    await store.commit(lease, change(Effect("e", FULL, "w"), contact_events=[described]))
    started = Transition("x", 0, contact_id="c", workflow_id="w")
    logs = [Log("execution_started", 0)]
    await store.commit(lease, with_executions([Effect("x", "c", "w")], started, logs=logs))
    end = Effect("x", "c", "w", is_new=False, status="completed", ended_at=NOON)
    completed = replace(
        started, guard=ASLEEP, status="COMPLETED", reason="finished", step_id="", due_ms=None
    )
    await store.commit(lease, with_executions([end], completed))
    await store.release(lease)
    await store.close()


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_responses_match_the_document(case: schemathesis.Case[Any], busy_api: Api) -> None:
    """All checks of Schemathesis: no 5xx; documented status, content type, headers and body;
    requests are refused if and only if the schema forbids them; no access without the token."""
    case.call_and_validate(base_url=busy_api.url)
