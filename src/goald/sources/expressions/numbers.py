"""Exact numbers in deliveries: decimals from numbers and text, never floats."""

import re
from decimal import Context, Decimal
from typing import Any, Final

MAX_DIGITS: Final = 18
"""Digits of an amount, in all and after the point."""
EXACT: Final = Context(prec=128)
"""For sums and shifts: nothing is rounded."""
_MAX_EXPONENT: Final = 40
_DECIMAL: Final = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII
)


def decimal_of(value: Any) -> Decimal | None:
    """Return the exact decimal of an integer, a Decimal or decimal text; None for anything else,
    and for a number beyond 10^±40. Text may have spaces around it, a sign and an exponent, but no
    thousands separator, which would be ambiguous."""
    number: Decimal | None = None
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, str):
        text = value.strip()
        if len(text) <= 2 * _MAX_EXPONENT and _DECIMAL.fullmatch(text):
            number = Decimal(text)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = Decimal(value) if value.bit_length() <= 4 * _MAX_EXPONENT else None
    return number if number is not None and _is_moderate(number) else None


def _is_moderate(number: Decimal) -> bool:
    return number.is_finite() and (
        -_MAX_EXPONENT <= number.adjusted() <= _MAX_EXPONENT
        and len(number.as_tuple().digits) <= 2 * _MAX_EXPONENT
    )


def amount_text(value: Decimal) -> str | None:
    """Return an amount as decimal text without an exponent, such as `19.90`; None beyond
    MAX_DIGITS digits. Trailing zeros stay unless they alone exceed the limit."""
    text = format(value, "f") if value else "0"
    digits, _, decimals = text.lstrip("+-").partition(".")
    if len(digits.lstrip("0")) + len(decimals) > MAX_DIGITS and "." in text:
        text = text.rstrip("0").rstrip(".")
        digits, _, decimals = text.lstrip("+-").partition(".")
    return text if len(digits.lstrip("0")) + len(decimals) <= MAX_DIGITS else None


def from_minor_units(value: Decimal, exponent: int) -> Decimal:
    """Return an amount of minor units, such as cents, in units of the currency."""
    return value.scaleb(-exponent, EXACT)
