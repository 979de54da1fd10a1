"""Deliveries of providers, from the shortened payloads in tests/unit/sources/payloads."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goald.sources.delivery import Delivery

PAYLOADS = Path(__file__).parents[2] / "unit" / "sources" / "payloads"
NOW_US = 1_795_811_375_000_000
"""2026-11-27T20:29:35Z, when the deliveries of the tests arrive."""
URL = "https://goald.example.com/hooks/acme/source/KEY"


def payload(provider: str, name: str) -> bytes:
    """The exact bytes of a payload."""
    return (PAYLOADS / provider / name).read_bytes()


def vectors(provider: str) -> Any:
    """The signatures of a provider's payloads."""
    return json.loads(payload(provider, "vectors.json"))


def delivery(
    body: bytes,
    headers: Mapping[str, str] | None = None,
    *,
    url: str = URL,
    method: str = "POST",
    received_at_us: int = NOW_US,
) -> Delivery:
    """A delivery; JSON unless the headers say otherwise."""
    lower = {name.lower(): value for name, value in (headers or {}).items()}
    return Delivery(method, url, {"content-type": "application/json"} | lower, body, received_at_us)
