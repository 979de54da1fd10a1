"""The reference pages list everything that the code has: settings, metrics, commands, routes,
errors, exit codes, Redis keys, event types, tables and rules."""

import inspect
import re

import pytest
from scripts.reference import ASYNCAPI, REFERENCE, asyncapi, commands, generated_pages, regenerated
from tests.docs.pages import ROOT

from goald.api.models.explain import ExplainedEnrollment, ExplainedGoal, Explanation
from goald.cli.output.exit_codes import Code
from goald.domain import errors
from goald.domain.configuration.goals import LISTENS_TO
from goald.settings import PREFIX, Settings

SOURCES = sorted((ROOT / "src/goald").rglob("*.py"))


def reference(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [page.name for page in generated_pages()])
def test_generated_tables_are_those_of_the_code(name: str) -> None:
    page = REFERENCE / name
    assert page.read_text(encoding="utf-8") == regenerated(page), "stale: run `make docs`"


def test_the_pattern_of_ids_in_the_asyncapi_document_is_that_of_the_code() -> None:
    assert ASYNCAPI.read_text(encoding="utf-8") == asyncapi(), "stale: run `make docs`"


def test_there_are_tables_of_settings_metrics_commands_and_operations() -> None:
    assert {page.name for page in generated_pages()} == {
        "cli.md",
        "http.md",
        "metrics.md",
        "settings.md",
    }


def test_every_command_has_a_section() -> None:
    text = reference("cli")
    for words in commands():
        assert f"### {words}\n\n<!-- generated: {words} -->" in text, words


def test_every_setting_that_a_page_names_exists() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= {"GOALD_CONFIG", "GOALD_TEST_DATA", "GOALD_NAME"}
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for name in re.findall(r"\bGOALD_[A-Z][A-Z_]*[A-Z]\b(?!_?\*)", page.read_text()):
            assert name in known, f"{page}: {name}"


def test_every_exit_code_is_listed() -> None:
    for code in Code:
        assert re.search(rf"^\| {code.value} \|", reference("cli"), re.MULTILINE), code


def test_every_error_is_listed() -> None:
    text = reference("errors")
    bases = {errors.GoaldError, errors.RetryableError, errors.PermanentError}
    for name, found in inspect.getmembers(errors, inspect.isclass):
        if issubclass(found, errors.GoaldError) and found not in bases:
            kind = "retryable" if issubclass(found, errors.RetryableError) else "permanent"
            assert re.search(rf"^\|.*`{name}`.* \| {kind} \|", text, re.MULTILINE), name


def test_every_key_in_redis_is_listed() -> None:
    text = reference("streams")
    found: set[str] = set()
    for source in SOURCES:
        found |= set(re.findall(r'"(goald:[a-z_]+)', source.read_text(encoding="utf-8")))
    assert len(found) >= 10
    for key in found - {"goald:leader"}:  # the name of a lease in Postgres
        assert f"`{key}" in text, key


def test_every_goal_type_and_event_type_is_listed() -> None:
    for goal_type, event_type in LISTENS_TO.items():
        assert f"| `{goal_type}` | `{event_type}` |" in reference("rules")
        assert f"| `{event_type}` |" in reference("streams")


def test_every_table_is_listed() -> None:
    text = reference("tables-and-roles")
    for script in sorted((ROOT / "src/goald/migrations").rglob("*.sql")):
        for table in re.findall(r"CREATE TABLE goald\.(\w+)", script.read_text(encoding="utf-8")):
            assert f"`{table}`" in text, table


def test_every_rule_has_a_section() -> None:
    text = reference("rules")
    for rule in [f"E{n}" for n in range(1, 11)] + [f"D{n}" for n in range(1, 13)]:
        assert f"\n### {rule}\n" in text, rule


def test_the_guide_explains_every_reason_of_a_dry_run() -> None:
    guide = (ROOT / "docs/how-to/find-out-why-there-is-no-exit.md").read_text(encoding="utf-8")
    for model in (Explanation, ExplainedEnrollment, ExplainedGoal):
        description = model.model_fields["reason"].description or ""
        reasons = set(re.findall(r"`([^`]+)`", description)) - {"effective_from"}
        assert reasons
        for reason in reasons:
            assert f"`{reason}`" in guide, reason
