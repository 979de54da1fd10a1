"""The response of the dry run, written in pieces, and its cost."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import orjson

from goald.api.http.exact_json import exact_bytes
from goald.api.models.explain import ExplainedEnrollment, Explanation

PIECE: Final = 10
"""Enrollments that are written at a time; other requests are served between pieces."""
REQUEST_ITEMS: Final = 50
"""Enrollments and goals that count as one request of the quota."""


def explanation_requests(found: Mapping[str, Any]) -> int:
    """Return how many requests the explanation counts as."""
    items = sum(1 + len(enrollment["goals"]) for enrollment in found["enrollments"])
    return max(1, -(-items // REQUEST_ITEMS))


async def explanation_json(found: Mapping[str, Any]) -> bytes:
    """Return the explanation, which must be what `Explanation` describes, as JSON."""
    enrollments = found["enrollments"]
    pieces = []
    for start in range(0, len(enrollments), PIECE):
        piece = [
            ExplainedEnrollment.model_validate(enrollment).model_dump()
            for enrollment in enrollments[start : start + PIECE]
        ]
        pieces.append(exact_bytes(piece)[1:-1])
        await asyncio.sleep(0)
    written = orjson.Fragment(b"[" + b",".join(pieces) + b"]")
    explanation = Explanation.model_validate({**found, "enrollments": []}).model_dump()
    return exact_bytes(explanation | {"enrollments": written})
