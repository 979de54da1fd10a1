"""The guards of sources: secrets, keys and limits."""

from tests.fault.guards.guard import Edit, Guard

SOURCE_STORE = "tests/contract/sources/test_source_store.py"
SECRETS = "tests/integration/api/auth/test_encrypted_secrets.py"
_POSTGRES = "src/goald/adapters/postgres/sources.py"
_TABLES = "src/goald/adapters/postgres/secret_tables.py"
_DOMAIN = "src/goald/domain/credentials/sources.py"

SOURCE_GUARDS = (
    Guard(
        "sources: secrets decrypt only in the row of their tenant",
        "D8",
        (Edit(_POSTGRES, 'return ("sources", tenant, name)', 'return ("sources", name)'),),
        (SECRETS,),
    ),
    Guard(
        "sources: a rotation of keys does not undo a change of secrets",
        "D11",
        (
            Edit(
                _TABLES,
                " AND %s::bytea IS NULL AND encrypted_secrets = %s\n",
                " AND %s::bytea IS NULL AND %s::bytea IS NOT NULL\n",
            ),
        ),
        (SECRETS,),
    ),
    Guard(
        "sources: the key before a rotation expires",
        "D8",
        (
            Edit(
                _DOMAIN,
                " or (is_previous and now_us < self.previous_expires_at_us)",
                " or is_previous",
            ),
        ),
        (SOURCE_STORE,),
    ),
    Guard(
        "sources: secrets are decrypted only for a caller with the key in the path",
        "D8",
        (Edit(_POSTGRES, "if not keys.accepts(key, now_us) or row is None:", "if row is None:"),),
        (SOURCE_STORE,),
    ),
    Guard(
        "sources: a tenant has a bounded number of them",
        "D9",
        (Edit(_POSTGRES, ">= MAX_SOURCES", ">= MAX_SOURCES * 9"),),
        (SOURCE_STORE,),
    ),
    Guard(
        "sources: text that Postgres cannot store is refused",
        "D9",
        (Edit(_DOMAIN, 'if r"\\u0000" in text.replace(r"\\\\", ""):', "if False:"),),
        (SOURCE_STORE,),
    ),
)
"""The guards, in the order in which a run checks them."""
