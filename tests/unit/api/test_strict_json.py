"""Limits of request bodies (D9)."""

from decimal import Decimal

import pytest

from goald.api.http.bodies import strict_json
from goald.api.problems import BadRequest


def test_decimals_are_kept_exact() -> None:
    read = strict_json(b'{"min_amount": 0.1000000000000000055, "whole": 12345678901234567890}')

    assert read == {
        "min_amount": Decimal("0.1000000000000000055"),
        "whole": 12345678901234567890,
    }
    assert isinstance(read["min_amount"], Decimal)


def test_astral_characters_are_accepted_raw_and_escaped() -> None:
    assert strict_json('["🎯", "\\ud83c\\udfaf"]'.encode()) == ["🎯", "🎯"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"a": 1, "a": 2}', "duplicated"),
        (b'{"a": {"b": 1, "b": 1}}', "duplicated"),
        (b'{"a": 1, "\\u0061": 2}', "duplicated"),
        (b"[NaN]", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[-Infinity]", "Infinity"),
        (b"[1e999999999]", "digits"),
        (b"[1e-999999999]", "digits"),
        (b"[" + b"9" * 5_000 + b"]", "digits"),
        (b"[0." + b"9" * 5_000 + b"]", "digits"),
        (b'["\\u0000"]', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b'["\\ud800"]', "surrogate"),
        (b'["\\udc00\\ud800"]', "surrogate"),
        (b"\xff", "UTF-8"),
        (b'["\xed\xa0\x80"]', "UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "UTF-8"),
        (b"\xef\xbb\xbf{}", "JSON"),
        (b"{'a': 1}", "JSON"),
        (b'{"a": 1,}', "JSON"),
        (b'["a\nb"]', "JSON"),
        (b"{} {}", "JSON"),
        (b"[" * 33 + b"]" * 33, "32 levels"),
        (b"[" * 9_999, "32 levels"),
        (b'{"a":' * 9_999, "32 levels"),
        (b"{" + b",".join(b'"k%d":1' % i for i in range(65)) + b"}", "64 keys"),
        (b"[" + b"1," * 10_000 + b"1]", "10,000 values"),
        (b"[" + b"[],[]," * 4_000 + b"1]", "10,000 values"),
        (b"[" + b"[" * 20_000, "10,000 values"),
        (b'["' + b"x" * 1_025 + b'"]', "1,024 bytes"),
        (b'{"' + b"x" * 1_025 + b'": 1}', "1,024 bytes"),
        (('["' + "ü" * 513 + '"]').encode(), "1,024 bytes"),
    ],
)
def test_invalid_json_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        strict_json(body)


def test_values_at_the_limits_are_accepted() -> None:
    assert strict_json(b"[" * 32 + b"]" * 32)
    assert len(strict_json(b"[" + b"1," * 9_999 + b"1]")) == 10_000
    assert strict_json(b'["' + b"x" * 1_024 + b'"]')
    assert len(strict_json(b"{" + b",".join(b'"k%d":1' % i for i in range(64)) + b"}")) == 64
