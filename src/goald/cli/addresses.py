"""The address in a Redis URL or a Postgres DSN."""

import re
from urllib.parse import parse_qs, unquote, urlsplit


def address_of(url: str) -> str:
    """HOST:PORT or the socket's path of a Redis URL or a Postgres DSN, without any password."""
    if "://" not in url:  # a DSN of keywords
        words = dict(re.findall(r"(\w+)\s*=\s*('[^']*'|\S+)", url))
        host, port = words.get("host", "localhost").strip("'"), words.get("port", "5432").strip("'")
        return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else f"{host}:{port}"
    split = urlsplit(url)
    if split.scheme == "unix":
        return unquote(split.path)
    is_redis = split.scheme.startswith("redis")
    query = parse_qs(split.query)
    host = unquote(split.netloc.rpartition("@")[2])
    if not is_redis and not host and "host" in query:
        host = query["host"][0]
    if host.startswith("/"):
        return f"{host}/.s.PGSQL.{query.get('port', ['5432'])[0]}"
    host = host or "localhost"
    if host.endswith("]") or ":" not in host:
        host += ":6379" if is_redis else ":5432"
    return host
