"""How a route is served: who calls is asked first, then the body is read, strictly.

Every file in `routes` makes its routes on a `Router` of this module.
"""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from goald.api.auth.access import Access
from goald.api.http.bodies import StrictRequest
from goald.api.problems import BadRequest, responses

GUARDED = "/api/v1/"


class Route(APIRoute):
    """A route of the API. One under /api/v1 has exactly one `Access`: TypeError without."""

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
            raise TypeError(f"{self.path} must take one of access.Reads, Edits, Writes, Audits")
        access = self.access = found[0] if found else None
        takes_body = self.body_field is not None
        parameters = frozenset(_query_parameters(self.dependant))
        serve = super().get_route_handler()

        async def handle(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            if access is not None:
                await access.admit(strict)
                _refuse_unknown(strict, parameters)
            if takes_body:
                await strict.take_json()
            return await serve(strict)

        return handle


def _query_parameters(of: Dependant) -> Iterator[str]:
    yield from (field.alias for field in of.query_params)
    for dependency in of.dependencies:
        yield from _query_parameters(dependency)


def _refuse_unknown(request: Request, parameters: frozenset[str]) -> None:
    """A filter that is misspelt must not give what it was to keep out."""
    unknown = sorted(request.query_params.keys() - parameters)
    if unknown:
        known = ", ".join(sorted(parameters)) or "none"
        raise BadRequest(
            f"{unknown[0]}: there is no such query parameter here; there are: {known}",
            errors=[{"parameter": name, "detail": "is not known here"} for name in unknown],
        )


def Router() -> APIRouter:  # noqa: N802 -- stands where FastAPI's own class would
    """What a file in `routes` puts its routes on."""
    return APIRouter(route_class=Route)
