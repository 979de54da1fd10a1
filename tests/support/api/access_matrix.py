"""A request for each route under /api/v1, for the tests that call all of them.

A new route needs an entry in `ROUTE_REQUESTS`; a test fails until it has one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from goald.api.app import all_routes
from goald.api.http.routing import GUARDED, Route

WORKFLOW, ENROLLMENT, CONTACT, TAG, PROVIDER = "w-1", "e-1", "c-1", "tag-1", "stripe"
SOURCE = "forms"


class OtherTenant(Enum):
    """The answer to another tenant that uses the ids of the owner."""

    MISSING = auto()
    """404: does not exist for this tenant."""
    EMPTY = auto()
    """200: an empty list."""
    SEPARATE = auto()
    """Creates or changes an object of the other tenant."""
    COMMON = auto()
    """The same answer for every tenant."""


@dataclass(frozen=True)
class RouteRequest:
    other_tenant: OtherTenant
    body: Any = None


EVENT = {
    "id": "evt-1",
    "source": "/tests",
    "type": "contact.tag.added",
    "time": "2026-01-31T09:00:00Z",
    "data": {"contact_id": CONTACT, "tag_id": TAG},
}
_TAG_GOAL = {"goal_type": "tag_added", "criteria": {"tag_name": "Theirs"}}
_DEFINITION = {"steps": [{"id": "theirs", "action": "noop"}]}
_WORKFLOW = "/api/v1/workflows/{workflow_id}"
_GOAL = _WORKFLOW + "/goals/{goal_id:uuid}"
_A_SOURCE = "/api/v1/sources/{name}"
_CONTACT = "/api/v1/contacts/{contact_id}"
_EXECUTION = "/api/v1/executions/{execution_id}"
_ENTITY = "/api/v1/catalog/{kind}/{entity_id}"

ROUTE_REQUESTS: dict[tuple[str, str], RouteRequest] = {
    ("GET", "/api/v1/workflows"): RouteRequest(OtherTenant.EMPTY),
    ("GET", _WORKFLOW): RouteRequest(OtherTenant.MISSING),
    ("PUT", _WORKFLOW): RouteRequest(OtherTenant.SEPARATE, {"name": "Theirs", "goal_logic": "any"}),
    ("DELETE", _WORKFLOW): RouteRequest(OtherTenant.MISSING),
    ("POST", _WORKFLOW + "/activate"): RouteRequest(OtherTenant.MISSING),
    ("POST", _WORKFLOW + "/deactivate"): RouteRequest(OtherTenant.MISSING),
    ("GET", _WORKFLOW + "/definition"): RouteRequest(OtherTenant.MISSING),
    ("PUT", _WORKFLOW + "/definition"): RouteRequest(OtherTenant.MISSING, _DEFINITION),
    ("POST", _WORKFLOW + "/publish"): RouteRequest(OtherTenant.MISSING),
    ("GET", _WORKFLOW + "/versions"): RouteRequest(OtherTenant.MISSING),
    ("POST", _WORKFLOW + "/goals"): RouteRequest(OtherTenant.MISSING, _TAG_GOAL),
    ("GET", _WORKFLOW + "/goals"): RouteRequest(OtherTenant.MISSING),
    ("GET", _WORKFLOW + "/goals/stats"): RouteRequest(OtherTenant.MISSING),
    ("GET", _GOAL): RouteRequest(OtherTenant.MISSING),
    ("PATCH", _GOAL): RouteRequest(OtherTenant.MISSING, {"is_active": False}),
    ("DELETE", _GOAL): RouteRequest(OtherTenant.MISSING),
    ("GET", _WORKFLOW + "/enrollments"): RouteRequest(OtherTenant.MISSING),
    ("GET", _WORKFLOW + "/achievements"): RouteRequest(OtherTenant.MISSING),
    ("GET", _WORKFLOW + "/listeners"): RouteRequest(OtherTenant.MISSING),
    ("POST", _WORKFLOW + "/enrollments"): RouteRequest(
        OtherTenant.SEPARATE, {"contact_id": CONTACT, "enrollment_id": ENROLLMENT}
    ),
    ("POST", _WORKFLOW + "/enrollments/{enrollment_id}/end"): RouteRequest(
        OtherTenant.MISSING, {"reason": "exited"}
    ),
    ("POST", _WORKFLOW + "/executions"): RouteRequest(OtherTenant.MISSING, {"contact_id": CONTACT}),
    ("GET", _WORKFLOW + "/executions"): RouteRequest(OtherTenant.MISSING),
    ("GET", _EXECUTION): RouteRequest(OtherTenant.MISSING),
    ("GET", _EXECUTION + "/logs"): RouteRequest(OtherTenant.MISSING),
    ("POST", _EXECUTION + "/cancel"): RouteRequest(OtherTenant.MISSING),
    ("POST", _EXECUTION + "/retry"): RouteRequest(OtherTenant.MISSING),
    ("GET", "/api/v1/goal-types"): RouteRequest(OtherTenant.COMMON),
    ("GET", "/api/v1/catalog/{kind}"): RouteRequest(OtherTenant.EMPTY),
    ("GET", _ENTITY): RouteRequest(OtherTenant.MISSING),
    ("PUT", _ENTITY): RouteRequest(OtherTenant.SEPARATE, {"name": "Theirs"}),
    ("DELETE", _ENTITY): RouteRequest(OtherTenant.MISSING),
    ("GET", "/api/v1/contacts"): RouteRequest(OtherTenant.EMPTY),
    ("GET", _CONTACT): RouteRequest(OtherTenant.MISSING),
    ("PUT", _CONTACT): RouteRequest(OtherTenant.SEPARATE, {"email": "theirs@example.com"}),
    ("PATCH", _CONTACT): RouteRequest(OtherTenant.SEPARATE, {"opted_in": True}),
    ("DELETE", _CONTACT): RouteRequest(OtherTenant.SEPARATE),
    ("GET", "/api/v1/webhooks"): RouteRequest(OtherTenant.EMPTY),
    ("PUT", "/api/v1/webhooks/{provider}"): RouteRequest(OtherTenant.SEPARATE),
    ("DELETE", "/api/v1/webhooks/{provider}"): RouteRequest(OtherTenant.MISSING),
    ("GET", "/api/v1/sources"): RouteRequest(OtherTenant.EMPTY),
    ("GET", _A_SOURCE): RouteRequest(OtherTenant.MISSING),
    ("PUT", _A_SOURCE): RouteRequest(OtherTenant.SEPARATE, {"preset": "jotform"}),
    ("DELETE", _A_SOURCE): RouteRequest(OtherTenant.MISSING),
    ("POST", _A_SOURCE + "/rotate-key"): RouteRequest(OtherTenant.MISSING),
    ("GET", _A_SOURCE + "/deliveries"): RouteRequest(OtherTenant.MISSING),
    ("POST", _A_SOURCE + "/test"): RouteRequest(OtherTenant.MISSING),
    ("GET", "/api/v1/tenant"): RouteRequest(OtherTenant.COMMON),
    ("PUT", "/api/v1/tenant"): RouteRequest(OtherTenant.SEPARATE, {"tag_case_sensitive": False}),
    ("PATCH", "/api/v1/tenant"): RouteRequest(OtherTenant.SEPARATE, {"max_retry_attempts": 1}),
    ("GET", "/api/v1/audit"): RouteRequest(OtherTenant.EMPTY),
    ("POST", "/api/v1/events"): RouteRequest(OtherTenant.SEPARATE, EVENT),
    ("POST", "/api/v1/explain"): RouteRequest(OtherTenant.SEPARATE, EVENT),
}


def guarded() -> Iterator[tuple[Route, str]]:
    """Each route under /api/v1, with its method."""
    for route in all_routes():
        if route.path.startswith(GUARDED):
            for method in sorted(route.methods or ()):
                yield route, method


def path_of(route: Route, goal_id: str) -> str:
    """The path of the route, with the ids of the owner's objects."""
    ids = {
        "workflow_id": WORKFLOW,
        "goal_id": goal_id,
        "enrollment_id": ENROLLMENT,
        "execution_id": ENROLLMENT,
        "kind": "tag",
        "entity_id": TAG,
        "provider": PROVIDER,
        "name": SOURCE,
        "contact_id": CONTACT,
    }
    return route.path_format.format(**ids)
