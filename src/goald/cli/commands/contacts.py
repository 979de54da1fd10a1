"""`goald contacts`: the projection of contacts."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.output.exit_codes import Code
from goald.cli.output.printing import print_json, say, table

if TYPE_CHECKING:
    from goald.domain.contacts.record import ContactRecord
    from goald.domain.records.pages import Page

MAX_LISTED = 1_000

app = typer.Typer(help="Contacts, as their events describe them.")

Tenant = Annotated[str, typer.Option(metavar="TENANT", help="The tenant.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.callback()
def _contacts() -> None:
    """Contacts, as their events describe them."""


@app.command()
def show(
    contact: Annotated[
        str, typer.Argument(metavar="CONTACT", help="The contact's id.", show_default=False)
    ],
    tenant: Tenant,
    as_json: Json = False,
) -> int:
    """Show one contact.

    Exits with 1 if goald does not know the contact.
    """
    found = _read(tenant, {"contact_id": contact}, 1).rows
    if not found:
        say(f"The tenant {tenant} has no contact {contact}.")
        return Code.FAILED
    if as_json:
        print_json(_as_json(found[0]))
    else:
        table(["field", "value"], _fields(found[0]))
    return Code.DONE


@app.command("list")
def list_contacts(
    tenant: Tenant,
    email: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Only contacts with this e-mail address."),
    ] = None,
    phone: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Only contacts with this phone number.")
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="COUNTRY", help="The country of a number without a country code, such as DE."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=MAX_LISTED, metavar="N", help="The maximum number.")
    ] = 50,
    as_json: Json = False,
) -> None:
    """List contacts, ordered by id."""
    found = _read(tenant, {"email": email, "phone": _number(phone, region)}, limit)
    if as_json:
        print_json([_as_json(row) for row in found.rows])
        return
    rows = [
        (row.contact_id, row.email or "", row.phone or "", ", ".join(_names(row)))
        for row in found.rows
    ]
    table(["contact", "e-mail", "phone", "tags"], rows)
    if found.next is not None:
        say("There are more. Use --limit.")


def _read(tenant: str, filters: dict[str, str | None], limit: int) -> "Page[ContactRecord]":
    from goald.cli.target import api_dsn
    from goald.domain.records.pages import PageRequest
    from goald.runtime.wiring.operations import contacts
    from goald.settings import load_settings

    async def read(dsn: str) -> "Page[ContactRecord]":
        async with contacts(dsn) as store:
            return await store.page(tenant, filters, PageRequest(limit))

    with api_dsn(load_settings()) as dsn:
        return asyncio.run(read(dsn))


def _number(text: str | None, region: str | None) -> str | None:
    from goald.domain.contacts.addresses import phone_number

    number = None if text is None else phone_number(text, region)
    if text is not None and number is None:
        raise typer.BadParameter(
            "--phone: a phone number with its country code, or use --region COUNTRY."
        )
    return number


def _as_json(row: "ContactRecord") -> dict[str, Any]:
    from goald.api.models.contacts import ContactAnswer

    return ContactAnswer.of(row).model_dump()


def _fields(row: "ContactRecord") -> list[tuple[str, object]]:
    from goald.domain.times import rfc3339

    consent = {None: "", True: "yes", False: "no"}[row.opted_in]
    return [
        ("contact", row.contact_id),
        ("e-mail", row.email or ""),
        ("phone", row.phone or ""),
        ("time zone", row.timezone or ""),
        ("opted in", consent),
        *((f"attribute {name}", str(value)) for name, value in sorted(row.attributes.items())),
        ("tags", ", ".join(_names(row))),
        *((f"stage in {name or 'a pipeline'}", stage) for name, stage in row.stages.items()),
        ("updated", rfc3339(row.updated_at)),
    ]


def _names(row: "ContactRecord") -> list[str]:
    return [tag.name or tag.id or "" for tag in row.tags]
