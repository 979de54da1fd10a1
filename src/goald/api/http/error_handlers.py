"""Error handlers: every exception of a route, of FastAPI, of Starlette and of the domain becomes a
problem response, which exposes no internals."""

from collections.abc import Iterable
from typing import Any, get_args

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from goald.api.http.paths import loggable
from goald.api.problems import MEDIA_TYPE, Problem, title_of
from goald.domain import errors
from goald.domain.suggestions import unknown_field

_STATUS_OF: dict[type[errors.GoaldError], int] = {
    errors.QuotaExceeded: 429,
    errors.RetryableError: 503,
    errors.SchemaMismatch: 503,
    errors.SecretDamaged: 503,
    errors.InvalidFile: 400,
    errors.InvalidEvent: 400,
    errors.InvalidConfiguration: 400,
    errors.NotFound: 404,
    errors.AlreadyExists: 409,
    errors.TooManyWorkflows: 409,
    errors.TooManySources: 409,
    errors.TooManyWebhooks: 409,
    errors.WorkflowInUse: 409,
    errors.OverdueSteps: 409,
    errors.VersionConflict: 409,
    errors.StaleVersion: 412,
}
"""The status of each domain error. Any other error is a bug: 500."""

_RETRY_AFTER_S = {429: "1", 503: "5"}
_PUBLIC_DETAILS = {503: "The service is temporarily unavailable; retry later"}
"""Shown in place of the error's text, which names servers."""
_PUBLIC_DETAIL_OF: dict[type[Exception], str] = {
    errors.EncryptionKeyMissing: "The stored secret cannot be decrypted: the operator of goald "
    "must add its key to GOALD_SECRETS_KEYS",
    errors.SecretDamaged: "The stored secret is damaged: replace it with "
    "PUT /api/v1/webhooks/{provider} or PUT /api/v1/sources/{name}",
}
"""Shown for errors that a retry alone does not remedy."""

_log = structlog.stdlib.get_logger(__name__)


def install(app: FastAPI) -> None:
    """Register the error handlers on an application."""
    app.add_exception_handler(errors.GoaldError, _on_domain_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


def problem_response(
    status: int, detail: str, headers: dict[str, str] | None = None, **members: Any
) -> Response:
    body = {
        **members,
        "type": members.get("type", "about:blank"),
        "title": members.get("title", title_of(status)),
        "status": status,
        "detail": detail,
    }
    return Response(orjson.dumps(body), status, headers, MEDIA_TYPE)


def unknown_error() -> Response:
    """Return the response to an unexpected error, without details."""
    return problem_response(500, "Internal error; it has been logged")


async def error_response(request: Request, error: Exception) -> Response:
    """Return the response to an error of a request that is served without the framework. Raises
    the error if it is unexpected."""
    if isinstance(error, errors.GoaldError):
        return await _on_domain_error(request, error)
    if isinstance(error, ClientDisconnect):
        return await _on_disconnect(request, error)
    raise error


async def _on_domain_error(request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        headers = _with_retry(error.status, error.headers)
        members = dict(error.members)
        if error.title is not None:
            members |= {"type": error.type, "title": error.title}
        return problem_response(error.status, error.detail, headers, **members)
    status = next((_STATUS_OF[kind] for kind in type(error).__mro__ if kind in _STATUS_OF), 500)
    path = loggable(request.scope["path"])
    if status == 500:
        _log.error("request failed", path=path, exc_info=error)
        return unknown_error()
    if status == 503:
        _log.warning("service unavailable", path=path, error=str(error))
    members = {}
    if isinstance(error, errors.InvalidConfiguration) and error.faults:
        members["errors"] = [
            {"pointer": pointer, "detail": fault} for pointer, fault in error.faults
        ]
    detail = _PUBLIC_DETAIL_OF.get(type(error)) or _PUBLIC_DETAILS.get(status, str(error))
    return problem_response(status, detail, _with_retry(status, {}), **members)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    known = _body_fields(request)
    faults = [_field_error(item, known) for item in error.errors()]
    first = faults[0]
    location = first.get("parameter") or first.get("pointer", "")[1:].replace("/", ".")
    detail = f"{location}: {first['detail']}" if location else first["detail"]
    return problem_response(400, detail, errors=faults)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return problem_response(404, "There is no such path", headers)
    if error.status_code == 405:
        allowed = ", ".join(sorted(_methods_of(request)))
        return problem_response(405, f"This path supports {allowed}", {"Allow": allowed})
    return problem_response(error.status_code, str(error.detail), headers)


async def _on_disconnect(_: Request, __: Exception) -> Response:
    return problem_response(400, "The client disconnected before the body was complete")


def _with_retry(status: int, headers: dict[str, str]) -> dict[str, str]:
    if status in _RETRY_AFTER_S and "Retry-After" not in headers:
        return headers | {"Retry-After": _RETRY_AFTER_S[status]}
    return headers


def _methods_of(request: Request) -> Iterable[str]:
    """Return the methods of all routes with this path."""
    methods: set[str] = set()
    for route in request.app.router.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            methods |= getattr(route, "methods", None) or set()
    return methods


def _body_fields(request: Request) -> Iterable[str]:
    """Return the fields of the body that the route expects."""
    field = getattr(request.scope.get("route"), "body_field", None)
    models = [field.field_info.annotation] if field is not None else []
    models += [kind for model in models for kind in get_args(model)]
    return [
        name
        for model in models
        if isinstance(model, type) and issubclass(model, BaseModel)
        for name in model.model_fields
    ]


def _field_error(item: dict[str, Any], known: Iterable[str]) -> dict[str, str]:
    """Return location and message, without the value: it may be long, or secret."""
    place, *path = item["loc"]
    detail = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if item["type"] == "extra_forbidden":
        detail = unknown_field(str(path[-1]), known if len(path) == 1 else ())
    if place == "body":
        return {"pointer": "".join(f"/{_escaped(key)}" for key in path), "detail": detail}
    return {"parameter": ".".join(str(key) for key in path), "detail": detail}


def _escaped(key: object) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")
