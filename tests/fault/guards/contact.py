"""The guards of contacts, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

_CONTRACT = "tests/contract/shard_store/test_shard_store_contacts.py"
_PROJECTION = "tests/unit/contacts/test_projection.py"
_SCOPES = "tests/integration/api/contacts/test_contacts.py"
_PERMISSIONS = "src/goald/api/auth/event_permissions.py"

CONTACT_GUARDS = (
    Guard(
        "contacts: an event from before the deletion of its contact is not recorded",
        "D1",
        (
            Edit(
                "src/goald/adapters/postgres/shard/contacts.py",
                "if tombstone is None or row.time > tombstone.deleted_at:",
                "if True:",
            ),
            Edit(
                "src/goald/adapters/memory/contact_rows.py",
                "if tombstone is None or row.time > tombstone.deleted_at:",
                "if True:",
            ),
        ),
        (_CONTRACT,),
    ),
    Guard(
        "contacts: a repeated event does not undo another one of the same time",
        "D1",
        (
            Edit(
                "src/goald/domain/contacts/projection.py",
                "return bool(source.time == stamp[0]) and source.key[:KEY_CHARS] not in stamp[1:]",
                "return bool(source.time == stamp[0])",
            ),
        ),
        (_PROJECTION, _CONTRACT),
    ),
    Guard(
        "contacts: a late event does not restore a removed value",
        "D1",
        (
            Edit(
                "src/goald/domain/contacts/projection.py",
                "if stamp is None or source.time > stamp[0]:",
                "if True:",
            ),
        ),
        (_PROJECTION, _CONTRACT),
    ),
    Guard(
        "contacts: a token for events does not change or delete contacts",
        "D8",
        (
            Edit(
                _PERMISSIONS,
                "        return _without_contacts(found, caller), Counter()\n",
                "        return found, Counter()\n",
            ),
        ),
        (_SCOPES,),
    ),
)
