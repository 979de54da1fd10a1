"""The guards of what only goald may send (X13)."""

from tests.fault.guards.guard import Edit, Guard

PERMISSIONS = "tests/unit/api/test_event_permissions.py"

RESERVED_GUARDS = (
    Guard(
        "reserved: callers send no events of types that only goald sends",
        "X13",
        (
            Edit(
                "src/goald/api/auth/event_permissions.py",
                "        if is_reserved(event.type):\n",
                "        if False:\n",
            ),
        ),
        (PERMISSIONS,),
    ),
)
