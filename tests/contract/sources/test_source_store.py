"""The stored sources of tenants: what is stored comes back, and nothing of another tenant."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.support.services.servers import Database

from goald.adapters.keyring import Keyring
from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.sources import MemorySources
from goald.adapters.postgres.sources import PostgresSources
from goald.adapters.postgres.tenants import TenantPool
from goald.domain.credentials.sources import (
    MAX_SOURCES,
    PathKeys,
    SourceChange,
    StoredSource,
    digest_of,
)
from goald.domain.errors import EncryptionKeyMissing, InvalidConfiguration, TooManySources
from goald.ports.sources.store import SourceStore

KEY, NEXT, LAST = "0" * 32, "1" * 32, "2" * 32
MINUTE = 60_000_000
CHANGE = SourceChange(
    "stripe",
    {"let": {"zz": "body.a", "a": "zz", "b\u00e4": "a"}, "accept_tests": True},
    digest_of(KEY),
    ("whsec_one", "whsec_tw\u00f6"),
)


@pytest.fixture(params=["memory", "postgres"])
async def sources(request: pytest.FixtureRequest) -> AsyncIterator[SourceStore]:
    if request.param == "memory":
        yield MemorySources(ManualClock())
        return
    database: Database = request.getfixturevalue("database")
    pool = TenantPool(database.dsn, 4)
    yield PostgresSources(pool, Keyring([bytes(range(32))]))
    await pool.close()


async def loaded(sources: SourceStore, tenant: str = "acme", name: str = "pay") -> StoredSource:
    found = await sources.load(tenant, name)
    assert found is not None
    return found


async def test_stored_source_comes_back_with_its_secrets_and_the_order_of_its_rules(
    sources: SourceStore,
) -> None:
    assert await sources.load("acme", "pay") is None
    assert await sources.put("acme", "pay", CHANGE, "editor")

    found = await loaded(sources)

    assert (found.entry.name, found.entry.preset) == ("pay", "stripe")
    assert found.entry.overrides == CHANGE.overrides
    assert list(found.entry.overrides["let"]) == ["zz", "a", "b\u00e4"]
    assert found.secrets == ("whsec_one", "whsec_tw\u00f6")
    assert found.entry.secret_count == 2
    assert found.entry.created_at_us == found.entry.updated_at_us == found.entry.key_created_at_us
    assert found.entry.previous_key_expires_at_us is None
    assert await sources.find("acme", "pay") == found.entry
    assert await sources.list("acme") == [found.entry]


async def test_neither_secrets_nor_keys_are_in_the_text_of_a_source(sources: SourceStore) -> None:
    await sources.put("acme", "pay", CHANGE, "editor")

    text = repr(await loaded(sources)) + repr(CHANGE)

    assert "whsec" not in text
    assert repr(digest_of(KEY)) not in text


async def test_replaced_source_keeps_its_key_so_that_its_url_stays(sources: SourceStore) -> None:
    await sources.put("acme", "pay", CHANGE, "editor")
    change = SourceChange("typeform", {}, digest_of(NEXT), ("other",))

    assert not await sources.put("acme", "pay", change, "editor")

    found = await loaded(sources)
    assert (found.entry.preset, found.entry.overrides) == ("typeform", {})
    assert (found.secrets, found.entry.secret_count) == (("other",), 1)
    assert found.keys.accepts(KEY, 0)
    assert not found.keys.accepts(NEXT, 0)


@pytest.mark.parametrize("secrets", [("whsec_one",), ()])
async def test_change_without_secrets_keeps_those_that_are_stored(
    sources: SourceStore, secrets: tuple[str, ...]
) -> None:
    await sources.put("acme", "pay", replace(CHANGE, secrets=secrets), "editor")

    await sources.put("acme", "pay", replace(CHANGE, secrets=None, overrides={}), "editor")

    found = await loaded(sources)
    assert (found.secrets, found.entry.secret_count) == (secrets, len(secrets))
    assert found.entry.overrides == {}


async def test_change_to_no_secrets_removes_them(sources: SourceStore) -> None:
    await sources.put("acme", "pay", CHANGE, "editor")
    await sources.put("acme", "pay", replace(CHANGE, secrets=()), "editor")

    found = await loaded(sources)
    assert (found.secrets, found.entry.secret_count) == ((), 0)


async def test_rotated_key_overlaps_with_the_one_before_it_only(sources: SourceStore) -> None:
    await sources.put("acme", "pay", CHANGE, "editor")

    assert await sources.rotate_key("acme", "pay", digest_of(NEXT), 5 * MINUTE, "editor")
    found = await loaded(sources)
    assert found.entry.previous_key_expires_at_us == 5 * MINUTE
    assert found.keys.accepts(NEXT, 9 * MINUTE)
    assert found.keys.accepts(KEY, 5 * MINUTE - 1)
    assert not found.keys.accepts(KEY, 5 * MINUTE)

    await sources.rotate_key("acme", "pay", digest_of(LAST), 9 * MINUTE, "editor")
    keys = (await loaded(sources)).keys
    assert [keys.accepts(key, 0) for key in (KEY, NEXT, LAST)] == [False, True, True]


async def test_key_that_is_rotated_without_an_overlap_is_refused_immediately(
    sources: SourceStore,
) -> None:
    await sources.put("acme", "pay", CHANGE, "editor")
    await sources.rotate_key("acme", "pay", digest_of(NEXT), 5 * MINUTE, "editor")
    await sources.rotate_key("acme", "pay", digest_of(LAST), None, "editor")

    found = await loaded(sources)
    assert [found.keys.accepts(key, 0) for key in (KEY, NEXT, LAST)] == [False, False, True]
    assert found.entry.previous_key_expires_at_us is None
    assert found.secrets == CHANGE.secrets


async def test_source_opens_only_with_a_key_that_is_valid(sources: SourceStore) -> None:
    await sources.put("acme", "pay", CHANGE, "editor")
    await sources.rotate_key("acme", "pay", digest_of(NEXT), 5 * MINUTE, "editor")

    assert await sources.open("acme", "pay", NEXT, 9 * MINUTE) == await loaded(sources)
    assert await sources.open("acme", "pay", KEY, 4 * MINUTE) == await loaded(sources)
    assert await sources.open("acme", "pay", KEY, 5 * MINUTE) is None
    assert await sources.open("acme", "pay", LAST, 0) is None
    assert await sources.open("globex", "pay", NEXT, 0) is None
    assert await sources.open("acme", "other", NEXT, 0) is None


async def test_missing_encryption_key_shows_only_to_a_caller_with_the_key_in_the_path(
    database: Database,
) -> None:
    pool = TenantPool(database.dsn, 2)
    try:
        await PostgresSources(pool, Keyring([bytes(range(32))])).put("acme", "pay", CHANGE, "e")
        without = PostgresSources(pool, Keyring([]))

        assert await without.open("acme", "pay", NEXT, 0) is None
        assert await without.open("acme", "unknown", NEXT, 0) is None
        with pytest.raises(EncryptionKeyMissing):
            await without.open("acme", "pay", KEY, 0)
    finally:
        await pool.close()


async def test_source_of_another_tenant_is_neither_seen_nor_changed(sources: SourceStore) -> None:
    await sources.put("acme", "pay", CHANGE, "editor")
    await sources.put("globex", "pay", replace(CHANGE, secrets=("other",)), "editor")
    before = await loaded(sources)

    await sources.put("globex", "pay", replace(CHANGE, preset="custom", secrets=()), "editor")
    await sources.rotate_key("globex", "pay", digest_of(NEXT), None, "editor")
    assert await sources.delete("globex", "pay", "editor")

    assert await loaded(sources) == before
    assert await sources.list("globex") == []
    assert await sources.find("globex", "pay") is None
    assert not await sources.rotate_key("globex", "pay", digest_of(NEXT), None, "editor")


async def test_deleted_source_does_not_exist(sources: SourceStore) -> None:
    await sources.put("acme", "pay", CHANGE, "editor")

    assert await sources.delete("acme", "pay", "editor")

    assert await sources.load("acme", "pay") is None
    assert not await sources.delete("acme", "pay", "editor")
    # A new source of the same name has a new key.
    assert await sources.put("acme", "pay", replace(CHANGE, key_digest=digest_of(NEXT)), "editor")
    assert not (await loaded(sources)).keys.accepts(KEY, 0)


async def test_sources_are_listed_by_name(sources: SourceStore) -> None:
    for name in ("b", "a", "Z", "\u00e4"):
        await sources.put("acme", name, CHANGE, "editor")

    assert [entry.name for entry in await sources.list("acme")] == ["Z", "a", "b", "\u00e4"]


async def test_tenant_has_a_bounded_number_of_sources(sources: SourceStore) -> None:
    change = replace(CHANGE, secrets=())
    for number in range(MAX_SOURCES):
        await sources.put("acme", f"s-{number}", change, "editor")

    with pytest.raises(TooManySources):
        await sources.put("acme", "one-more", change, "editor")

    assert len(await sources.list("acme")) == MAX_SOURCES
    assert not await sources.put("acme", "s-0", change, "editor")
    assert await sources.put("globex", "one-more", change, "editor")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"provider": "a\0"}, "null character"),
        ({"provider": "\ud800"}, "not JSON"),
        ({"provider": "a" * (64 << 10)}, "more than 65,536"),
    ],
)
async def test_overrides_that_cannot_be_stored_are_refused_and_change_nothing(
    sources: SourceStore, overrides: dict[str, object], message: str
) -> None:
    with pytest.raises(InvalidConfiguration, match=message):
        await sources.put("acme", "pay", replace(CHANGE, overrides=overrides), "editor")

    assert await sources.list("acme") == []


@pytest.mark.parametrize("text", [r"\u0000", '`"\\u0000"`'])
async def test_escape_of_a_null_character_in_an_expression_is_stored(
    sources: SourceStore, text: str
) -> None:
    await sources.put("acme", "pay", replace(CHANGE, overrides={"kind": text}), "editor")

    assert (await loaded(sources)).entry.overrides == {"kind": text}


@pytest.mark.parametrize("wrong", ["A" * 32, "a" * 31, "a" * 33, "", "\ud800"])
def test_only_the_exact_key_is_accepted(wrong: str) -> None:
    keys = PathKeys(digest_of("a" * 32))

    assert keys.accepts("a" * 32, 0)
    assert not keys.accepts(wrong, 0)
