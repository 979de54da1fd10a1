"""The application: every route, and what stands around all of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from goald.api import refusals
from goald.api.edge import Edge
from goald.api.parts import Parts
from goald.api.routes import health
from goald.api.routing import Route
from goald.metrics import ApiMetrics

ROUTERS = [
    health.router,
]
"""Each file in `routes`, a line each. A router is made by `routing.Router`."""


def create_app(parts: Parts) -> FastAPI:
    """The API over these parts, once for each registry among them. Does no I/O. Ends the
    parts' connections when it is shut down."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await parts.close()

    app = FastAPI(
        title="goald",
        version=version("goald"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.parts = parts
    for router in ROUTERS:
        for route in router.routes:
            if not isinstance(route, Route):
                raise TypeError(f"{route} is not made on a goald.api.routing.Router()")
            # Taken as they are: FastAPI would put another layer around those of an included
            # router, which each request would pass.
            app.router.routes.append(route)
    refusals.install(app)
    app.add_middleware(Edge, metrics=ApiMetrics(parts.registry))
    return app
