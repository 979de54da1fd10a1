"""Error responses: RFC 9457 `application/problem+json`.

Routes raise these exceptions; `http.error_handlers` turns them, and every other error, into
responses.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from goald.domain.errors import GoaldError

MEDIA_TYPE = "application/problem+json"


class Problem(GoaldError):
    """A refused request. `detail` is shown to the caller and must not expose internals. `members`
    are added to the response."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "about:blank"
    title: ClassVar[str | None] = None
    """None: the name of the status. Another title belongs to a separate type."""

    def __init__(
        self, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members


class BadRequest(Problem):
    """The request is invalid. Always 400, never 422."""

    status = 400


class Unauthorized(Problem):
    """There are no valid credentials."""

    status = 401


class Forbidden(Problem):
    """The caller lacks the scope."""

    status = 403


class NotFoundProblem(Problem):
    """The tenant has no such object. The same response if another tenant has it (D8)."""

    status = 404


class ConflictProblem(Problem):
    """The object was changed concurrently, or its state does not allow the request."""

    status = 409


class EnrollmentLimitReached(ConflictProblem):
    """The contact has reached the limit of active enrollments (E5)."""

    type = "urn:goald:problem:enrollment-limit"
    title = "Enrollment limit reached"


class EnrollmentIdUsed(ConflictProblem):
    """The enrollment of this id has ended, and began at another time (E12), or belongs to another
    contact or workflow (E5)."""

    type = "urn:goald:problem:enrollment-id-used"
    title = "Enrollment id already used"


class PreconditionFailed(Problem):
    """The version does not match `If-Match`."""

    status = 412


class TooLarge(Problem):
    """The request body is larger than 1 MiB (rule D9)."""

    status = 413


class UnsupportedMedia(Problem):
    """The content type is not supported."""

    status = 415


class TooManyRequests(Problem):
    """The tenant exceeded its quota, or too many of its requests are waiting (D8)."""

    status = 429


class Unavailable(Problem):
    """Redis or Postgres is unavailable (D6), or the API is overloaded."""

    status = 503


class FieldError(BaseModel):
    """A fault in the request."""

    pointer: str | None = Field(
        None, description="The field of the body, as a JSON pointer (RFC 6901)."
    )
    parameter: str | None = Field(None, description="The path, query or header parameter.")
    detail: str


class ProblemAnswer(BaseModel):
    """An error (RFC 9457). It may have additional members."""

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

    type: str = Field(
        "about:blank",
        description="about:blank, see `status`; or urn:goald:problem:enrollment-limit if the "
        "contact has reached the limit of active enrollments; or "
        "urn:goald:problem:enrollment-id-used if the enrollment of this id has ended, or belongs "
        "to another contact or workflow.",
    )
    title: str = Field(description="The name of the status, or of the type.")
    status: int
    detail: str = Field(description="A message for a person.")
    errors: list[FieldError] | None = Field(
        None, description="The faults of an invalid request, if they have a location."
    )


MEANINGS = {
    400: "The request is invalid; `errors` lists the faults",
    401: "The token is missing or invalid",
    403: "The token lacks the scope",
    404: "The tenant has no such object",
    409: "The object was changed concurrently, or its state does not allow the request",
    412: "The version does not match `If-Match`",
    413: "The request is larger than 1 MiB",
    415: "The content type is not supported",
    429: "The tenant exceeded its quota, or too many of its requests are waiting; retry after "
    "`Retry-After` seconds",
    503: "Redis or Postgres is unavailable, or the API is overloaded; retry after `Retry-After` "
    "seconds",
}
"""The statuses of problems and their descriptions."""


def title_of(status: int) -> str:
    return HTTPStatus(status).phrase


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of these statuses, for a route's `responses`. Routes under
    /api/v1 have 400, 401, 403, 429 and 503 without asking."""
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
