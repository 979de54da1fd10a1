"""The addresses of servers in settings: URLs with a known scheme.

A wrong address is refused when the settings are read, with an example, because the libraries
report it later and less plainly. Messages contain no part of the address: it may have a password.
"""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

REDIS_EXAMPLE = "redis://USER:PASSWORD@HOST:6379/0"
POSTGRES_EXAMPLE = "postgresql://USER:PASSWORD@HOST:5432/DATABASE"
JWKS_EXAMPLE = "https://HOST/.well-known/jwks.json"
PUBLIC_EXAMPLE = "https://goald.example.com"
RAY_EXAMPLE = "ray-head.internal:6379"


def _redis(value: str) -> str:
    parts = _split(value, ("redis", "rediss", "unix"), REDIS_EXAMPLE)
    if "," in parts.netloc:
        raise ValueError(f"must name one host. Example: {REDIS_EXAMPLE}")
    if parts.scheme == "unix" and not parts.path:
        raise ValueError("names no socket. Example: unix:///run/redis/redis.sock")
    return value


def _postgres(value: str) -> str:
    _split(value, ("postgresql", "postgres"), POSTGRES_EXAMPLE)
    return value


def _jwks(value: str) -> str:
    if not _split(value, ("https", "http"), JWKS_EXAMPLE).hostname:
        raise ValueError(f"names no host. Example: {JWKS_EXAMPLE}")
    return value


def _public(value: str) -> str:
    if not value:
        return value
    parts = _split(value, ("https", "http"), PUBLIC_EXAMPLE)
    if not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(
            f"must have a host, and neither query nor login. Example: {PUBLIC_EXAMPLE}"
        )
    return value.rstrip("/")


def _ray(value: str) -> str:
    _, separator, port = value.rpartition(":")
    is_url = "://" in value and not value.startswith("ray://")
    if value != "auto" and (is_url or not separator or not port.isdecimal()):
        raise ValueError(f"must be HOST:PORT, or `auto`. Example: {RAY_EXAMPLE}")
    return value


def _split(value: str, schemes: Sequence[str], example: str) -> SplitResult:
    """The parts of the URL. Raises ValueError if the scheme is not one of these, or if host and
    port cannot be read."""
    scheme, separator, _ = value.partition("://")
    if not separator or scheme.lower() not in schemes:
        names = [f"{each}://" for each in schemes]
        choices = f"{', '.join(names[:-1])} or {names[-1]}"
        raise ValueError(f"must begin with {choices}. Example: {example}")
    try:
        parts = urlsplit(value)
        if "," not in parts.netloc:  # Postgres takes several hosts, separated by commas
            _ = parts.port
    except ValueError:
        raise ValueError(
            "has a host or port that cannot be read. Percent-encode special characters in user "
            f"and password: %2F for /, %40 for @, %23 for #, %3F for ?. Example: {example}"
        ) from None
    return parts


RedisUrl = Annotated[str, AfterValidator(_redis)]
"""A URL of Redis or Valkey."""
PostgresUrl = Annotated[str, AfterValidator(_postgres)]
"""A URL of Postgres. Keywords such as `host=… dbname=…` are refused: asyncpg does not take them."""
PublicUrl = Annotated[str, AfterValidator(_public)]
JwksUrl = Annotated[str, AfterValidator(_jwks)]
"""The URL of a JSON Web Key Set."""
RayAddress = Annotated[str, AfterValidator(_ray)]
"""The address of a Ray cluster."""
