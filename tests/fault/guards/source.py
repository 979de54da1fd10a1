"""The guards of sources: secrets, keys and limits."""

from tests.fault.guards.guard import Edit, Guard

SOURCE_STORE = "tests/contract/sources/test_source_store.py"
SECRETS = "tests/integration/api/auth/test_encrypted_secrets.py"
_POSTGRES = "src/goald/adapters/postgres/sources.py"
_TABLES = "src/goald/adapters/postgres/secret_tables.py"
_DOMAIN = "src/goald/domain/credentials/sources.py"
HOOKS = "tests/integration/api/sources/test_hooks.py"
DELIVERY_LOG = "tests/contract/sources/test_delivery_log.py"
CERTIFICATES = "tests/unit/api/sources/test_certificates.py"
PATHS = "tests/unit/api/test_paths.py"
_RECEIVER = "src/goald/api/sources/receiver.py"
_LOG = "src/goald/adapters/redis/deliveries.py"
_CERTIFICATES = "src/goald/api/sources/certificates.py"
_PATHS = "src/goald/api/http/paths.py"
_VALIDATION = "src/goald/api/sources/validation.py"
HOOK_BODIES = "tests/integration/api/sources/test_hook_bodies.py"
OPENED = "tests/unit/api/sources/test_opened_sources.py"
_OPENED = "src/goald/api/sources/opened.py"
SOURCE_CHANGES = "tests/unit/configuration/test_source_changes.py"
SOURCE_SECRETS = "tests/unit/configuration/test_source_secrets.py"
SOURCE_COMMANDS = "tests/integration/cli/test_sources.py"
_CHANGES = "src/goald/configuration/sources.py"
_FILE_SECRETS = "src/goald/configuration/secrets.py"
_APPLY = "src/goald/cli/commands/configuration/apply.py"
EVENT_TIMES = "tests/unit/sources/test_event_times.py"
_BUILDER = "src/goald/sources/mapping/event_builder.py"

SOURCE_GUARDS = (
    Guard(
        "sources: a sender without the key takes no memory",
        "D8",
        (
            Edit(
                "src/goald/api/routes/hooks.py",
                "keep=stored is not None\n",
                "keep=True\n",
            ),
        ),
        (HOOK_BODIES,),
    ),
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
    Guard(
        "sources: a delivery with a wrong signature is refused",
        "D8",
        (Edit(_RECEIVER, "if not verification.verified:", "if False:"),),
        (HOOKS,),
    ),
    Guard(
        "sources: a forged delivery hides no genuine one",
        "D8",
        (Edit(_LOG, "{'v' if verified else 'u'}", "{'v'}"),),
        (DELIVERY_LOG,),
    ),
    Guard(
        "sources: recorded deliveries expire with the time for erasures",
        "D9",
        (Edit(_LOG, "min(kept_seconds, KEPT_S) / 2", "KEPT_S / 2"),),
        (DELIVERY_LOG,),
    ),
    Guard(
        "sources: a certificate is fetched without redirects",
        "D8",
        (Edit(_CERTIFICATES, "follow_redirects=False", "follow_redirects=True"),),
        (CERTIFICATES,),
    ),
    Guard(
        "sources: a certificate is bounded in size",
        "D8",
        (Edit(_CERTIFICATES, "if len(pem) > MAX_PEM:", "if False:"),),
        (CERTIFICATES,),
    ),
    Guard(
        "sources: logs do not contain the key of a path",
        "D8",
        (Edit(_PATHS, "if not path.startswith(HOOKS):", "if True:"),),
        (PATHS,),
    ),
    Guard(
        "sources: a request that is no delivery is not taken for one",
        "D8",
        (Edit(_RECEIVER, 'if delivery.method != "POST":', "if False:"),),
        (HOOKS,),
    ),
    Guard(
        "sources: kept secrets fit the scheme of a replaced source",
        "D8",
        (Edit(_VALIDATION, "        source.parse_secrets(kept)\n", "        pass\n"),),
        ("tests/integration/api/sources/test_sources.py",),
    ),
    Guard(
        "sources: a kept source is read again after a second",
        "D8",
        (Edit(_OPENED, "and self._clock.monotonic() < until", "and until"),),
        (OPENED,),
    ),
    Guard(
        "sources: a cancelled delivery refuses none that waits for its read",
        "D8",
        (Edit(_OPENED, "await asyncio.shield(reading)", "await reading"),),
        (OPENED,),
    ),
    Guard(
        "sources: a kept source is opened only with its key",
        "D8",
        (
            Edit(_OPENED, "place = tenant, name, digest_of(key)", 'place = tenant, name, b""'),
            Edit(_OPENED, "and stored.keys.accepts(key, now_us)", "and True"),
        ),
        (OPENED,),
    ),
    Guard(
        "sources: a previous key that expires does not open a kept source",
        "D8",
        (Edit(_OPENED, "and stored.keys.accepts(key, now_us)", "and True"),),
        (OPENED,),
    ),
    Guard(
        "apply: a faulty source is refused before anything is written",
        "E10",
        (Edit(_CHANGES, "        if faults:\n", "        if False:\n"),),
        (SOURCE_CHANGES,),
    ),
    Guard(
        "apply: secrets that the provider's scheme cannot check are refused",
        "D8",
        (Edit(_CHANGES, "source.parse_secrets(after.secrets)", "pass"),),
        (SOURCE_CHANGES,),
    ),
    Guard(
        "apply: kept secrets fit the scheme of a changed source",
        "D8",
        (Edit(_CHANGES, "await self._check_kept_secrets(tenant, source, before)", "pass"),),
        (SOURCE_CHANGES,),
    ),
    Guard(
        "apply: --prune deletes no source if the file has no section for them",
        "E10",
        (Edit(_APPLY, "if desired.sources is None:", "if False:"),),
        (SOURCE_COMMANDS,),
    ),
    Guard(
        "apply: the URL of a source that was created is printed if a later one fails",
        "E10",
        (
            Edit(
                _APPLY,
                "for name, url in outcome.urls.items():\n            complain",
                "for name, url in ():\n            complain",
            ),
        ),
        (SOURCE_COMMANDS,),
    ),
    Guard(
        "sources: a placeholder for no time is the time of arrival",
        "E20",
        (Edit(_BUILDER, "if time_us <= 0:", "if False:"),),
        (EVENT_TIMES,),
    ),
    Guard(
        "apply: a secret of a file is not in the text of an object",
        "D8",
        (Edit(_FILE_SECRETS, "field(repr=False)", "field()"),),
        (SOURCE_SECRETS,),
    ),
)
"""The guards, in the order in which a run checks them."""
