"""The `key=value` arguments of `goald send`, as the data of an event."""

from typing import Any

import pytest
import typer

from goald.cli.input import fields


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("pending_actions=3", {"pending_actions": 3}),
        ("amount=-5", {"amount": -5}),
        ("amount=100.00", {"amount": "100.00"}),
        ("amount=123456789012345.123", {"amount": "123456789012345.123"}),
        ("amount=1e3", {"amount": "1e3"}),
        ("code=007", {"code": "007"}),
        ("flag=true", {"flag": True}),
        ("flag=null", {"flag": None}),
        ("product_id=42", {"product_id": "42"}),
        ("tag_name=true", {"tag_name": "true"}),
        ("tag_name=", {"tag_name": ""}),
        ("note=a=b c", {"note": "a=b c"}),
        ('line_items:=[{"product_id": "p"}]', {"line_items": [{"product_id": "p"}]}),
        ("amount:=12", {"amount": 12}),
    ],
)
def test_the_type_of_a_value_is_inferred_from_the_key_and_the_text(
    word: str, expected: dict[str, Any]
) -> None:
    assert fields.parse([word]) == expected


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["tag_name"], "not of the form key=value"),
        (["=x"], "not of the form key=value"),
        (["a=1", "a=2"], "a is given twice"),
        (["a:=[1"], "is not JSON"),
        (["contact_id=c"], "--contact"),
    ],
)
def test_an_invalid_field_is_refused_with_a_reason(words: list[str], complaint: str) -> None:
    with pytest.raises(typer.BadParameter, match=complaint):
        fields.parse(words)
