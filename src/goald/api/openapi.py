"""The OpenAPI document for `/openapi.json` and docs/openapi.json. The same routes give the same
text."""

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from starlette.routing import BaseRoute

from goald.api.models.events import EVENT
from goald.api.problems import MEANINGS, ProblemAnswer, responses, title_of

DESCRIPTION = """\
goald ends the enrollment of a contact in a marketing workflow as soon as the contact has met the
workflow's goals.

Every operation except `receive_delivery` and those tagged `health` requires a bearer token: a JWT
with the claims `tenant_id`, `sub` and `scope`. It gives access to that tenant only. `goald token`
creates one. Each operation names the scope that it requires.

Errors are `application/problem+json` (RFC 9457). A request is at most 1 MiB of JSON in UTF-8.
Amounts are JSON numbers with all their digits; requests may also send them as decimal strings.
Times are RFC 3339; responses use UTC with microseconds. Responses with status `429` and `503` have
a `Retry-After` header, in seconds.
"""
TAGS = {
    "workflows": "Automations that contacts are enrolled in",
    "definitions": "The steps of workflows: drafts and versions",
    "goals": "Conditions that complete an enrollment, at most 3 per workflow",
    "statistics": "How many enrollments met their goals, and how fast",
    "records": "Enrollments, achievements and listeners",
    "catalog": "Tags, forms, calendars, products and stages that goals may refer to",
    "executions": "Runs of contacts through the steps of a workflow",
    "contacts": "Contacts, as their events describe them",
    "events": "Send events, evaluate an event without any effect, and start or end an enrollment",
    "webhooks": "Providers that send events with a signature in place of a token",
    "sources": "Webhooks in the providers' own formats: Stripe, Shopify, HubSpot and others",
    "tenant": "Settings of the tenant",
    "audit": "Changes of the configuration, and achievements",
    "health": "For operators; without a token",
}
_UNUSED_SCHEMAS = ("HTTPValidationError", "ValidationError")
"""Schemas of FastAPI's 422 response, which this API never returns."""

_RETRY_AFTER = {
    "description": "The number of seconds to wait before a retry.",
    "schema": {"type": "integer", "minimum": 1},
}
_PROBLEMS: dict[str, dict[str, Any]] = {
    str(status): response
    | ({"headers": {"Retry-After": _RETRY_AFTER}} if status in (429, 503) else {})
    for status, response in responses(*MEANINGS).items()
}
"""The shared problem responses by status; operations refer to them."""


def build_document(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of these routes. Pure."""
    document = get_openapi(
        title="goald",
        version=version("goald"),
        summary="Goal tracking for marketing workflows",
        description=DESCRIPTION,
        routes=routes,
        servers=[{"url": "/", "description": "The server of this document"}],
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _UNUSED_SCHEMAS:
        schemas.pop(name, None)
    for model in _models():
        if model.__name__ in schemas and (examples := _examples(model)):
            # FastAPI drops null values from examples.
            schemas[model.__name__]["examples"] = examples
    problem = ProblemAnswer.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"), Problem=problem, Event=EVENT)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    document["components"]["responses"] = {
        _name(status): response for status, response in _PROBLEMS.items()
    }
    for operation in _operations(document):
        operation["responses"] = dict(sorted(_responses(operation).items()))
        _add_request_example(operation, schemas)
    return document


def _responses(operation: dict[str, Any]) -> dict[str, Any]:
    """Return the responses of the route, and those of every operation of its kind."""
    declared = dict(operation["responses"])
    possible = (400, 413, 415) if "requestBody" in operation else (400,)
    if declared.pop("422", None) or "requestBody" in operation:
        defaults = {str(status): response for status, response in responses(*possible).items()}
        declared = defaults | declared
    return {status: _shared(status, response) for status, response in declared.items()}


def _shared(status: str, response: dict[str, Any]) -> dict[str, Any]:
    """Return a reference to the shared response if the route adds nothing to it."""
    if int(status) in MEANINGS and responses(int(status)) == {int(status): response}:
        return {"$ref": f"#/components/responses/{_name(status)}"}
    return response


def _add_request_example(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Add an example to the body, because Swagger UI invents one from the schema otherwise."""
    for media in operation.get("requestBody", {}).get("content", {}).values():
        schema = media["schema"]
        for candidate in (schema, *schema.get("anyOf", ())):
            resolved = schemas.get(candidate.get("$ref", "").rpartition("/")[2], candidate)
            if examples := resolved.get("examples"):
                media["example"] = examples[0]
                break


def _name(status: str) -> str:
    return title_of(int(status)).replace(" ", "")


def _models(base: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        if model.__module__.startswith("goald.api."):
            yield model
        yield from _models(model)


def _examples(model: type[BaseModel]) -> list[Any]:
    extra = model.model_config.get("json_schema_extra")
    examples = extra.get("examples") if isinstance(extra, dict) else None
    return examples if isinstance(examples, list) else []


def document_text(routes: Sequence[BaseRoute]) -> str:
    """Return the document in the format of docs/openapi.json."""
    return json.dumps(build_document(routes), indent=2, ensure_ascii=False) + "\n"


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()
