"""The document of the API, and the page that shows it."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.support.api.client import Api

from goald.api import openapi
from goald.api.app import all_routes
from goald.api.auth.access import SCOPES
from goald.api.http.routing import GUARDED

DOCUMENT: dict[str, Any] = openapi.document(all_routes())
FILE = Path(__file__).parents[3] / "docs" / "openapi.json"


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


each_operation = pytest.mark.parametrize(
    "operation", [pytest.param(current, id=name) for name, current in operations()]
)
each_guarded = pytest.mark.parametrize(
    "operation",
    [pytest.param(current, id=name) for name, current in operations() if f" {GUARDED}" in name],
)


def test_docs_openapi_json_is_what_is_served() -> None:
    assert FILE.read_text() == openapi.text(all_routes()), "make docs"


def test_the_document_served_is_that_of_the_routes(api: Api) -> None:
    assert api.anonymous().get("/openapi.json").json() == json.loads(FILE.read_text())


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for _, operation in operations()]

    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z][a-z_]*", name) for name in names)


@each_operation
def test_an_operation_says_what_it_does(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert not operation["summary"].endswith(".")
    assert set(operation["tags"]) <= set(openapi.TAGS)
    assert "422" not in operation["responses"]
    assert any(status.startswith("2") for status in operation["responses"])


@each_guarded
def test_an_operation_names_the_scope_and_the_errors(operation: dict[str, Any]) -> None:
    scopes = {scope for way in operation["security"] for names in way.values() for scope in names}
    assert len(scopes) == 1
    assert scopes <= set(SCOPES)
    statuses = {"401", "403", "429", "503"}
    if "parameters" in operation:
        statuses |= {"400"}
    if "requestBody" in operation:
        statuses |= {"400", "413", "415"}
    for status in statuses:
        assert "application/problem+json" in _resolved(operation["responses"][status])["content"]


@each_guarded
def test_bodies_have_examples_that_are_right(operation: dict[str, Any]) -> None:
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    bodies += [
        answer for status, answer in operation["responses"].items() if status.startswith("2")
    ]
    for body in bodies:
        for media, content in body.get("content", {}).items():
            found = list(_examples(content))
            assert found, f"no example of {media}"
            for example in found:
                _validator(content["schema"]).validate(example)


@each_operation
def test_whoever_has_seen_errors_finds_them_described(operation: dict[str, Any]) -> None:
    for status, answer in operation["responses"].items():
        if int(status) >= 400:
            content = _resolved(answer)["content"]["application/problem+json"]
            _validator(content["schema"]).validate(content["example"])


def test_the_page_asks_no_other_origin(api: Api) -> None:
    client = api.anonymous()
    page = client.get("/docs")
    asked = _Asked()
    asked.feed(page.text)

    assert asked.urls
    assert not asked.inline
    for url in asked.urls:
        assert not re.match(r"(https?:)?//", url)
        assert client.get(f"/{url}").status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in policy
    assert "openapi.json" in client.get("/docs/start.js").text


def test_there_is_nothing_else_beside_the_page(api: Api) -> None:
    for path in ("/redoc", "/docs/", "/docs/__init__.py", "/docs/..%2Fmain.py", "/docs/x/y"):
        assert api.anonymous().get(path).status_code == 404


def _resolved(current: dict[str, Any]) -> dict[str, Any]:
    """What a reference refers to."""
    while "$ref" in current:
        _, kind, name = current["$ref"].removeprefix("#/").split("/")
        current = DOCUMENT["components"][kind][name]
    return current


def _examples(content: dict[str, Any]) -> Iterator[Any]:
    """Those that stand beside a schema, within it, or in each part of it."""
    if "example" in content:
        yield content["example"]
    yield from (example["value"] for example in content.get("examples", {}).values())
    yield from _examples_of(content["schema"])


def _examples_of(schema: dict[str, Any]) -> Iterator[Any]:
    schema = _resolved(schema)
    yield from schema.get("examples", ())
    if "example" in schema:
        yield schema["example"]
    for part in schema.get("anyOf", ()):
        yield from _examples_of(part)
    if schema.get("type") == "array":
        yield from ([example] for example in _examples_of(schema["items"]))


def _validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


class _Asked(HTMLParser):
    """What a page has its browser load, and the scripts within it."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        url = given.get("src") or given.get("href")
        if url:
            self.urls.append(url)
        elif tag in ("script", "style"):
            self.inline.append(tag)
