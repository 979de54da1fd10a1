"""What is answered where a request cannot be served: RFC 9457 `application/problem+json`.

A route raises one of these; `refusals` turns it, and every other error, into the answer.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from goald.domain.errors import GoaldError

MEDIA_TYPE = "application/problem+json"


class Problem(GoaldError):
    """A request that is refused. `detail` is for the caller to read: it names what was wrong
    and nothing of what is within. `members` stand in the answer beside the usual ones."""

    status: ClassVar[int] = 500

    def __init__(
        self, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members


class BadRequest(Problem):
    """What was sent cannot be taken. 400, never 422 (3.4)."""

    status = 400


class Unauthorized(Problem):
    """Nobody says who calls, or nobody that can be trusted."""

    status = 401


class Forbidden(Problem):
    """Who calls may not do this."""

    status = 403


class NotFoundProblem(Problem):
    """The tenant has no such thing; another may have it (D8)."""

    status = 404


class ConflictProblem(Problem):
    """Another has changed it meanwhile, or it is not in the state that this asks for."""

    status = 409


class PreconditionFailed(Problem):
    """It is no longer the version that `If-Match` names."""

    status = 412


class TooLarge(Problem):
    """More than 1 MiB (D9)."""

    status = 413


class UnsupportedMedia(Problem):
    """Not JSON."""

    status = 415


class TooManyRequests(Problem):
    """The tenant has used up its quota, or its line is full (D8); `Retry-After` says when to
    come again."""

    status = 429


class Unavailable(Problem):
    """Redis or Postgres is away (D6), or too much is asked at once; `Retry-After` says when to
    try again."""

    status = 503


class FieldError(BaseModel):
    """One thing that is wrong in a request."""

    pointer: str | None = Field(None, description="where in the body: a JSON pointer (RFC 6901)")
    parameter: str | None = Field(None, description="which parameter of the path, query or header")
    detail: str


class ProblemAnswer(BaseModel):
    """An error, as RFC 9457 has it. More members than these may come."""

    model_config = ConfigDict(
        title="Problem",
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "There is no workflow lead-nurturing",
                }
            ]
        },
    )

    type: str = Field("about:blank", description="always about:blank: the status says which kind")
    title: str = Field(description="the status in words")
    status: int
    detail: str = Field(description="what was wrong, for a person to read")
    errors: list[FieldError] | None = Field(
        None, description="of a 400: each thing that is wrong, where that is known"
    )


MEANINGS = {
    400: "The request cannot be taken; `errors` says where",
    401: "No token, or one that is not good",
    403: "The token lacks the scope",
    404: "The tenant has no such thing",
    409: "Changed meanwhile, or not in a state for this",
    412: "No longer the version that `If-Match` names",
    413: "More than 1 MiB",
    415: "The body is not JSON",
    429: "The tenant's quota is used up, or its line full; `Retry-After` says when to come again",
    503: "Redis or Postgres is away, or too much is asked; `Retry-After` says when to try again",
}
"""Every status that a problem has, and what it says."""


def title_of(status: int) -> str:
    return HTTPStatus(status).phrase


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI is to say of these statuses, for a route's `responses`. 401, 403, 429 and
    503 need not be given: every route under /api/v1 has them."""
    return {
        status: {
            "description": MEANINGS[status],
            "content": {
                MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "example": {
                        "type": "about:blank",
                        "title": title_of(status),
                        "status": status,
                        "detail": MEANINGS[status],
                    },
                }
            },
        }
        for status in statuses
    }
