"""Ids that goald makes: derived from what they name, so that a repeat makes the same one
(3.1). Any language can compute them."""

from typing import Final
from uuid import NAMESPACE_DNS, UUID, uuid5

_NAMESPACE: Final = uuid5(NAMESPACE_DNS, "goald")


def derived_id(*parts: str) -> UUID:
    """The UUIDv5 of the parts in goald's namespace. Each goes in behind its length in bytes,
    so that no two lists of parts make the same name.

    >>> str(derived_id("acme", "e-1")) == str(uuid5(_NAMESPACE, "4:acme3:e-1"))
    True
    """
    return uuid5(_NAMESPACE, "".join(f"{len(part.encode())}:{part}" for part in parts))
