"""The contact of a provider's event: the platform's id, an address, or the source's choice."""

import pytest

from goald.api.sources.contacts import (
    ContactResolver,
    KnownContact,
    OnUnknown,
    UnknownContact,
)
from goald.sources.mapping.results import ContactReference

EMAIL = ContactReference(email="Ada@Example.com")
PHONE = ContactReference(phone="+49 170 1234567")


class NoProjection:
    """Knows no contact."""

    async def find(self, tenant: str, reference: ContactReference) -> str | None:
        return None


class Projection:
    """Knows one contact of one tenant."""

    async def find(self, tenant: str, reference: ContactReference) -> str | None:
        return "c-7" if (tenant, reference.email) == ("acme", EMAIL.email) else None


async def test_id_of_the_platform_needs_no_look_up() -> None:
    reference = ContactReference("c-1", "ada@example.com")

    assert await ContactResolver(Projection()).resolve("acme", reference, "dead") == KnownContact(
        "c-1"
    )


@pytest.mark.parametrize("on_unknown", ["create", "ignore", "dead"])
async def test_known_address_gives_its_contact(on_unknown: OnUnknown) -> None:
    resolver = ContactResolver(Projection())

    assert await resolver.resolve("acme", EMAIL, on_unknown) == KnownContact("c-7")
    assert await resolver.resolve("globex", EMAIL, on_unknown) != KnownContact("c-7")


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (EMAIL, "no contact has this e-mail address"),
        (PHONE, "no contact has this phone number"),
        (ContactReference(), "the delivery names no contact: neither an id nor an address"),
    ],
)
@pytest.mark.parametrize("on_unknown", ["ignore", "dead"])
async def test_unknown_contact_is_ignored_or_dead_with_a_reason_that_hides_the_address(
    on_unknown: OnUnknown, reference: ContactReference, reason: str
) -> None:
    found = await ContactResolver(NoProjection()).resolve("acme", reference, on_unknown)

    assert found == UnknownContact(reason, on_unknown == "dead")


async def test_created_contact_is_the_same_for_every_delivery_of_an_address() -> None:
    resolver = ContactResolver(NoProjection())
    same = [
        await resolver.resolve("acme", ContactReference(email=email), "create")
        for email in ("Ada@Example.com", "ada@example.com", "ADA@EXAMPLE.COM")
    ]
    phones = [
        await resolver.resolve("acme", ContactReference(phone=phone), "create")
        for phone in ("+49 170 1234567", "+491701234567", "+49 (170) 123-4567")
    ]
    other = await resolver.resolve("globex", EMAIL, "create")

    assert len(set(same)) == len(set(phones)) == 1
    assert len({same[0], phones[0], other}) == 3
    assert "ada" not in repr(same).lower()


async def test_nothing_is_created_without_an_address() -> None:
    found = await ContactResolver(NoProjection()).resolve("acme", ContactReference(), "create")

    assert isinstance(found, UnknownContact)
    assert not found.is_dead
