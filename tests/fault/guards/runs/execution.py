"""The guards of stored executions, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

STORE = "tests/contract/executions/test_executions.py"
CONTACTS = "tests/contract/executions/test_execution_contacts.py"
PAGES = "tests/integration/erasure/test_erasure_pages.py"
_POSTGRES = "src/goald/adapters/postgres/shard/executions/commit.py"
_STATEMENTS = "src/goald/adapters/postgres/shard/executions/statements.py"
_COMMIT = "src/goald/adapters/postgres/shard/commit.py"
_TRANSFERS = "src/goald/adapters/postgres/shard/merging/transfers.py"
_ERASURE = "src/goald/adapters/postgres/erasure_pages.py"
_MEMORY = "src/goald/adapters/memory/executions/commit.py"
_ROWS = "src/goald/adapters/memory/stored/executions.py"
_STORE = "src/goald/adapters/memory/store.py"

EXECUTION_GUARDS = (
    Guard(
        "executions: a transition changes only the row that it expects",
        "X3",
        (
            Edit(_STATEMENTS, "x.attempt = n.guard_attempt AND x.state = n.guard_state", "true"),
            Edit(_ROWS, "self.reason is None and own == guard", "self.reason is None"),
        ),
        (STORE,),
    ),
    Guard(
        "executions: an ended one never changes",
        "X3",
        (
            Edit(_STATEMENTS, "n.guard_state AND x.ended_at IS NULL", "n.guard_state"),
            Edit(_ROWS, "self.reason is None and own == guard", "own == guard"),
        ),
        (STORE,),
    ),
    Guard(
        "executions: an enrollment does not end without the transition of its execution",
        "X1",
        (
            Edit(_COMMIT, "_update(connection, effects, torn)", "_update(connection, effects, ())"),
            Edit(_STORE, "elif row is not None and row.status == \"active\" and i not in torn:",
                 "elif row is not None and row.status == \"active\":"),
        ),
        (STORE,),
    ),
    Guard(
        "executions: a transition is not written without the effect of its enrollment",
        "X1",
        (
            Edit(_POSTGRES, " if effect is None or effective[effect]", ""),
            Edit(_MEMORY, "if effect is not None and not effective[effect]:", "if False:"),
        ),
        (STORE,),
    ),
    Guard(
        "executions: one commit writes the log of written transitions only",
        "X3",
        (
            Edit(_POSTGRES, " if i is None or written[i]]", "]"),
            Edit(_MEMORY, "if transition is None or written[transition]:", "if True:"),
        ),
        (STORE,),
    ),
    Guard(
        "executions: the log names no contact that was deleted",
        "X15",
        (
            Edit(_POSTGRES, "None if is_deleted else contact", "contact"),
            Edit(_MEMORY, "        contact = None\n    return", "        pass\n    return"),
        ),
        (CONTACTS,),
    ),
    Guard(
        "executions: those of a merged contact belong to no shard until they move",
        "E21",
        (Edit(_STATEMENTS, "AND t.created_at >= x.recorded_at", "AND false"),),
        (CONTACTS,),
    ),
    Guard(
        "executions: they move with their enrollments",
        "E21",
        (Edit(_TRANSFERS, "execute(MOVE_EXECUTIONS, tenant, ids, into, slot)",
              "execute(MOVE_EXECUTIONS, tenant, [], into, slot)"),),
        (CONTACTS,),
    ),
    Guard(
        "executions: entries move with them",
        "E21, X9",
        (Edit(_TRANSFERS, "if await move.entries(deleted_at) == PAGE_ROWS:",
              "if False:"),),
        (CONTACTS,),
    ),
    Guard(
        "executions: starts of a deleted contact do not count",
        "X9",
        (Edit(_STATEMENTS, "AND w.last_started_at <= t.deleted_at", "AND false"),),
        (CONTACTS,),
    ),
    Guard(
        "executions: a deleted contact is in no row of them",
        "X15",
        (Edit(_ERASURE, "x.id = page.id\n", "x.id = page.id AND false\n"),),
        (CONTACTS, PAGES),
    ),
)  # fmt: skip
