"""The guards of definitions and their templates."""

from tests.fault.guards.guard import Edit, Guard

STORE = "tests/contract/configuration/test_definition_store.py"
EDITS = "tests/unit/domain/test_definition_edits.py"
POSTGRES = "tests/integration/postgres/test_definitions.py"
READING = "tests/unit/definitions/test_reading.py"
TEMPLATES = "tests/unit/definitions/test_templates.py"
ACTIONS = "tests/unit/definitions/test_actions.py"
PLANS = "tests/property/test_definition_plans.py"
_EDITS = "src/goald/domain/configuration/definition_edits.py"
_MIGRATION = "src/goald/migrations/sql/0031_workflow_definitions.sql"
_TEMPLATES = "src/goald/domain/definitions/readers/templates.py"
_STEPS = "src/goald/domain/definitions/readers/steps.py"
_CURRENT_READS = "src/goald/adapters/postgres/configuration/definitions.py"

DEFINITION_GUARDS = (
    Guard(
        "definition: a draft is replaced only at the version that the editor has seen",
        "X10",
        (Edit(_EDITS, "    expected.require(found.newest)\n", ""),),
        (STORE,),
    ),
    Guard(
        "definition: a published version is the document that was validated",
        "X10",
        (Edit(_EDITS, "    if newest.digest != content.digest:\n", "    if newest is None:\n"),),
        (EDITS,),
    ),
    Guard(
        "definition: a published version does not change",
        "X10",
        (
            Edit(
                _MIGRATION,
                "    WHEN (OLD.published_at IS NOT NULL AND (",
                "    WHEN (false AND (",
            ),
        ),
        (POSTGRES,),
    ),
    Guard(
        "definition: a published version is not removed",
        "X10",
        (
            Edit(
                _MIGRATION,
                "    USING (published_at IS NULL);",
                "    USING (true);",
            ),
        ),
        (POSTGRES,),
    ),
    Guard(
        "definition: the numbers of changes of deleted versions are not used again",
        "X10",
        (
            Edit(
                _CURRENT_READS,
                "WHERE tenant_id = $1 AND workflow_id = $2)\n",
                "WHERE tenant_id = $1 AND workflow_id = $2 AND deleted_at IS NULL)\n",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "definition: the definition of a deleted workflow is deleted",
        "X10",
        (
            Edit(
                _MIGRATION,
                "    WHEN (NEW.deleted_at IS NOT NULL AND OLD.deleted_at IS NULL)",
                "    WHEN (false)",
            ),
        ),
        (STORE, POSTGRES),
    ),
    Guard(
        "definition: references must exist when a definition is published",
        "X10",
        (
            Edit(
                "src/goald/configuration/definitions.py",
                "            if changes and (found := list(faults)):\n",
                "            if not changes and (found := list(faults)):\n",
            ),
        ),
        (STORE,),
    ),
    Guard(
        "definition: a step that cannot be reached is refused",
        "X10",
        (Edit(_STEPS, "            exits = read.exits\n", "            exits = False\n"),),
        (READING,),
    ),
    Guard(
        "template: openers that are not closed are refused before the parser",
        "D8",
        (
            Edit(
                _TEMPLATES,
                "    limit = next(_markup_faults(source), None)\n",
                "    limit = None\n",
            ),
        ),
        (TEMPLATES,),
    ),
    Guard(
        "template: ranges are used in loops only",
        "D8",
        (
            Edit(
                _TEMPLATES,
                "    if any(_has_range(node) for node in template.nodes):\n",
                "    if not template.nodes:\n",
            ),
        ),
        (TEMPLATES,),
    ),
    Guard(
        "template: loops are limited",
        "D8",
        (Edit(_TEMPLATES, "    loop_iteration_limit = 1_000\n", ""),),
        (TEMPLATES,),
    ),
    Guard(
        "webhook: the host of a URL is no template",
        "X13",
        (
            Edit(
                "src/goald/domain/definitions/readers/requests.py",
                '    if "{{" in host or "{%" in host:\n',
                '    if "{{" in scheme:\n',
            ),
        ),
        (ACTIONS,),
    ),
    Guard(
        "plan: a branch ends after the step that has it",
        "X10",
        (
            Edit(
                "src/goald/domain/definitions/compiler.py",
                "            yield from _targets(branch, positions, following_at)\n",
                "            yield from _targets(branch, positions, after)\n",
            ),
        ),
        (PLANS,),
    ),
)
