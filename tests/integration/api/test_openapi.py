"""The OpenAPI document and Swagger UI."""

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

DOCUMENT: dict[str, Any] = openapi.build_document(all_routes())
FILE = Path(__file__).parents[3] / "docs" / "openapi.json"


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


each_operation = pytest.mark.parametrize(
    "operation", [pytest.param(operation, id=name) for name, operation in operations()]
)
each_guarded = pytest.mark.parametrize(
    "operation",
    [pytest.param(operation, id=name) for name, operation in operations() if f" {GUARDED}" in name],
)


def test_docs_openapi_json_is_up_to_date() -> None:
    assert FILE.read_text() == openapi.document_text(all_routes()), "make docs"


def test_served_document_equals_the_file(api: Api) -> None:
    assert api.anonymous().get("/openapi.json").json() == json.loads(FILE.read_text())


def test_operation_ids_are_unique() -> None:
    names = [operation["operationId"] for _, operation in operations()]

    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z][a-z_]*", name) for name in names)


@each_operation
def test_operation_is_described(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert not operation["summary"].endswith(".")
    assert set(operation["tags"]) <= set(openapi.TAGS)
    assert "422" not in operation["responses"]
    assert any(status.startswith("2") for status in operation["responses"])


@each_guarded
def test_operation_declares_its_scope_and_errors(operation: dict[str, Any]) -> None:
    scopes = {
        scope for scheme in operation["security"] for names in scheme.values() for scope in names
    }
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
def test_bodies_have_valid_examples(operation: dict[str, Any]) -> None:
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    bodies += [
        response for status, response in operation["responses"].items() if status.startswith("2")
    ]
    for body in bodies:
        for media, content in body.get("content", {}).items():
            found = list(_examples(content))
            assert found, f"no example of {media}"
            for example in found:
                _validator(content["schema"]).validate(example)


@each_operation
def test_error_examples_match_their_schema(operation: dict[str, Any]) -> None:
    for status, response in operation["responses"].items():
        if int(status) >= 400:
            content = _resolved(response)["content"]["application/problem+json"]
            _validator(content["schema"]).validate(content["example"])


def test_page_loads_nothing_from_other_origins(api: Api) -> None:
    client = api.anonymous()
    page = client.get("/docs")
    resources = _ResourceParser()
    resources.feed(page.text)

    assert resources.urls
    assert not resources.inline
    for url in resources.urls:
        assert not re.match(r"(https?:)?//", url)
        assert client.get(f"/{url}").status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "http" not in policy
    assert "openapi.json" in client.get("/docs/start.js").text


def test_no_other_documentation_paths_exist(api: Api) -> None:
    for path in ("/redoc", "/docs/", "/docs/__init__.py", "/docs/..%2Fmain.py", "/docs/x/y"):
        assert api.anonymous().get(path).status_code == 404


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Follow references."""
    while "$ref" in node:
        _, kind, name = node["$ref"].removeprefix("#/").split("/")
        node = DOCUMENT["components"][kind][name]
    return node


def _examples(content: dict[str, Any]) -> Iterator[Any]:
    """The examples of a body, of its schema and of the parts of its schema."""
    if "example" in content:
        yield content["example"]
    yield from (example["value"] for example in content.get("examples", {}).values())
    yield from _examples_of(content["schema"])


def _examples_of(schema: dict[str, Any]) -> Iterator[Any]:
    schema = _resolved(schema)
    yield from schema.get("examples", ())
    if "example" in schema:
        yield schema["example"]
    for choice in schema.get("anyOf", ()):
        yield from _examples_of(choice)
    if schema.get("type") == "array":
        yield from ([example] for example in _examples_of(schema["items"]))


def _validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


class _ResourceParser(HTMLParser):
    """The URLs that a page loads, and its inline scripts and styles."""

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
