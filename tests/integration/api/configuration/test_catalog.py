"""The catalog over HTTP: what goals may refer to."""

import httpx
import pytest
from tests.support.api.client import Api


@pytest.fixture
def editor(api: Api) -> httpx.Client:
    return api.client("acme", "workflows:read", "workflows:edit")


def test_entity_is_created_renamed_and_deleted(editor: httpx.Client) -> None:
    where = "/api/v1/catalog/form/form-123"
    created = editor.put(where, json={"name": "Contact Us"})
    assert (created.status_code, created.headers["location"]) == (201, where)
    assert created.json() == {"kind": "form", "id": "form-123", "name": "Contact Us"}
    renamed = editor.put(where, json={"name": "Contact"})
    assert (renamed.status_code, renamed.json()["name"]) == (200, "Contact")
    assert editor.get(where).json() == renamed.json()
    assert editor.delete(where).status_code == 204
    assert editor.get(where).status_code == 404
    assert editor.delete(where).status_code == 404


def test_entities_are_paged_by_id(editor: httpx.Client) -> None:
    for number in range(5):
        editor.put(f"/api/v1/catalog/tag/t-{number}", json={"name": f"T {number}"})
    editor.put("/api/v1/catalog/form/f", json={"name": "F"})
    ids: list[list[str]] = []
    cursor = None
    while True:
        asked = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = editor.get("/api/v1/catalog/tag", params=asked).json()
        ids.append([item["id"] for item in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert ids == [["t-0", "t-1"], ["t-2", "t-3"], ["t-4"]]


def test_cursor_of_another_list_is_refused(api: Api, editor: httpx.Client) -> None:
    for number in range(3):
        editor.put(f"/api/v1/catalog/tag/t-{number}", json={"name": "T"})
    cursor = editor.get("/api/v1/catalog/tag", params={"limit": 1}).json()["next_cursor"]
    for wrong in (cursor[:-1], "x", cursor + "x"):
        assert editor.get("/api/v1/catalog/tag", params={"cursor": wrong}).status_code == 400
    assert editor.get("/api/v1/catalog/form", params={"cursor": cursor}).status_code == 400
    other = api.client("other")
    assert other.get("/api/v1/catalog/tag", params={"cursor": cursor}).status_code == 400


def test_catalog_belongs_to_one_tenant(api: Api, editor: httpx.Client) -> None:
    editor.put("/api/v1/catalog/tag/t", json={"name": "Mine"})
    other = api.client("other")
    assert other.get("/api/v1/catalog/tag/t").status_code == 404
    assert other.delete("/api/v1/catalog/tag/t").status_code == 404
    assert other.get("/api/v1/catalog/tag").json() == {"items": [], "next_cursor": None}
    assert other.put("/api/v1/catalog/tag/t", json={"name": "Theirs"}).status_code == 201
    assert editor.get("/api/v1/catalog/tag/t").json()["name"] == "Mine"


@pytest.mark.parametrize(
    ("kind", "body"),
    [("tags", {"name": "x"}), ("tag", {}), ("tag", {"name": ""}), ("tag", {"name": "x", "id": "y"}),
     ("tag", {"name": None})],
)  # fmt: skip
def test_invalid_bodies_are_refused(
    editor: httpx.Client, kind: str, body: dict[str, object]
) -> None:
    assert editor.put(f"/api/v1/catalog/{kind}/t", json=body).status_code == 400


def test_goal_stays_when_its_entity_is_deleted(editor: httpx.Client) -> None:
    editor.put("/api/v1/workflows/w", json={})
    for tag in ("t-1", "t-2"):
        editor.put(f"/api/v1/catalog/tag/{tag}", json={"name": tag})
    goal = {"goal_type": "tag_added", "criteria": {"tag_id": "t-1"}}
    where = editor.post("/api/v1/workflows/w/goals", json=goal).headers["location"]
    assert editor.delete("/api/v1/catalog/tag/t-1").status_code == 204
    assert editor.get(where).json()["criteria"] == {"tag_id": "t-1"}
    refused = editor.post("/api/v1/workflows/w/activate")
    assert refused.json()["detail"] == "Invalid goal configuration: tag does not exist"
