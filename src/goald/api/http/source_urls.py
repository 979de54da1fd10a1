"""The URLs that providers call."""

from urllib.parse import quote

from starlette.requests import Request

from goald.api.http.paths import HOOKS


def source_path(tenant: str, name: str, key: str) -> str:
    """Return the path of a source. A slash in an id is escaped."""
    return f"{HOOKS}{quote(tenant, safe='')}/{quote(name, safe='')}/{key}"


def public_url(request: Request, base: str) -> str:
    """Return the URL of a request as the provider calls it: with the public base URL, and the
    path and query unchanged."""
    path: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    query: bytes = request.scope["query_string"]
    return base + (path + (b"?" + query if query else b"")).decode("latin-1")
