"""What stands around every request: it is counted, its answer gets headers that keep
browsers and caches from harm, and an error that nobody foresaw tells nothing."""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goald.api.http.error_handlers import unknown_error
from goald.api.http.paths import routing_path
from goald.metrics import ApiMetrics

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_HEADERS = [(b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer")]
_API_HEADERS = [*_HEADERS, (b"cache-control", b"no-store")]

_log = structlog.stdlib.get_logger(__name__)


class Edge:
    """A pure ASGI middleware. What is not HTTP passes untouched."""

    def __init__(self, app: ASGIApp, metrics: ApiMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if b"%" in (scope.get("raw_path") or b""):
            # In a copy: the server logs the path that it knows.
            scope = {**scope, "path": routing_path(scope["raw_path"])}
        begun = time.perf_counter()
        status = 0
        headers = _API_HEADERS if scope["path"].startswith("/api/") else _HEADERS

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception:
            _log.exception("request failed", method=scope["method"], path=scope["path"])
            # Where the answer has begun nothing more is sent: the server then cuts the
            # connection, and the caller sees that it is not whole.
            if status == 0:
                await unknown_error()(scope, receive, sent)
            else:
                status = 500
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "unmatched")
            self._metrics.count(route, method, status, time.perf_counter() - begun)
