"""The sources of tenants, in memory."""

import json
from collections.abc import Sequence
from dataclasses import replace

from goald.domain.credentials.sources import (
    MAX_SOURCES,
    PathKeys,
    SourceChange,
    SourceEntry,
    StoredSource,
    overrides_text,
)
from goald.domain.errors import TooManySources
from goald.ports.clock import Clock


class MemorySources:
    """`ports.SourceStore`. Secrets are not encrypted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rows: dict[tuple[str, str], StoredSource] = {}

    async def open(self, tenant: str, name: str, key: str, now_us: int) -> StoredSource | None:
        row = self._rows.get((tenant, name))
        return row if row is not None and row.keys.accepts(key, now_us) else None

    async def load(self, tenant: str, name: str) -> StoredSource | None:
        return self._rows.get((tenant, name))

    async def find(self, tenant: str, name: str) -> SourceEntry | None:
        row = self._rows.get((tenant, name))
        return None if row is None else row.entry

    async def list(self, tenant: str) -> Sequence[SourceEntry]:
        return [row.entry for key, row in sorted(self._rows.items()) if key[0] == tenant]

    async def put(self, tenant: str, name: str, change: SourceChange, actor: str) -> bool:
        overrides = json.loads(overrides_text(change.overrides))
        now_us = self._clock.now_us()
        row = self._rows.get((tenant, name))
        if row is None:
            if sum(owner == tenant for owner, _ in self._rows) >= MAX_SOURCES:
                raise TooManySources(f"A tenant may have {MAX_SOURCES} sources.")
            entry = SourceEntry(name, "", {}, 0, now_us, now_us, now_us, None)
            created = StoredSource(entry, (), PathKeys(change.key_digest))
        else:
            created = row
        secrets = created.secrets if change.secrets is None else change.secrets
        entry = replace(
            created.entry,
            preset=change.preset,
            overrides=overrides,
            secret_count=len(secrets),
            updated_at_us=now_us,
        )
        self._rows[tenant, name] = replace(created, entry=entry, secrets=secrets)
        return row is None

    async def rotate_key(
        self, tenant: str, name: str, digest: bytes, previous_expires_at_us: int | None, actor: str
    ) -> bool:
        row = self._rows.get((tenant, name))
        if row is None:
            return False
        keys = PathKeys(digest)
        if previous_expires_at_us is not None:
            keys = PathKeys(digest, row.keys.digest, previous_expires_at_us)
        entry = replace(
            row.entry,
            key_created_at_us=self._clock.now_us(),
            previous_key_expires_at_us=previous_expires_at_us,
        )
        self._rows[tenant, name] = replace(row, entry=entry, keys=keys)
        return True

    async def delete(self, tenant: str, name: str, actor: str) -> bool:
        return self._rows.pop((tenant, name), None) is not None
