"""Exact amounts of money (E2), with the limits of D9."""

import math
import re
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

MAX_DIGITS = 18
FLOAT_PLACES = Decimal("0.0001")

_DECIMAL = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?")


class InvalidAmountError(ValueError):
    """The value is not an amount; the event is refused."""


def exact(value: object) -> Decimal:
    """The exact value of a decoded `amount`: an integer, a decimal string or a float.

    Raises InvalidAmountError for other types, and for more than 18 digits.
    """
    # bool is a subclass of int, but not an amount.
    if isinstance(value, bool):
        raise InvalidAmountError("a truth value")
    if isinstance(value, int):
        return _from_text(str(value))
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, float):
        return _from_float(value)
    raise InvalidAmountError(f"a {type(value).__name__}")


def _from_text(text: str) -> Decimal:
    """All digits count, except for leading zeros."""
    found = _DECIMAL.fullmatch(text)
    if found is None:
        raise InvalidAmountError("not a decimal")
    digits = (found[1] + (found[2] or "")).lstrip("0")
    if len(digits) > MAX_DIGITS:
        raise InvalidAmountError("more than 18 digits")
    return Decimal(text)


def _from_float(value: float) -> Decimal:
    """The shortest decimal representation of the float, rounded half-even to 4 decimals.

    A double has at most 17 significant digits, so only the digits before the point can exceed
    the limit.
    """
    if not math.isfinite(value):
        raise InvalidAmountError("not finite")
    with localcontext() as context:
        context.prec = 400
        rounded = Decimal(repr(value)).quantize(FLOAT_PLACES, rounding=ROUND_HALF_EVEN)
    if len(str(abs(int(rounded)))) > MAX_DIGITS:
        raise InvalidAmountError("more than 18 digits")
    return rounded
