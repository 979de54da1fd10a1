"""The changes that make the sources of a tenant equal to a file, over a store in memory."""

from collections.abc import Sequence
from typing import Any

import pytest

from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.deliveries import MemoryDeliveries
from goald.adapters.memory.sources import MemorySources
from goald.configuration.secrets import SourceDefinition
from goald.configuration.sources import SourceConfiguration, SourceEdit
from goald.domain.credentials.sources import MAX_SOURCES, SourceEntry, StoredSource
from goald.domain.errors import InvalidFile, SecretDamaged
from goald.domain.records.deliveries import DeliveryRecord

SHOP: dict[str, Any] = {
    "provider": "Our shop",
    "scheme": {"type": "hmac", "header": "X-Sign", "encoding": "hex"},
    "events": {"paid": {"when": "body.paid", "type": "payment.completed"}},
}


class Tenant:
    """The sources of one tenant, as `goald apply` changes them."""

    def __init__(self, store: MemorySources, *, has_public_url: bool = False) -> None:
        self.store = store
        self.deliveries = MemoryDeliveries()
        self.urls: dict[str, str] = {}
        self._keys = (f"key-{number}" for number in range(1_000))
        self.configuration = SourceConfiguration(
            store,
            self.deliveries,
            has_public_url=has_public_url,
            url_of=lambda tenant, name, key: f"/hooks/{tenant}/{name}/{key}",
            new_key=lambda: next(self._keys),
        )

    async def plan(
        self, *definitions: SourceDefinition, prune: bool = False
    ) -> Sequence[SourceEdit]:
        return await self.configuration.plan("acme", definitions, prune=prune)

    async def apply(
        self, *definitions: SourceDefinition, prune: bool = False
    ) -> list[tuple[str, str]]:
        edits = await self.plan(*definitions, prune=prune)
        await self.configuration.write("acme", edits, "cli:me", self.urls.__setitem__)
        return [(edit.action, edit.name) for edit in edits]


@pytest.fixture
def tenant() -> Tenant:
    return Tenant(MemorySources(ManualClock()))


def shop(name: str = "shop", *secrets: str, **overrides: Any) -> SourceDefinition:
    return SourceDefinition(name, "custom", SHOP | overrides, secrets or ("s-1",))


async def test_a_new_source_is_opened_by_the_url_that_was_returned(tenant: Tenant) -> None:
    assert await tenant.apply(shop()) == [("create", "shop")]

    assert tenant.urls == {"shop": "/hooks/acme/shop/key-0"}
    opened = await tenant.store.open("acme", "shop", "key-0", 0)
    assert opened is not None
    assert (opened.secrets, opened.entry.overrides) == (("s-1",), SHOP)


async def test_applying_twice_changes_nothing_and_returns_no_url(tenant: Tenant) -> None:
    await tenant.apply(shop())
    tenant.urls.clear()

    assert await tenant.apply(shop()) == []
    assert tenant.urls == {}


async def test_a_changed_secret_is_found_and_the_url_stays(tenant: Tenant) -> None:
    await tenant.apply(shop())
    for secrets in (("s-2", "s-1"), ("s-1", "s-2"), ("s-3",)):
        (edit,) = await tenant.plan(shop("shop", *secrets))
        assert (edit.action, edit.changes_secrets) == ("update", True)
        await tenant.apply(shop("shop", *secrets))
        opened = await tenant.store.open("acme", "shop", "key-0", 0)
        assert opened is not None
        assert opened.secrets == secrets


async def test_a_source_without_secrets_in_the_file_keeps_its_own(tenant: Tenant) -> None:
    await tenant.apply(shop())
    kept = SourceDefinition("shop", "custom", SHOP | {"time": "body.at"}, None)

    assert await tenant.apply(kept) == [("update", "shop")]

    stored = await tenant.store.load("acme", "shop")
    assert stored is not None
    assert stored.secrets == ("s-1",)
    assert await tenant.apply(kept) == []


async def test_kept_secrets_must_fit_the_new_scheme(tenant: Tenant) -> None:
    await tenant.apply(shop())
    scheme = {"type": "standard_webhooks"}

    with pytest.raises(InvalidFile) as refused:
        await tenant.plan(SourceDefinition("shop", "custom", SHOP | {"scheme": scheme}, None))

    assert str(refused.value) == (
        "sources[0].secrets: the secrets of the existing source do not fit: set `secrets`"
    )


