"""docs/reference/requirements.md leads from each scenario of the spec to its test."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = ROOT.parent / "shared/spec/goal-tracking-acceptance.md"
ROW = re.compile(r"^\| (R\d+) \| (.+) \| `(\w+\.py)::(\w+)` \|$", re.MULTILINE)
TABLE = ROW.findall((ROOT / "docs/reference/requirements.md").read_text(encoding="utf-8"))


def names_in(file: str) -> set[str]:
    """The names of a file's tests."""
    tree = ast.parse((ROOT / "tests/acceptance" / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def spec() -> str:
    if not SPEC.is_file():
        pytest.skip("the spec is not next to this repository")
    return SPEC.read_text(encoding="utf-8")


def test_every_test_in_the_table_is_there_and_named_after_its_scenario() -> None:
    assert len(TABLE) > 0
    for _, scenario, file, name in TABLE:
        assert name == "test_" + re.sub(r"[^a-z0-9]+", "_", scenario.lower()).strip("_")
        assert name in names_in(file)


def test_every_scenario_of_the_spec_is_in_the_table_once() -> None:
    scenarios = re.findall(r"^#### Scenario: (.+)$", spec(), re.MULTILINE)
    assert len(scenarios) == 28
    assert sorted(scenario for _, scenario, _, _ in TABLE) == sorted(scenarios)


def test_every_requirement_has_its_names_in_the_file_that_the_spec_names() -> None:
    traced = re.findall(r"^\| (R\d+) \| .+ \| (test_\w+\.py) \|$", spec(), re.MULTILINE)
    assert {requirement for requirement, _ in traced} == {f"R{n}" for n in range(1, 14)}
    assert {(requirement, file) for requirement, _, file, _ in TABLE} == set(traced)
