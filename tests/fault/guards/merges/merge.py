"""The guards of merges (E21), and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

MERGES = "tests/contract/shard_store/test_shard_store_merges.py"
_MERGES = "src/goald/adapters/postgres/shard/merging/merges.py"

MERGES_ALONE = (
    Guard(
        "merges: a merge that would make a cycle is refused",
        "E21",
        (Edit(_MERGES, "    if target == contact:\n", "    if target is None:\n"),),
        (MERGES,),
    ),
    Guard(
        "merges: enrollments that have not moved are loaded by no shard",
        "E21",
        (
            Edit(
                "src/goald/adapters/postgres/shard/statements.py",
                "AND e.slot BETWEEN $1 AND $2 {_STAYS}",
                "AND e.slot BETWEEN $1 AND $2",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: enrollments that have not moved follow the next merge",
        "E21",
        (
            Edit(
                _MERGES, "    await connection.execute(FOLLOW, tenant, contact, *end, merges)\n", ""
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: a run compares numbers only with used events of contacts that it had",
        "E11",
        (
            Edit(
                "src/goald/adapters/postgres/shard/used_events.py",
                "WHERE merge <> ALL (coalesce(u.merges, '{}')))),",
                "WHERE false)),",
            ),
        ),
        (MERGES,),
    ),
    Guard(
        "merges: a forward continues with the merges of its target",
        "E21",
        (
            Edit(
                _MERGES,
                "contact, merges = forward[0], join_merges(merges, forward[1])",
                "contact = forward[0]",
            ),
            Edit(
                _MERGES,
                "goald.at($5), merges = goald.join_merges(merges, $6::int8[]),",
                "goald.at($5),",
            ),
        ),
        (MERGES,),
    ),
)
