"""The guards of contacts, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

_CONTRACT = "tests/contract/shard_store/test_shard_store_contacts.py"
_PROJECTION = "tests/unit/contacts/test_projection.py"
_SCOPES = "tests/integration/api/contacts/test_contacts.py"
_KNOWN = "tests/unit/contacts/test_known.py"
_BEFORE = "tests/unit/pipeline/shard/test_known_contacts.py"
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
                "return bool(source.time == stamp[0]) and source.short_key not in stamp[1:]",
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
                "if source.time > stamp[0]:",
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
                "        if caller.grant is None:\n",
                "        if caller.grant is None:\n            return None\n        if False:\n",
            ),
        ),
        (_SCOPES,),
    ),
    Guard(
        "tags: Postgres is asked for new tags, and for the state of an enrolled contact",
        "E16, E22",
        (
            Edit(
                "src/goald/pipeline/shard/stored_facts.py",
                "        if not found and not found_excluded and not differs:\n",
                "        if not found and not found_excluded:\n",
            ),
        ),
        (_BEFORE,),
    ),
    Guard(
        "tags: the events of the group before a question are part of the answer",
        "E16, E22",
        (
            Edit(
                "src/goald/pipeline/shard/known/contacts.py",
                "                self._contact.apply(given, event.source)\n",
                "                del given\n",
            ),
        ),
        (_BEFORE,),
    ),
    Guard(
        "contacts: an event that is dated ahead and sent again changes nothing",
        "D1",
        (
            Edit(
                "src/goald/domain/contacts/projection.py",
                'if any(ahead.endswith(f"+{source.short_key}") for ahead in ahead_of(stamp)):',
                "if False:",
            ),
        ),
        ("tests/unit/contacts/test_projection.py",),
    ),
    Guard(
        "tags: a list has the same new tags when it is evaluated again",
        "E16, D1",
        (
            Edit(
                "src/goald/domain/contacts/known.py",
                "if found is not None and index[found].added_by != event[:KEY_CHARS]:",
                "if found is not None:",
            ),
        ),
        (_KNOWN, _BEFORE),
    ),
    Guard(
        "check on enrollment: what the starting event gave does not count",
        "E11, E22",
        (
            Edit(
                "src/goald/domain/contacts/known.py",
                " for tag in contact.tags if tag.added_by != key]",
                " for tag in contact.tags]",
            ),
        ),
        (_KNOWN, _BEFORE),
    ),
    Guard(
        "contacts: only the holder of the lease reads their projections",
        "D3",
        (
            Edit(
                "src/goald/adapters/postgres/shard/store.py",
                "            await require(connection, statements.READ_LEASE, lease)\n"
                "            return await read_contacts(",
                "            return await read_contacts(",
            ),
            Edit(
                "src/goald/adapters/memory/store.py",
                "        self._require(lease)\n        return read_contacts(",
                "        return read_contacts(",
            ),
        ),
        (_CONTRACT,),
    ),
    Guard(
        "check on enrollment: refused for goals that no state can meet",
        "E22",
        (
            Edit(
                "src/goald/domain/configuration/edits.py",
                "    if row.check_on_enrollment and row.goal_type not in HAS_STATE:\n",
                "    if False:\n",
            ),
        ),
        ("tests/integration/api/configuration/test_check_on_enrollment.py",),
    ),
    Guard(
        "tags: shards load a changed setting with every workflow of the tenant",
        "E10, E16",
        (
            Edit(
                "src/goald/adapters/postgres/configuration/changes.py",
                "            touched |= set(await connection.fetchval("
                "statements.WORKFLOW_IDS, tenant))\n",
                "            pass\n",
            ),
        ),
        ("tests/integration/api/configuration/test_settings.py",),
    ),
    Guard(
        "tags: a commit compares them as their tenant does",
        "E16",
        (
            Edit(
                "src/goald/adapters/postgres/shard/contacts.py",
                "            found[tenant, id_].compare_tags(by_case=by_case)\n",
                "",
            ),
            Edit(
                "src/goald/adapters/memory/contact_rows.py",
                "    contact.compare_tags(by_case=key[0] in tables.case_sensitive_tenants)\n",
                "",
            ),
        ),
        (_CONTRACT,),
    ),
    Guard(
        "tags: a late event restores no tag that was removed before case counted",
        "E16, D1",
        (
            Edit(
                "src/goald/domain/contacts/projection.py",
                "        if stamp is None and path.startswith(_EXACT):\n",
                "        if False:\n",
            ),
        ),
        (_PROJECTION,),
    ),
)
