"""Middleware around every request: metrics, security headers, and a response without details for
unexpected errors."""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goald.api.http.error_handlers import unknown_error
from goald.api.http.paths import loggable, routing_path
from goald.metrics.api import ApiMetrics

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
_API_HEADERS = [*_HEADERS, (b"cache-control", b"no-store")]

_log = structlog.stdlib.get_logger(__name__)


class HttpMiddleware:
    """A plain ASGI middleware. Passes anything but HTTP through."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if b"%" in (scope.get("raw_path") or b""):
            # A copy: the server logs the original path.
            scope = {**scope, "path": routing_path(scope["raw_path"])}
        started_at = time.perf_counter()
        status = 0
        headers = _API_HEADERS if scope["path"].startswith("/api/") else _HEADERS

        async def send_and_observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        try:
            await self._app(scope, receive, send_and_observe)
        except Exception:
            _log.exception("request failed", method=scope["method"], path=loggable(scope["path"]))
            # If the response has started, nothing more is sent: the server closes the connection,
            # and the client notices that the response is incomplete.
            if status == 0:
                await unknown_error()(scope, receive, send_and_observe)
            else:
                status = 500
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.count(route, method, status, time.perf_counter() - started_at)
