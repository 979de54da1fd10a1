"""What every body of a request has in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


class Body(BaseModel):
    """A map that holds what is known and nothing else.

    FastAPI validates from attributes too, and a decimal has some: without this, the body `1.5`
    would be a map in which nothing is set.
    """

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _is_a_map(cls, given: Any) -> Any:
        if not isinstance(given, dict | cls):
            raise PydanticCustomError("dict_type", "must be a map")
        return given
