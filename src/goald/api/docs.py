"""`/docs` and `/openapi.json`. Swagger UI is served from a wheel. The page loads nothing from
other origins, which its content security policy enforces."""

from collections.abc import Sequence
from functools import cache
from importlib import resources

import orjson
from fastapi import FastAPI, HTTPException, Response
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from goald.api.openapi import build_document

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""`unsafe-inline` for styles, because Swagger UI sets style attributes."""
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>goald: HTTP API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_START = """\
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  filter: true,
  validatorUrl: null,
});
"""


def install(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Serve the OpenAPI document of these routes, and Swagger UI."""

    @cache
    def rendered() -> bytes:
        return orjson.dumps(build_document(routes))

    async def openapi(_: Request) -> Response:
        return Response(rendered(), media_type="application/json")

    app.router.routes += [
        Route("/openapi.json", openapi),
        Route("/docs", _page),
        Route("/docs/start.js", _start),
        Route("/docs/{name}", _asset),
    ]


async def _page(_: Request) -> Response:
    return Response(
        _PAGE,
        media_type="text/html",
        headers={"Content-Security-Policy": _POLICY, "X-Frame-Options": "DENY"},
    )


async def _start(_: Request) -> Response:
    return Response(_START, media_type="text/javascript")


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _ASSETS:
        raise HTTPException(404)
    return Response(
        _read(name), media_type=_ASSETS[name], headers={"Cache-Control": "max-age=3600"}
    )


@cache
def _read(name: str) -> bytes:
    """Cached after the first request: 2 MB."""
    return (resources.files("fastapi_swagger.resources") / name).read_bytes()
