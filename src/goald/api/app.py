"""The application: every route, and what stands around all of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from goald.api import docs
from goald.api.dependencies import Dependencies
from goald.api.http import error_handlers as refusals
from goald.api.http.middleware import Edge
from goald.api.http.routing import Route
from goald.api.routes import (
    achievements,
    audit,
    catalog,
    enrollment_events,
    enrollments,
    events,
    explain,
    goal_types,
    goals,
    health,
    listeners,
    statistics,
    webhooks,
    workflows,
)
from goald.metrics import ApiMetrics

ROUTERS = [
    health.router,
    statistics.router,
    workflows.router,
    goals.router,
    goal_types.router,
    catalog.router,
    webhooks.router,
    enrollments.router,
    achievements.router,
    listeners.router,
    audit.router,
    events.router,
    enrollment_events.router,
    explain.router,
]
"""Each file in `routes`, a line each. A router is made by `routing.Router`."""


def all_routes() -> list[Route]:
    """Every route, in the order in which they are tried. TypeError for one that was not made
    by `routing.Router`, and so would be served to whoever asks."""
    routes: list[Route] = []
    for router in ROUTERS:
        for route in router.routes:
            if not isinstance(route, Route):
                raise TypeError(f"{route} is not made on a goald.api.http.routing.Router()")
            routes.append(route)
    return routes


def create_app(parts: Dependencies) -> FastAPI:
    """The API over these parts, once for each registry among them. Does no I/O. Ends the
    parts' connections when it is shut down."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await parts.close()

    app = FastAPI(
        title="goald",
        openapi_url=None,  # `docs` serves it
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.parts = parts
    # Taken as they are: FastAPI would put another layer around those of an included router,
    # which each request would pass.
    routes = all_routes()
    app.router.routes.extend(routes)
    docs.install(app, routes)
    refusals.install(app)
    app.add_middleware(Edge, metrics=ApiMetrics(parts.registry))
    return app
