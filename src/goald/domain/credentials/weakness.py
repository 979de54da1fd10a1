"""Detection of secrets and keys that anyone can guess, such as 32 zero bytes."""

from itertools import pairwise
from typing import Final

MIN_DISTINCT: Final = 8
"""Random bytes have fewer different values than this once in 10^16 secrets of 24 bytes, random
hexadecimal digits once in 10^5."""


def weakness_of(secret: bytes) -> str | None:
    """Return why a secret of 24 bytes or more is trivially weak, as the end of a message to its
    owner; None if it is not. Finds placeholders, not every bad choice."""
    if len(set(secret)) == 1:
        return "all its bytes are equal"
    if len(set(secret)) < MIN_DISTINCT:
        return f"it has only {len(set(secret))} different bytes"
    for period in range(1, len(secret) // 2 + 1):
        if secret[period:] == secret[:-period]:
            return f"it repeats the same {period} bytes"
    steps = {(after - before) % 256 for before, after in pairwise(secret)}
    if len(steps) == 1:
        return "its bytes only count up or down"
    return None
