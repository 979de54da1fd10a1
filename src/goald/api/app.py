"""The FastAPI application: routes, error handlers and middleware."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from goald.api import docs
from goald.api.dependencies import Dependencies
from goald.api.http import error_handlers
from goald.api.http.middleware import HttpMiddleware
from goald.api.http.routing import Route
from goald.api.routes import (
    audit,
    catalog,
    contacts,
    enrollment_events,
    events,
    executions,
    health,
    hooks,
    records,
    sources,
    statistics,
    tenant,
    webhooks,
)
from goald.api.routes.workflows import definitions, goals, workflows
from goald.api.routes.workflows import executions as workflow_executions
from goald.metrics.api import ApiMetrics

ROUTERS = [
    hooks.router,  # first, because providers call it most
    health.router,
    statistics.router,
    workflows.router,
    definitions.router,
    goals.router,
    workflow_executions.router,
    executions.router,
    catalog.router,
    contacts.router,
    webhooks.router,
    sources.router,
    tenant.router,
    records.router,
    audit.router,
    events.router,
    enrollment_events.router,
]
"""The routers of the modules in `routes`, created by `http.routing.Router`."""


def all_routes() -> list[Route]:
    """Return every route in matching order. Raises TypeError for a route that was not created on
    a `http.routing.Router`, because it would be served without authentication."""
    routes: list[Route] = []
    for router in ROUTERS:
        for route in router.routes:
            if not isinstance(route, Route):
                raise TypeError(f"{route} was not created on a goald.api.http.routing.Router()")
            routes.append(route)
    return routes


def create_app(dependencies: Dependencies) -> FastAPI:
    """Return the application over these dependencies, which it closes on shutdown. Does no I/O.
    Call it once per metrics registry."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await dependencies.operations.close()

    app = FastAPI(
        title="goald",
        openapi_url=None,  # `docs` serves it
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.dependencies = dependencies
    # Not include_router: it would wrap each route in another layer, which every request passes.
    routes = all_routes()
    app.router.routes.extend(routes)
    docs.install(app, routes)
    error_handlers.install(app)
    app.state.metrics = ApiMetrics(dependencies.operations.own_metrics)
    app.add_middleware(hooks.HookMiddleware)
    app.add_middleware(HttpMiddleware, metrics=app.state.metrics)
    return app
