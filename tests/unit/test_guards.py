"""`make mutation` finds the source text of each guard, and its tests."""

from pathlib import Path

import pytest
from tests.fault.guards import GUARDS
from tests.fault.guards.guard import Guard

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: str(guard.name))
def test_the_source_of_each_guard_occurs_once_and_its_tests_exist(guard: Guard) -> None:
    for edit in guard.edits:
        assert edit.path.startswith(("src/", "native/"))
        text = (ROOT / edit.path).read_text(encoding="utf-8")
        assert text.count(edit.text) == 1, edit
        assert edit.text != edit.instead
    for test in guard.tests:
        assert (ROOT / test).is_file(), test
