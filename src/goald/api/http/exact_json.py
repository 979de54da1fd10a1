"""JSON responses in which amounts are numbers with all their digits."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
from fastapi import Response
from pydantic import BaseModel


class ExactJson(Response):
    """A model as JSON. Decimals are written as numbers and keep every digit: 100.00 stays 100.00.
    A client that parses numbers as floats loses the digits that a float cannot hold."""

    media_type = "application/json"

    def __init__(
        self, model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(exact_bytes(model.model_dump()), status, headers)


def exact_bytes(value: Any) -> bytes:
    """Return JSON values, Decimals and `orjson.Fragment` as JSON."""
    return orjson.dumps(value, _fragment)


def _fragment(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(type(value).__name__)
