"""The sources of `goald apply`: the changes that make a tenant's sources equal to a file."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from goald.configuration.secrets import SourceDefinition
from goald.domain.configuration.desired_reader import format_path
from goald.domain.credentials.sources import (
    MAX_SOURCES,
    SourceChange,
    SourceEntry,
    digest_of,
    overrides_text,
)
from goald.domain.errors import (
    InvalidConfiguration,
    InvalidFile,
    NotFound,
    SecretDamaged,
    ServiceUnavailable,
)
from goald.domain.ids import NOT_AN_ID, is_id
from goald.ports.sources.deliveries import DeliveryLog
from goald.ports.sources.store import SourceStore
from goald.sources.compiled import Source, compile_source


@dataclass(frozen=True, slots=True)
class SourceEdit:
    """The change of one source. `before` is None for a new source, `after` for a deleted one."""

    before: SourceEntry | None
    after: SourceDefinition | None
    changes_secrets: bool = False
    notes: tuple[str, ...] = ()
    """Of a source that is created or changed: see `document_notes`."""

    @property
    def name(self) -> str:
        row = self.after if self.after is not None else self.before
        return "" if row is None else row.name

    @property
    def action(self) -> Literal["create", "update", "delete"]:
        if self.before is None:
            return "create"
        return "update" if self.after is not None else "delete"


class SourceConfiguration:
    """Plans and makes the changes of a tenant's sources. Each call may raise ServiceUnavailable."""

    def __init__(
        self,
        store: SourceStore,
        deliveries: DeliveryLog | None,
        *,
        has_public_url: bool,
        url_of: Callable[[str, str, str], str],
        new_key: Callable[[], str],
    ) -> None:
        """`deliveries`: where the deliveries of a deleted source are deleted; if None, they
        expire. `has_public_url`: whether GOALD_PUBLIC_URL is set. `url_of`: the URL for a tenant,
        a name and a key. `new_key`: returns an unpredictable key of KEY_BYTES bytes."""
        self._store = store
        self._deliveries = deliveries
        self._has_public_url = has_public_url
        self._url_of = url_of
        self._new_key = new_key

    async def plan(
        self, tenant: str, definitions: Sequence[SourceDefinition], *, prune: bool
    ) -> list[SourceEdit]:
        """Return the changes that make the tenant's sources equal to these; none if they are.
        Without `prune` no source is deleted.

        Raises InvalidFile with a line for each fault of a source, which names its place; and
        EncryptionKeyMissing if secrets must be compared and cannot be decrypted.
        """
        current = {entry.name: entry for entry in await self._store.list(tenant)}
        edits: list[SourceEdit] = []
        faults: list[str] = []
        for index, definition in enumerate(definitions):
            before = current.get(definition.name)
            if not is_id(definition.name):
                faults.append(f"sources[{index}].name: {NOT_AN_ID}")
            try:
                edit = await self._edit(tenant, definition, before)
            except InvalidConfiguration as error:
                faults += _lines(index, definition, error)
            else:
                edits += [edit] if edit is not None else []
        listed = {definition.name for definition in definitions}
        unlisted = [entry for name, entry in current.items() if name not in listed]
        if len(listed) + (0 if prune else len(unlisted)) > MAX_SOURCES:
            faults.append(f"sources: a tenant may have {MAX_SOURCES} sources")
        if faults:
            raise InvalidFile("\n".join(faults))
        # Deleted first, so that the limit is not exceeded on the way.
        return [SourceEdit(entry, None) for entry in unlisted if prune] + edits

    async def write(
        self,
        tenant: str,
        edits: Sequence[SourceEdit],
        actor: str,
        on_created: Callable[[str, str], None],
    ) -> None:
        """Make planned changes, each in a separate transaction: after an error, those before it
        are made, and a new plan has the others. `on_created`: called with the name and the URL of
        each new source, which cannot be read again."""
        for edit in edits:
            if edit.after is None:
                await self._store.delete(tenant, edit.name, actor)
                if self._deliveries is not None:
                    with suppress(ServiceUnavailable):  # they expire
                        await self._deliveries.clear(tenant, edit.name)
                continue
            key, after = self._new_key(), edit.after
            change = SourceChange(after.preset, after.overrides, digest_of(key), after.secrets)
            if await self._store.put(tenant, edit.name, change, actor):
                on_created(edit.name, self._url_of(tenant, edit.name, key))

    async def _edit(
        self, tenant: str, after: SourceDefinition, before: SourceEntry | None
    ) -> SourceEdit | None:
        """Return the change of one source; None if there is none. Raises InvalidConfiguration."""
        source = self._source(after)
        if after.secrets is not None:
            source.parse_secrets(after.secrets)
        if before is None:
            if after.secrets is None:
                source.parse_secrets(())
            return SourceEdit(None, after, bool(after.secrets), source.notes)
        is_same = before.preset == after.preset and (
            overrides_text(before.overrides) == overrides_text(after.overrides)
        )
        if after.secrets is None:
            if not is_same:
                await self._check_kept_secrets(tenant, source, before)
            return None if is_same else SourceEdit(before, after, notes=source.notes)
        changes_secrets = await self._changes_secrets(tenant, after.secrets, before)
        if is_same and not changes_secrets:
            return None
        return SourceEdit(before, after, changes_secrets, source.notes)

    def _source(self, definition: SourceDefinition) -> Source:
        overrides_text(definition.overrides)
        try:
            source = compile_source(definition.preset, definition.overrides)
        except NotFound as error:
            raise InvalidConfiguration(str(error), [("/preset", str(error))]) from None
        if source.signs_url and not self._has_public_url:
            fault = (
                "the provider signs the URL that it calls: set GOALD_PUBLIC_URL, such as "
                "https://goald.example.com, here and for the API"
            )
            raise InvalidConfiguration(fault, [("/preset", fault)])
        return source

    async def _check_kept_secrets(self, tenant: str, source: Source, before: SourceEntry) -> None:
        stored = await self._store.load(tenant, before.name) if before.secret_count else None
        try:
            source.parse_secrets(stored.secrets if stored is not None else ())
        except InvalidConfiguration:
            fault = "the secrets of the existing source do not fit: set `secrets`"
            raise InvalidConfiguration(fault, [("/secrets", fault)]) from None

    async def _changes_secrets(
        self, tenant: str, secrets: tuple[str, ...], before: SourceEntry
    ) -> bool:
        if len(secrets) != before.secret_count:
            return True
        if not secrets:
            return False
        try:
            stored = await self._store.load(tenant, before.name)
        except SecretDamaged:
            return True
        return stored is None or stored.secrets != secrets


def _lines(index: int, definition: SourceDefinition, error: InvalidConfiguration) -> list[str]:
    """Return a line for each fault, with its place in the file."""
    faults = error.faults or [("/overrides", str(error))]
    return [f"{_place(index, definition, pointer)}: {fault}" for pointer, fault in faults]


def _place(index: int, definition: SourceDefinition, pointer: str) -> str:
    """Return the path in the file of a JSON pointer into a source's document."""
    keys: list[str | int] = [
        int(key) if key.isascii() and key.isdecimal() else key
        for key in (part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    ]
    outside = {"preset", "secrets", "overrides", *(["contact"] if definition.has_contact else [])}
    if not keys or keys[0] not in outside:
        keys = ["overrides", *keys]
    return format_path(["sources", index, *keys])
