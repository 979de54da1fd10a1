"""The application that the tests serve, with the dependencies of the daemon."""

from fastapi import FastAPI

from goald.api.app import create_app
from goald.runtime.wiring.api import api_dependencies
from goald.settings import Settings

SECRET = "a secret that the tests sign their tokens with"


def api_app(settings: Settings) -> FastAPI:
    """The API over the Redis and Postgres of these settings. Connects with the first request."""
    return create_app(api_dependencies(settings))
