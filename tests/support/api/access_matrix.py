"""How each route under /api/v1 is asked, for the tests that ask all of them.

A route that is new needs an entry in `ASKS`; a test fails until it has one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from goald.api.app import all_routes
from goald.api.http.routing import GUARDED, Route

WORKFLOW, ENROLLMENT, CONTACT, TAG, PROVIDER = "w-1", "e-1", "c-1", "tag-1", "stripe"


class Elsewhere(Enum):
    """What another tenant gets, that asks for the owner's things by their ids."""

    MISSING = auto()
    """404: it is not there."""
    EMPTY = auto()
    """200: a list of nothing."""
    ITS_OWN = auto()
    """Whatever it makes or changes is its own."""
    COMMON = auto()
    """The same for every tenant, and nobody's."""


@dataclass(frozen=True)
class Ask:
    elsewhere: Elsewhere
    body: Any = None


EVENT = {
    "id": "evt-1",
    "source": "/tests",
    "type": "contact.tag.added",
    "time": "2026-01-31T09:00:00Z",
    "data": {"contact_id": CONTACT, "tag_id": TAG},
}
_TAG_GOAL = {"goal_type": "tag_added", "criteria": {"tag_name": "Theirs"}}
_WORKFLOW = "/api/v1/workflows/{workflow_id}"
_GOAL = _WORKFLOW + "/goals/{goal_id:uuid}"
_ENTITY = "/api/v1/catalog/{kind}/{entity_id}"

ASKS: dict[tuple[str, str], Ask] = {
    ("GET", "/api/v1/workflows"): Ask(Elsewhere.EMPTY),
    ("GET", _WORKFLOW): Ask(Elsewhere.MISSING),
    ("PUT", _WORKFLOW): Ask(Elsewhere.ITS_OWN, {"name": "Theirs", "goal_logic": "any"}),
    ("POST", _WORKFLOW + "/activate"): Ask(Elsewhere.MISSING),
    ("POST", _WORKFLOW + "/deactivate"): Ask(Elsewhere.MISSING),
    ("POST", _WORKFLOW + "/goals"): Ask(Elsewhere.MISSING, _TAG_GOAL),
    ("GET", _WORKFLOW + "/goals"): Ask(Elsewhere.MISSING),
    ("GET", _WORKFLOW + "/goals/stats"): Ask(Elsewhere.MISSING),
    ("GET", _GOAL): Ask(Elsewhere.MISSING),
    ("PATCH", _GOAL): Ask(Elsewhere.MISSING, {"is_active": False}),
    ("DELETE", _GOAL): Ask(Elsewhere.MISSING),
    ("GET", _WORKFLOW + "/enrollments"): Ask(Elsewhere.MISSING),
    ("GET", _WORKFLOW + "/achievements"): Ask(Elsewhere.MISSING),
    ("GET", _WORKFLOW + "/listeners"): Ask(Elsewhere.MISSING),
    ("POST", _WORKFLOW + "/enrollments"): Ask(
        Elsewhere.ITS_OWN, {"contact_id": CONTACT, "enrollment_id": ENROLLMENT}
    ),
    ("POST", _WORKFLOW + "/enrollments/{enrollment_id}/end"): Ask(
        Elsewhere.MISSING, {"reason": "exited"}
    ),
    ("GET", "/api/v1/goal-types"): Ask(Elsewhere.COMMON),
    ("GET", "/api/v1/catalog/{kind}"): Ask(Elsewhere.EMPTY),
    ("GET", _ENTITY): Ask(Elsewhere.MISSING),
    ("PUT", _ENTITY): Ask(Elsewhere.ITS_OWN, {"name": "Theirs"}),
    ("DELETE", _ENTITY): Ask(Elsewhere.MISSING),
    ("GET", "/api/v1/webhooks"): Ask(Elsewhere.EMPTY),
    ("PUT", "/api/v1/webhooks/{provider}"): Ask(Elsewhere.ITS_OWN),
    ("DELETE", "/api/v1/webhooks/{provider}"): Ask(Elsewhere.MISSING),
    ("GET", "/api/v1/audit"): Ask(Elsewhere.EMPTY),
    ("POST", "/api/v1/events"): Ask(Elsewhere.ITS_OWN, EVENT),
    ("POST", "/api/v1/explain"): Ask(Elsewhere.ITS_OWN, EVENT),
}


def guarded() -> Iterator[tuple[Route, str]]:
    """Each route under /api/v1, with its method."""
    for route in all_routes():
        if route.path.startswith(GUARDED):
            for method in sorted(route.methods or ()):
                yield route, method


def path_of(route: Route, goal_id: str) -> str:
    """The route's path, with the ids of the owner's things."""
    ids = {
        "workflow_id": WORKFLOW,
        "goal_id": goal_id,
        "enrollment_id": ENROLLMENT,
        "kind": "tag",
        "entity_id": TAG,
        "provider": PROVIDER,
    }
    return route.path_format.format(**ids)
