"""The document of a definition as it is stored."""

from decimal import Decimal
from typing import Any

import pytest

from goald.domain.definitions.documents import MAX_DOCUMENT_BYTES, document_digest, document_text
from goald.domain.errors import InvalidConfiguration


def test_the_text_keeps_the_order_and_every_digit() -> None:
    document = {"b": [Decimal("1.50"), 1, True, None, 'ä"\n'], "a": {}}
    assert document_text(document) == '{"b":[1.50,1,true,null,"ä\\"\\n"],"a":{}}'


def test_the_digest_does_not_depend_on_order_and_form() -> None:
    first = document_digest({"a": Decimal("1.50"), "b": [1, {"c": "d", "e": 2}]})
    assert (
        document_digest({"b": [Decimal("1.0"), {"e": 2, "c": "d"}], "a": Decimal("1.5")}) == first
    )
    assert document_digest({"a": "1.50", "b": [1, {"c": "d", "e": 2}]}) != first
    assert document_digest({"a": Decimal("1.50"), "b": [{"c": "d", "e": 2}, 1]}) != first


@pytest.mark.parametrize(
    "value",
    ["a\0", "\ud800", float("nan"), 10**65, Decimal("NaN"), Decimal("1e70"), {1: "a"}, {"\0": 1}],
)
def test_what_cannot_be_stored_is_refused(value: Any) -> None:
    with pytest.raises(InvalidConfiguration):
        document_text({"a": [value]})


def test_a_document_is_limited_in_size_and_depth() -> None:
    assert document_text({"a": "x" * (MAX_DOCUMENT_BYTES - 8)})
    with pytest.raises(InvalidConfiguration, match="more than 262,144"):
        document_text({"a": "x" * (MAX_DOCUMENT_BYTES - 7)})
    deep: Any = "x"
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(InvalidConfiguration, match="64 deep"):
        document_text({"a": deep})
