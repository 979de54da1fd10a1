"""The application that the tests serve, with the dependencies of the daemon."""

from fastapi import FastAPI

from goald.api.app import create_app
from goald.runtime.wiring.api import api_dependencies
from goald.settings import Settings

SECRETS_KEY = "j1N9xjP0T0dJHrNpyqR4Qk1cVYyP3x2Kq2Z8m5nU7wE="
"""Encrypts stored secrets."""
SECRET = "a secret that the tests sign their tokens with"


def api_app(settings: Settings) -> FastAPI:
    """The API over the Redis and Postgres of these settings. Connects with the first request."""
    return create_app(api_dependencies(settings))
