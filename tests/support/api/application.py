"""The application that the tests serve, made of the same parts as the daemon's."""

from fastapi import FastAPI

from goald.api.app import create_app
from goald.runtime.wiring.api import api_dependencies
from goald.settings import Settings

SECRET = "a secret that the tests sign their tokens with"


def api_app(settings: Settings) -> FastAPI:
    """The API over these settings' Redis and Postgres; connects when it is used."""
    return create_app(api_dependencies(settings))
