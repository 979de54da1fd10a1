"""Every error as a problem: what a route raises, what FastAPI and Starlette raise, what the
domain raises. Nothing of what is within is told."""

from collections.abc import Iterable
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from goald.api.problems import MEDIA_TYPE, Problem, title_of
from goald.domain import errors

_STATUS_OF: dict[type[errors.GoaldError], int] = {
    errors.QuotaExceeded: 429,
    errors.RetryableError: 503,
    errors.SchemaMismatch: 503,
    errors.InvalidFile: 400,
    errors.InvalidEvent: 400,
    errors.InvalidConfiguration: 400,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.VersionConflict: 409,
    errors.StaleVersion: 412,
}
"""What an error of the domain is to a caller. One that is not here is a fault of ours: 500."""

_RETRY_AFTER_S = {429: "1", 503: "5"}
_TOLD = {503: "The service cannot serve this now; try again later"}
"""Said in place of the error's own text, which names servers."""

_log = structlog.stdlib.get_logger(__name__)


def install(app: FastAPI) -> None:
    """Have this application answer its errors as problems."""
    app.add_exception_handler(errors.GoaldError, _refuse_error)
    app.add_exception_handler(RequestValidationError, _refuse_invalid)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(ClientDisconnect, _refuse_gone)


def problem_response(
    status: int, detail: str, headers: dict[str, str] | None = None, **members: Any
) -> Response:
    body = {
        **members,
        "type": "about:blank",
        "title": title_of(status),
        "status": status,
        "detail": detail,
    }
    return Response(orjson.dumps(body), status, headers, MEDIA_TYPE)


def unknown_error() -> Response:
    """For what nobody foresaw: it says nothing."""
    return problem_response(500, "Something went wrong on our side; it has been logged")


async def _refuse_error(request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        headers = _with_retry(error.status, error.headers)
        return problem_response(error.status, error.detail, headers, **error.members)
    status = next((_STATUS_OF[kind] for kind in type(error).__mro__ if kind in _STATUS_OF), 500)
    path = request.scope["path"]
    if status == 500:
        _log.error("request failed", path=path, exc_info=error)
        return unknown_error()
    if status == 503:
        _log.warning("request cannot be served", path=path, error=str(error))
    members: dict[str, Any] = {}
    if isinstance(error, errors.InvalidConfiguration) and error.faults:
        members["errors"] = [{"pointer": place, "detail": what} for place, what in error.faults]
    detail = _TOLD.get(status, str(error))
    return problem_response(status, detail, _with_retry(status, {}), **members)


async def _refuse_invalid(_: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    wrong = [_field_error(item) for item in error.errors()]
    first = wrong[0]
    where = first.get("parameter") or first.get("pointer", "")[1:].replace("/", ".")
    detail = f"{where}: {first['detail']}" if where else first["detail"]
    return problem_response(400, detail, errors=wrong)


async def _refuse_http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return problem_response(404, "There is nothing under this path", headers)
    if error.status_code == 405:
        allowed = ", ".join(sorted(_methods_of(request)))
        return problem_response(405, f"This path takes {allowed}", {"Allow": allowed})
    return problem_response(error.status_code, str(error.detail), headers)


async def _refuse_gone(_: Request, __: Exception) -> Response:
    return problem_response(400, "The request ended before its body did")


def _with_retry(status: int, headers: dict[str, str]) -> dict[str, str]:
    if status in _RETRY_AFTER_S and "Retry-After" not in headers:
        return headers | {"Retry-After": _RETRY_AFTER_S[status]}
    return headers


def _methods_of(request: Request) -> Iterable[str]:
    """What this path can be asked with, over all routes of it."""
    methods: set[str] = set()
    for route in request.app.router.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return methods


def _field_error(item: dict[str, Any]) -> dict[str, str]:
    """Where and what, without what was sent: that may be long, or secret."""
    place, *path = item["loc"]
    detail = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if place == "body":
        return {"pointer": "".join(f"/{_escaped(part)}" for part in path), "detail": detail}
    return {"parameter": ".".join(str(part) for part in path), "detail": detail}


def _escaped(part: object) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")
