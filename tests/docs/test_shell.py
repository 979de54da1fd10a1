"""How expected output is compared with printed output."""

import pytest
from tests.docs.shell import matches


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("Sent 2 events in 0.0 s.", "Sent 2 events in 13.4 s."),
        ("14:11:35.247  acme  bob", "09:00:00.001  acme  bob"),
        ("the id is …", "the id is anything at all"),
        ("at http://127.0.0.1:8080", "at http://127.0.0.1:41233"),
    ],
)
def test_what_differs_from_run_to_run_is_not_compared(expected: str, printed: str) -> None:
    assert matches([expected], printed + "\n")


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("Sent 2 events in 0.0 s.", "Sent 3 events in 0.0 s."),
        ("acme  bob", "acme  eve"),
        ("one", "one\ntwo"),
    ],
)
def test_everything_else_is_compared(expected: str, printed: str) -> None:
    assert not matches([expected], printed + "\n")


def test_a_line_of_dots_stands_for_any_lines() -> None:
    assert matches(["first", "...", "last"], "first\na\nb\nlast\n")
    assert not matches(["first", "...", "last"], "first\na\nb\n")
