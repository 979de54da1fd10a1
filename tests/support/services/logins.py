"""Logins of the tests' Postgres."""

import secrets
from urllib.parse import urlsplit, urlunsplit

import psycopg


def create_login(admin_dsn: str, login: str, *roles: str) -> str:
    """Create a login that is a member of these roles, and return its URL. The caller drops it."""
    password = secrets.token_urlsafe(16)
    member = f" IN ROLE {', '.join(roles)}" if roles else ""
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{password}'{member}".encode())
    return with_login(admin_dsn, login, password)


def with_login(dsn: str, login: str, password: str) -> str:
    """The URL with another login."""
    return urlunsplit(urlsplit(dsn)._replace(netloc=f"{login}:{password}@"))
