"""The OpenAPI document, as `/openapi.json` serves it and docs/openapi.json keeps it: the same
routes give the same text."""

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
goald takes contacts out of a marketing workflow the moment they have done what it was for.

Every call but those of `health` needs a bearer token, a JWT with the claims `tenant_id`,
`sub` and `scope`; it sees that tenant and no other. `goald token` makes one. Each operation
names the scope that it needs.

Errors are `application/problem+json` (RFC 9457). A request may hold 1 MiB of JSON in UTF-8;
decimals are kept exact. Times are RFC 3339; answers give them in UTC, to the microsecond. A
`429` or `503` says in `Retry-After` when to come again, in seconds.
"""
TAGS = {
    "workflows": "What contacts are enrolled in, and whether it is active",
    "goals": "What ends an enrollment: at most 3 for a workflow",
    "statistics": "How many enrollments reached a goal, and how soon",
    "records": "Single enrollments and achievements, and what is watched",
    "catalog": "The tags, forms, calendars, products and stages that goals may refer to",
    "events": "What contacts did, and what it would come to",
    "webhooks": "Who may send events with a signature in place of a token",
    "audit": "Who changed what, and what was achieved",
    "health": "For whoever runs goald; without a token",
}
_FOREIGN = ("HTTPValidationError", "ValidationError")
"""What FastAPI adds for its own 422, which is never answered here."""

_RETRY_AFTER = {
    "description": "in how many seconds it may be tried again",
    "schema": {"type": "integer", "minimum": 1},
}
_REFUSALS: dict[str, dict[str, Any]] = {
    str(status): held | ({"headers": {"Retry-After": _RETRY_AFTER}} if status in (429, 503) else {})
    for status, held in responses(*MEANINGS).items()
}
"""Every problem by its status; the operations refer to them."""


def document(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """OpenAPI 3.1 of these routes. Pure."""
    made = get_openapi(
        title="goald",
        version=version("goald"),
        summary="Goal tracking for marketing workflows",
        description=DESCRIPTION,
        routes=routes,
        servers=[{"url": "/", "description": "Where this document came from"}],
        tags=[{"name": name, "description": what} for name, what in TAGS.items()],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for name in _FOREIGN:
        schemas.pop(name, None)
    for model in _models():
        if model.__name__ in schemas and (examples := _examples(model)):
            # FastAPI leaves out of them whatever is null.
            schemas[model.__name__]["examples"] = examples
    problem = ProblemAnswer.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"), Problem=problem, Event=EVENT)
    made["components"]["schemas"] = dict(sorted(schemas.items()))
    made["components"]["responses"] = {_name(status): held for status, held in _REFUSALS.items()}
    for operation in _operations(made):
        operation["responses"] = dict(sorted(_answers(operation).items()))
    return made


def _answers(operation: dict[str, Any]) -> dict[str, Any]:
    """What the routes say, and what every operation of its kind may answer."""
    answers = dict(operation["responses"])
    may_be = (400, 413, 415) if "requestBody" in operation else (400,)
    if answers.pop("422", None) or "requestBody" in operation:
        answers = {str(status): held for status, held in responses(*may_be).items()} | answers
    return {status: _referred(status, held) for status, held in answers.items()}


def _referred(status: str, held: dict[str, Any]) -> dict[str, Any]:
    """A reference, where the route says no more of this status than all do."""
    if int(status) in MEANINGS and responses(int(status)) == {int(status): held}:
        return {"$ref": f"#/components/responses/{_name(status)}"}
    return held


def _name(status: str) -> str:
    return title_of(int(status)).replace(" ", "")


def _models(of: type[BaseModel] = BaseModel) -> Iterator[type[BaseModel]]:
    for model in of.__subclasses__():
        if model.__module__.startswith("goald.api."):
            yield model
        yield from _models(model)


def _examples(model: type[BaseModel]) -> list[Any]:
    extra = model.model_config.get("json_schema_extra")
    examples = extra.get("examples") if isinstance(extra, dict) else None
    return examples if isinstance(examples, list) else []


def text(routes: Sequence[BaseRoute]) -> str:
    """The document as docs/openapi.json has it."""
    return json.dumps(document(routes), indent=2, ensure_ascii=False) + "\n"


def _operations(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in made["paths"].values():
        yield from methods.values()
