"""The OpenAPI document, as `/openapi.json` serves it. `python -m goald.api.openapi` prints it
for docs/openapi.json; the same routes give the same text."""

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from goald.api.problems import ProblemAnswer

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
    "enrollments": "Contacts' runs through workflows",
    "achievements": "Which enrollment met which goal, when and by what",
    "listeners": "What is watched, and whether every shard has the configuration",
    "catalog": "The tags, forms, calendars, products and stages that goals may refer to",
    "events": "What contacts did",
    "explain": "Why an event does, or does not, meet a goal",
    "webhooks": "Who may send events with a signature in place of a token",
    "audit": "Who changed what, and what was achieved",
    "health": "For whoever runs goald; without a token",
}
_FOREIGN = ("HTTPValidationError", "ValidationError")
"""What FastAPI adds for its own 422, which is never answered here."""


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
    problem = ProblemAnswer.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs"), Problem=problem)
    made["components"]["schemas"] = dict(sorted(schemas.items()))
    for operation in _operations(made):
        answers = operation["responses"]
        answers.pop("422", None)
        for status in ("429", "503"):
            if status in answers:
                answers[status]["headers"] = {"Retry-After": _RETRY_AFTER}
        operation["responses"] = dict(sorted(answers.items()))
    return made


def text(routes: Sequence[BaseRoute]) -> str:
    """The document as docs/openapi.json has it."""
    return json.dumps(document(routes), indent=2, ensure_ascii=False) + "\n"


_RETRY_AFTER = {
    "description": "in how many seconds it may be tried again",
    "schema": {"type": "integer", "minimum": 1},
}


def _operations(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in made["paths"].values():
        yield from methods.values()


def main() -> None:
    from goald.api.app import all_routes

    print(text(all_routes()), end="")


if __name__ == "__main__":
    main()
