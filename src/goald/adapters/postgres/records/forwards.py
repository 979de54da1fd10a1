"""Which contact continues another one (E21), as its tenant reads it."""

from collections.abc import Iterable, Mapping
from typing import Any

from goald.adapters.postgres.shard.merging.merges import end_of

KEY_OF_TENANT = """
SELECT secret FROM goald.forward_secret
WHERE EXISTS (SELECT FROM goald.forwards WHERE tenant_id = $1)
"""
"""The secret of the keys of forwards; no row for a tenant that has merged no contacts."""


async def continuing(connection: Any, tenant: str, contact: str) -> str:
    """Return the contact that continues this one: itself, if it was not merged. In the transaction
    of the caller."""
    return (await continuing_each(connection, tenant, [contact])).get(contact, contact)


async def continuing_each(
    connection: Any, tenant: str, contacts: Iterable[str]
) -> Mapping[str, str]:
    """As `continuing`, for each of these contacts, in one call for a tenant without merges: then
    the result is empty."""
    key = await connection.fetchval(KEY_OF_TENANT, tenant)
    if key is None:
        return {}
    return {each: await end_of(connection, key, tenant, each) for each in contacts}
