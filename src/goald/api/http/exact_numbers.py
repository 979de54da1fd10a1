"""Answers whose amounts are JSON numbers with every digit that they were given with."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson
from fastapi import Response
from pydantic import BaseModel


class ExactJson(Response):
    """A model as JSON. Decimals are numbers: `100.00` is answered as it was sent. A reader
    that would make it a float takes as much of it as a float holds."""

    media_type = "application/json"

    def __init__(
        self, model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(orjson.dumps(model.model_dump(), _fragment), status, headers)


def _fragment(value: Any) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f"))
    raise TypeError(type(value).__name__)
