"""The route class: it authenticates the caller, then reads the body, then calls the endpoint.

Every module in `routes` creates its routes on a `Router` of this module.
"""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from goald.api.auth.access import Access
from goald.api.body_stream import release
from goald.api.http.bodies import StrictRequest
from goald.api.problems import BadRequest, responses

GUARDED = "/api/v1/"


class Route(APIRoute):
    """A route of the API. Raises TypeError for a route under /api/v1 without exactly one
    `Access`."""

    access: Access | None

    def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
        if path.startswith(GUARDED):
            given["responses"] = {
                **responses(400, 401, 403, 429, 503),
                **(given.get("responses") or {}),
            }
        super().__init__(path, endpoint, **given)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        calls: list[object] = [dependency.call for dependency in self.dependant.dependencies]
        found = [call for call in calls if isinstance(call, Access)]
        if self.path.startswith(GUARDED) and len(found) != 1:
            raise TypeError(f"{self.path} needs one of access.Reads, Edits, Writes, Audits")
        access = self.access = found[0] if found else None
        has_body = self.body_field is not None
        parameters = frozenset(_query_parameters(self.dependant))
        serve = super().get_route_handler()

        async def handle(request: Request) -> Response:
            strict_request = StrictRequest(request.scope, request.receive)
            try:
                if access is not None:
                    await access.admit(strict_request)
                    _refuse_unknown_parameters(strict_request, parameters)
                if has_body:
                    await strict_request.take_json()
                return await serve(strict_request)
            finally:
                release(strict_request)

        return handle


def _query_parameters(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for dependency in dependant.dependencies:
        yield from _query_parameters(dependency)


def _refuse_unknown_parameters(request: Request, parameters: frozenset[str]) -> None:
    """Refuse misspelt filters, which would otherwise return too much."""
    unknown = sorted(request.query_params.keys() - parameters)
    if unknown:
        known = ", ".join(sorted(parameters)) or "none"
        raise BadRequest(
            f"Unknown query parameter `{unknown[0]}`. Supported parameters: {known}.",
            errors=[{"parameter": name, "detail": "unknown parameter"} for name in unknown],
        )


def Router() -> APIRouter:  # noqa: N802 -- used like FastAPI's class
    """Return the router for a module in `routes`."""
    return APIRouter(route_class=Route)
