"""The guards of what only goald may send (X13), and of requests about executions."""

from tests.fault.guards.guard import Edit, Guard

PERMISSIONS = "tests/unit/api/test_event_permissions.py"
EXECUTIONS = "tests/integration/api/executions/test_executions.py"

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
    Guard(
        "executions: a result that is not final is not kept for an Idempotency-Key",
        "X9",
        (
            Edit(
                "src/goald/api/http/idempotency.py",
                "            kept = answered.stored if answered.is_final else None\n",
                "            kept = answered.stored\n",
            ),
        ),
        (EXECUTIONS,),
    ),
    Guard(
        "executions: a repeated request gets the answer to the first one",
        "X9",
        (
            Edit(
                "src/goald/api/own_events/execution_requests.py",
                "            if request.id in known:\n",
                "            if False:\n",
            ),
        ),
        (EXECUTIONS,),
    ),
    Guard(
        "executions: an ended one is not cancelled again",
        "X2",
        (
            Edit(
                "src/goald/api/routes/executions.py",
                '        if row.completion_reason != "user":\n            _refuse_ended(row)\n',
                "",
            ),
        ),
        (EXECUTIONS,),
    ),
    Guard(
        "executions: explain shows them to callers with the scope only",
        "D8",
        (
            Edit(
                "src/goald/api/routes/events.py",
                "        if EXECUTIONS_SCOPE not in caller.scopes:\n",
                "        if False:\n",
            ),
        ),
        (EXECUTIONS,),
    ),
)
