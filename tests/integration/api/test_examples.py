"""The examples that Swagger UI offers for request bodies succeed when they are sent unchanged."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.support.api.client import Api

from goald.api.app import all_routes
from goald.api.openapi import build_document

DOCUMENT: dict[str, Any] = build_document(all_routes())
SOURCE = {"preset": "gohighlevel_workflow"}
"""Its provider signs nothing, so that the key in the path suffices."""
GOAL = {"goal_type": "form_submitted", "criteria": {"form_id": "form-1"}}


def bodies() -> Iterator[Any]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            for media, content in operation.get("requestBody", {}).get("content", {}).items():
                name = f"{method.upper()} {path} {media}"
                yield pytest.param(method, path, media, content.get("example"), id=name)


@pytest.mark.parametrize(("method", "path", "media", "example"), list(bodies()))
def test_example_succeeds_against_new_objects(
    api: Api, method: str, path: str, media: str, example: Any
) -> None:
    client = api.client("acme")
    client.put("/api/v1/workflows/w-1", json={}).raise_for_status()
    goal = client.post("/api/v1/workflows/w-1/goals", json=GOAL).raise_for_status().json()
    source = client.put("/api/v1/sources/own", json=SOURCE).raise_for_status().json()
    ids = {
        "workflow_id": _runnable(client) if path.endswith("/executions") else "w-1",
        "goal_id": goal["id"],
        "kind": "tag",
        "entity_id": "tag-1",
        "enrollment_id": "enrollment-1",
        "provider": "stripe",
        "contact_id": "contact-1",
        "name": "own",
        "tenant": "acme",
        "key": source["url"].rpartition("/")[2],
    }

    assert example is not None
    response = client.request(
        method, path.format(**ids), json=example, headers={"content-type": media}
    )

    assert response.is_success, response.text


def _runnable(client: httpx.Client) -> str:
    """Create an active workflow that has a published definition."""
    path = "/api/v1/workflows/runs"
    client.put(path, json={}).raise_for_status()
    client.post(f"{path}/goals", json=GOAL).raise_for_status()
    steps = {"steps": [{"id": "a", "action": "noop"}]}
    client.put(f"{path}/definition", json=steps).raise_for_status()
    client.post(f"{path}/publish").raise_for_status()
    client.post(f"{path}/activate").raise_for_status()
    return "runs"
