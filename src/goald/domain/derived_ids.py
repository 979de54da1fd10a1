"""Ids that goald derives from content, so that a repeated event produces the same ids. Any
language can compute them (docs/reference/streams.md)."""

from typing import Final
from uuid import NAMESPACE_DNS, UUID, uuid5

_NAMESPACE: Final = uuid5(NAMESPACE_DNS, "goald")


def derived_id(*parts: str) -> UUID:
    """The UUIDv5 of the parts in goald's namespace. Each part is prefixed by its length in bytes,
    so that different parts never give the same name.

    >>> str(derived_id("acme", "e-1")) == str(uuid5(_NAMESPACE, "4:acme3:e-1"))
    True
    """
    return uuid5(_NAMESPACE, "".join(f"{len(part.encode())}:{part}" for part in parts))


def requested_execution_id(tenant: str, workflow: str, contact: str, key: str) -> str:
    """The id of the execution that a request with this key starts (X9). The same text is derived in
    native/matcher/src/executions/ids.rs."""
    return str(derived_id("execution", "request", tenant, workflow, contact, key))
