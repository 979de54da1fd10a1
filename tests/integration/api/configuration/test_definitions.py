"""Definitions over HTTP: drafts, publication, versions, and concurrent editors."""

from typing import Any

import httpx
import psycopg
import pytest
from tests.support.api.client import Api
from tests.support.services.servers import Database

LEAD = "/api/v1/workflows/lead"
DEFINITION = f"{LEAD}/definition"


@pytest.fixture
def editor(api: Api) -> httpx.Client:
    client = api.client("acme", "workflows:read", "workflows:edit", "audit:read", sub="ada")
    client.put(LEAD, json={"name": "Lead"})
    return client


def document(*step_ids: str, **members: Any) -> dict[str, Any]:
    return {**members, "steps": [{"id": step_id, "action": "noop"} for step_id in step_ids]}


def test_a_draft_is_saved_published_and_listed(editor: httpx.Client) -> None:
    assert editor.get(DEFINITION).status_code == 404
    created = editor.put(DEFINITION, json=document("a", timezone="Europe/Berlin"))
    assert (created.status_code, created.headers["etag"]) == (201, '"1"')
    assert created.headers["location"] == DEFINITION
    draft = created.json()
    assert (draft["version"], draft["status"], draft["faults"]) == (1, "draft", [])
    assert draft["published_at"] is None
    assert editor.get(DEFINITION).json() == draft

    published = editor.post(f"{LEAD}/publish")
    assert (published.status_code, published.headers["etag"]) == (200, '"2"')
    assert published.json()["status"] == "published"
    assert published.json()["definition"] == draft["definition"]
    again = editor.post(f"{LEAD}/publish")
    assert (again.status_code, again.headers["etag"]) == (200, '"2"')

    changed = editor.put(DEFINITION, json=document("b"))
    assert (changed.status_code, changed.json()["version"]) == (201, 2)
    assert changed.json()["changes"] == [
        {"step_id": "b", "change": "added", "continues_at": None},
        {"step_id": "a", "change": "removed", "continues_at": None},
    ]
    replaced = editor.put(DEFINITION, json=document("a", "b"))
    assert (replaced.status_code, replaced.headers["etag"]) == (200, '"4"')
    first = editor.get(DEFINITION, params={"version": 1}).json()
    assert first["definition"] == draft["definition"]
    assert editor.get(DEFINITION, params={"version": 3}).status_code == 404

    listed = editor.get(f"{LEAD}/versions").json()
    assert listed["total"] == 2
    assert [(each["version"], each["status"]) for each in listed["versions"]] == [
        (2, "draft"),
        (1, "published"),
    ]
    assert listed["versions"][1]["published_by"] == "ada"


def test_a_document_keeps_its_order_and_its_numbers(editor: httpx.Client) -> None:
    text = (
        '{"steps":[{"with":{"url":"https://example.com","body":{"z":1.10,"a":'
        '123456789012345678901234567890}},"action":"webhook","id":"a"}],"timezone":"UTC"}'
    )
    headers = {"content-type": "application/json"}
    assert editor.put(DEFINITION, content=text, headers=headers).status_code == 201
    assert f'"definition":{text},' in editor.get(DEFINITION).text


def test_publishing_refuses_a_draft_with_every_fault_and_its_path(editor: httpx.Client) -> None:
    broken = document("a", "a")
    broken["steps"][0]["with"] = {"x": 1}
    saved = editor.put(DEFINITION, json=broken)
    assert saved.status_code == 201
    assert saved.json()["faults"] == [
        {
            "path": "steps[0].with.x",
            "pointer": "/steps/0/with/x",
            "detail": "unknown field",
        },
        {
            "path": "steps[1].id",
            "pointer": "/steps/1/id",
            "detail": "steps[0] has the same id",
        },
    ]
    refused = editor.post(f"{LEAD}/publish")
    assert refused.status_code == 400
    assert refused.json()["detail"] == (
        "Invalid definition: steps[0].with.x: unknown field (2 faults in all)"
    )
    assert refused.json()["errors"] == [
        {"pointer": "/steps/0/with/x", "detail": "steps[0].with.x: unknown field"},
        {"pointer": "/steps/1/id", "detail": "steps[1].id: steps[0] has the same id"},
    ]
    assert editor.get(DEFINITION).json()["status"] == "draft"


def test_another_editors_draft_is_not_overwritten(editor: httpx.Client) -> None:
    tag = editor.put(DEFINITION, json=document("a")).headers["etag"]
    fresh = editor.put(DEFINITION, json=document("b"), headers={"if-match": tag})
    assert fresh.status_code == 200
    stale = {"if-match": tag}
    assert editor.put(DEFINITION, json=document("c"), headers=stale).status_code == 412
    assert editor.post(f"{LEAD}/publish", headers=stale).status_code == 412
    assert editor.get(DEFINITION).json()["definition"] == document("b")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[]", 400),
        ("{", 400),
        ('{"a":1,"a":2}', 400),
        ('{"a":"\\u0000"}', 400),
        ("[" * 5_000 + "]" * 5_000, 400),
        ('{"steps":"' + "x" * 262_200 + '"}', 400),
        (" " * ((1 << 20) + 1), 413),
    ],
)
def test_a_body_that_cannot_be_a_document_is_refused(
    editor: httpx.Client, body: str, status: int
) -> None:
    for media, expected in (("application/json", status), ("text/yaml", 415)):
        answer = editor.put(DEFINITION, content=body, headers={"content-type": media})
        assert answer.status_code == expected
    assert editor.get(DEFINITION).status_code == 404


def test_a_large_template_is_saved(editor: httpx.Client) -> None:
    mail = {"subject": "a", "body": "b", "html": "<p>{,}</p>\n" * 5_000}
    step = {"id": "mail", "action": "send_email", "with": mail}
    saved = editor.put(DEFINITION, json={"steps": [step]})
    assert (saved.status_code, saved.json()["faults"]) == (201, [])
    assert editor.post(f"{LEAD}/publish").json()["definition"]["steps"][0]["with"] == mail


def test_publishing_answers_202_until_every_shard_has_loaded_it(
    editor: httpx.Client, database: Database
) -> None:
    with psycopg.connect(database.admin_dsn, autocommit=True) as admin:
        admin.execute(
            "INSERT INTO goald.leases (slots, holder, config_version, expires_at)"
            " VALUES ('[0,256)', 'shard', 0, now() + interval '1 hour')"
        )
    assert editor.put(DEFINITION, json=document("a")).status_code == 201
    assert editor.post(f"{LEAD}/publish").status_code == 202


def test_changes_are_in_the_audit_log_under_the_editors_name(editor: httpx.Client) -> None:
    editor.put(DEFINITION, json=document("a"))
    editor.put(DEFINITION, json=document("b"))
    digest = editor.post(f"{LEAD}/publish").json()["digest"]
    rows = [
        each
        for each in editor.get("/api/v1/audit").json()["items"]
        if each["subject"] == "definition"
    ]
    assert [(each["action"], each["actor"], each["subject_id"]) for each in rows] == [
        ("definition.published", "ada", "1"),
        ("definition.updated", "ada", "1"),
        ("definition.created", "ada", "1"),
    ]
    assert rows[0]["after"] == {"version": 1, "digest": digest, "is_published": True}
