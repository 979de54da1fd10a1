"""The tables that have encrypted secrets, for a rotation of keys."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from goald.adapters.postgres import sources, webhook_secrets


@dataclass(frozen=True, slots=True)
class SecretTable:
    """The statements for one table. A row is named by its tenant and a name."""

    kind: str
    context_of: Callable[[str, str], tuple[str, ...]]
    count: bytes
    count_by_key: bytes
    outdated: bytes
    """Rows after (tenant, name) that are not encrypted under a key: tenant, name, plain secret, id
    of the key, encrypted secret. Parameters: the key, the tenant, the name, the limit."""
    replace: bytes
    """Does nothing if the secret was replaced after it was read. Parameters: id of the key,
    encrypted secret, tenant, name, and the plain and the encrypted secret that were read."""
    compact: bytes
    """Writes the table again, without the previous versions of its rows, which contain plain text.
    Locks the table for milliseconds."""


WEBHOOKS: Final = SecretTable(
    "webhook",
    webhook_secrets.context_of,
    count=b"SELECT count(*) FROM goald.webhook_secrets",
    count_by_key=b"""
SELECT key_id, count(*) FROM goald.webhook_secrets WHERE key_id IS NOT NULL
GROUP BY key_id ORDER BY key_id
""",
    outdated=b"""
SELECT tenant_id, provider, secret, key_id, encrypted_secret FROM goald.webhook_secrets
WHERE (secret IS NOT NULL OR key_id IS DISTINCT FROM %s)
  AND (tenant_id, provider) > (%s, %s)
ORDER BY tenant_id, provider LIMIT %s
""",
    replace=b"""
UPDATE goald.webhook_secrets SET secret = NULL, key_id = %s, encrypted_secret = %s
WHERE tenant_id = %s AND provider = %s
  AND secret IS NOT DISTINCT FROM %s AND encrypted_secret IS NOT DISTINCT FROM %s
""",
    compact=b"VACUUM (FULL) goald.webhook_secrets",
)

SOURCES: Final = SecretTable(
    "source",
    sources.context_of,
    count=b"SELECT count(*) FROM goald.sources WHERE encrypted_secrets IS NOT NULL",
    count_by_key=b"""
SELECT key_id, count(*) FROM goald.sources WHERE key_id IS NOT NULL
GROUP BY key_id ORDER BY key_id
""",
    outdated=b"""
SELECT tenant_id, name, NULL, key_id, encrypted_secrets FROM goald.sources
WHERE encrypted_secrets IS NOT NULL AND key_id <> %s
  AND (tenant_id, name) > (%s, %s)
ORDER BY tenant_id, name LIMIT %s
""",
    replace=b"""
UPDATE goald.sources SET key_id = %s, encrypted_secrets = %s
WHERE tenant_id = %s AND name = %s AND %s::bytea IS NULL AND encrypted_secrets = %s
""",
    compact=b"VACUUM (FULL) goald.sources",
)

TABLES: Final = (WEBHOOKS, SOURCES)
"""Every table that has encrypted secrets."""