async def test_a_name_that_no_delivery_has_is_noted(tenant: Tenant) -> None:
    def priced(currency: str) -> SourceDefinition:
        return shop(events={"paid": SHOP["events"]["paid"] | {"currency": currency}})

    (edit,) = await tenant.plan(priced("EUR"))
    assert [note.partition(":")[0] for note in edit.notes] == ["events.paid.currency"]
    await tenant.apply(priced("EUR"))
    assert await tenant.plan(priced("EUR")) == []
    (edit,) = await tenant.plan(priced("'EUR'"))
    assert edit.notes == ()


async def test_the_order_of_rules_is_a_change(tenant: Tenant) -> None:
    rules = {name: {"when": "body", "type": "form.submitted"} for name in ("one", "two")}
    await tenant.apply(shop(events=rules))
    assert await tenant.apply(shop(events=dict(reversed(rules.items())))) == [("update", "shop")]


async def test_an_unlisted_source_is_deleted_with_its_deliveries_only_with_prune(
    tenant: Tenant,
) -> None:
    await tenant.apply(shop(), shop("old"))
    record = DeliveryRecord("d", 0, "accepted", "ok", 1, "application/json")
    tenant.deliveries.add("acme", "old", record)

    assert await tenant.apply(shop()) == []
    assert await tenant.apply(shop(), prune=True) == [("delete", "old")]

    assert [entry.name for entry in await tenant.store.list("acme")] == ["shop"]
    assert await tenant.deliveries.latest("acme", "old", verified=True) == []


async def test_every_fault_is_named_and_nothing_is_written(tenant: Tenant) -> None:
    broken = {"paid": {"when": "body.[", "type": "payment.complete"}}
    with pytest.raises(InvalidFile) as refused:
        await tenant.apply(
            shop(),
            SourceDefinition("a", "strip", {}, None),
            SourceDefinition("b", "stripe", {}, ("sk_live_not_a_signing_secret",)),
            SourceDefinition("c", "stripe", {}, None),
            SourceDefinition("d", "custom", SHOP | {"events": broken}, ("s",)),
            SourceDefinition("e", "stripe", {"contact": {"id": "a.["}}, ("whsec_1",), True),
            SourceDefinition("f", "hubspot", {}, ("client-secret",)),
            SourceDefinition("g\u200b", "strpe", {}, None),
        )
    lines = str(refused.value).split("\n")
    for place, fault in (
        ("sources[1].preset", "Did you mean stripe?"),
        ("sources[7].name", "without control or invisible characters"),
        ("sources[7].preset", "Did you mean stripe?"),
        ("sources[2].secrets[0]", ""),
        ("sources[3].secrets", "set its secret"),
        ("sources[4].overrides.events.paid.when", ""),
        ("sources[4].overrides.events.paid.type", "Did you mean payment.completed?"),
        ("sources[5].contact.id", ""),
        ("sources[6].preset", "GOALD_PUBLIC_URL"),
    ):
        assert [line for line in lines if line.startswith(f"{place}: ") and fault in line], place
    assert "sk_live" not in str(refused.value)
    assert await tenant.store.list("acme") == []


async def test_a_provider_that_signs_its_url_needs_the_public_url() -> None:
    public = Tenant(MemorySources(ManualClock()), has_public_url=True)
    hubspot = SourceDefinition("hs", "hubspot", {}, ("client-secret",))
    assert await public.apply(hubspot) == [("create", "hs")]


async def test_too_many_sources_are_refused_before_any_is_written(tenant: Tenant) -> None:
    await tenant.apply(*(shop(f"s-{number:03}") for number in range(MAX_SOURCES)))

    with pytest.raises(InvalidFile, match="a tenant may have 100 sources"):
        await tenant.apply(shop("one-more"))

    more = [shop(f"s-{number:03}") for number in range(1, MAX_SOURCES)] + [shop("one-more")]
    assert await tenant.apply(*more, prune=True) == [("delete", "s-000"), ("create", "one-more")]


async def test_sources_of_other_tenants_stay(tenant: Tenant) -> None:
    edits = await tenant.configuration.plan("other", [shop()], prune=True)
    await tenant.configuration.write("other", edits, "cli:me", tenant.urls.__setitem__)
    assert await tenant.apply(prune=True) == []
    assert [entry.name for entry in await tenant.store.list("other")] == ["shop"]


class _Damaged(MemorySources):
    async def load(self, tenant: str, name: str) -> StoredSource | None:
        raise SecretDamaged("the secret was changed")


async def test_damaged_secrets_are_replaced() -> None:
    damaged = Tenant(_Damaged(ManualClock()))
    await damaged.apply(shop())
    assert await damaged.apply(shop()) == [("update", "shop")]


def test_an_edit_shows_no_secret() -> None:
    entry = SourceEntry("shop", "custom", {}, 1, 0, 0, 0, None)
    assert "s-1" not in repr(SourceEdit(entry, shop(), changes_secrets=True))
