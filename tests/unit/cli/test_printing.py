"""The output of commands: programs read its JSON, and people copy its lines."""

from decimal import Decimal

import pytest

from goald.cli.output.printing import print_json, table


def test_a_decimal_is_a_number_with_all_its_digits(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"min_amount": Decimal("123456789012345678.10")}, lines=True)
    assert capsys.readouterr().out == '{"min_amount": 123456789012345678.10}\n'


def test_text_that_looks_like_a_number_stays_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"tag_id": "100.00"}, lines=True)
    assert capsys.readouterr().out == '{"tag_id": "100.00"}\n'


def test_a_decimal_in_an_exponent_form_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([Decimal("1E+2")], lines=True)
    assert capsys.readouterr().out == "[100]\n"


def test_the_lines_of_a_table_have_no_trailing_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    table(("name", "state"), [("shard 1", "ready"), ("consumer 1", "not ready")], "Processes")
    assert capsys.readouterr().out == (
        "Processes\nname        state\nshard 1     ready\nconsumer 1  not ready\n"
    )
