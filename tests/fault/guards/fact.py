"""The guards of the rules about the fields of an event, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

REVERSALS = "tests/contract/conversions/test_reversals.py"
MATCH_VALUES = "tests/contract/shard_store/test_shard_store_match_values.py"
_STATEMENTS = "src/goald/adapters/postgres/shard/statements.py"
_MEMORY = "src/goald/adapters/memory/ended/reversals.py"

FACT_GUARDS = (
    Guard(
        "refund: an enrollment is marked and published once",
        "E13, D1",
        (
            Edit(_STATEMENTS, " AND e.{column} IS NULL\n", "\n"),
            Edit(_MEMORY, " and getattr(of, column) is None", ""),
        ),
        (REVERSALS,),
    ),
    Guard(
        "refund: a later payment is not refunded",
        "E13",
        (
            Edit(_STATEMENTS, "      AND a.achieved_at <= goald.at($3)\n", ""),
            Edit(
                _MEMORY, "row.achieved_at <= reversal.reversed_at and not is_other", "not is_other"
            ),
        ),
        (REVERSALS,),
    ),
    Guard(
        "refund: another payment than the named one is not refunded",
        "E13",
        (
            Edit(
                _STATEMENTS,
                "      AND coalesce(a.trigger_event ->> '{reference}' = $4, true)\n",
                "",
            ),
            Edit(_MEMORY, "<= reversal.reversed_at and not is_other:", "<= reversal.reversed_at:"),
        ),
        (REVERSALS,),
    ),
    Guard(
        "refund: an enrollment that is still active keeps its conversion",
        "E13",
        (
            Edit(
                _STATEMENTS, "  AND e.status = 'completed_goal' AND e.{column}", "  AND e.{column}"
            ),
            Edit(_MEMORY, 'of.status == "completed_goal" and getattr', "getattr"),
        ),
        (REVERSALS,),
    ),
    Guard(
        "currency: a goal names an ISO 4217 code",
        "E13",
        (
            Edit(
                "src/goald/domain/configuration/criteria.py",
                "    code = currency_code(text)\n",
                "    code = currency_code(text) or text\n",
            ),
        ),
        ("tests/unit/domain/test_currencies.py",),
    ),
    Guard(
        "ids: three of them fit into an index entry",
        "E14, D4",
        (
            Edit(
                "src/goald/domain/ids.py", "MAX_ID_BYTES: Final = 768", "MAX_ID_BYTES: Final = 1024"
            ),
        ),
        ("tests/integration/postgres/test_longest_ids.py",),
    ),
    Guard(
        "omitted ids: a repeated request is the same events",
        "E20, D1",
        (
            Edit(
                "src/goald/api/http/event_defaults.py",
                "    if key is None:\n",
                "    if key is not None:\n",
            ),
        ),
        ("tests/integration/api/events/test_omitted_attributes.py",),
    ),
    Guard(
        "omitted ids: a redelivered webhook is the same event",
        "E20, D1",
        (
            Edit(
                "src/goald/api/http/event_defaults.py",
                "    if caller.grant is not None:\n",
                "    if caller.grant is None:\n",
            ),
        ),
        ("tests/integration/api/events/test_omitted_attributes.py",),
    ),
    Guard(
        "match: the values of a run are loaded with it",
        "E17",
        (
            Edit(_STATEMENTS, "coalesce(e.match_values::text, '')", "''"),
            Edit(
                "src/goald/adapters/memory/database.py",
                '(row.match_values or "").encode()',
                'b""',
            ),
        ),
        (MATCH_VALUES,),
    ),
    Guard(
        "match: a deleted contact leaves no values",
        "E17, D8",
        (
            Edit(
                "src/goald/adapters/postgres/erasure_pages.py",
                "SET contact_id = page.pseudonym, match_values = NULL,",
                "SET contact_id = page.pseudonym,",
            ),
            Edit(
                "src/goald/adapters/memory/erasure/contact.py",
                "row.contact_id = pseudonym\n                row.match_values = None\n",
                "row.contact_id = pseudonym\n",
            ),
        ),
        (MATCH_VALUES,),
    ),
    Guard(
        "match: a run that may be of a deleted contact leaves no values",
        "E17, D8",
        (
            Edit(
                _STATEMENTS,
                "CASE WHEN NOT starts_with(n.contact_id, 'erased:') THEN n.match_values::jsonb END",
                "n.match_values::jsonb",
            ),
            Edit(
                "src/goald/adapters/memory/store.py",
                "                        row.match_values = None\n",
                "",
            ),
        ),
        (MATCH_VALUES,),
    ),
)
