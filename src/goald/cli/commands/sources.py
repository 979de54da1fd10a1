"""`goald sources`: the sources of a tenant, their deliveries, and a test of a payload."""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goald.cli.output.printing import print_json, say, table
from goald.cli.output.sources import (
    delivery_json,
    delivery_row,
    print_event,
    source_fields,
    source_json,
    source_row,
)
from goald.cli.target import api_dsn, redis_url

if TYPE_CHECKING:
    from goald.api.sources.receiver import TestedDelivery
    from goald.operations.sources import LatestDeliveries, SourceDescription
    from goald.sources.delivery import Delivery

MAX_BODY = 1 << 20
"""Bytes of a delivery that the receiver takes."""

app = typer.Typer()

Tenant = Annotated[str, typer.Option(metavar="TENANT", help="The tenant.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The name of the source.", show_default=False)
]


@app.callback()
def _sources() -> None:
    """Sources, which receive the webhooks of providers.

    `goald apply` or PUT /api/v1/sources/{name} creates and changes them. POST
    /api/v1/sources/{name}/rotate-key replaces the key in the URL.
    """


@app.command("list")
def list_sources(tenant: Tenant, as_json: Json = False) -> None:
    """List the sources of a tenant, ordered by name."""
    found = asyncio.run(_list(tenant))
    if as_json:
        print_json([source_json(each) for each in found])
    elif not found:
        say(f"The tenant {tenant} has no sources.")
    else:
        table(["source", "preset", "secrets#", "events"], [source_row(each) for each in found])


@app.command()
def show(name: Name, tenant: Tenant, as_json: Json = False) -> None:
    """Show one source, without its secrets and the key in its URL."""
    found = asyncio.run(_get(tenant, name))
    if as_json:
        print_json(source_json(found))
    else:
        table(["field", "value"], source_fields(found))


@app.command()
def deliveries(
    name: Name,
    tenant: Tenant,
    unverified: Annotated[
        bool,
        typer.Option("--unverified", help="Those with a wrong signature, in place of the others."),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Show at most N.")] = 20,
    as_json: Json = False,
) -> None:
    """List the latest deliveries of a source, newest first, and their outcome.

    Requests with a wrong key in the URL are not recorded.
    """
    asyncio.run(_get(tenant, name))
    found = asyncio.run(_latest(tenant, name))
    if as_json:
        print_json(
            {
                "verified": [delivery_json(each) for each in found.verified[:limit]],
                "unverified": [delivery_json(each) for each in found.unverified[:limit]],
            }
        )
        return
    records = found.unverified if unverified else found.verified
    if records:
        columns = ["received", "outcome", "events", "reason"]
        table(columns, [delivery_row(each) for each in records[:limit]])
    else:
        say(f"No {'unverified ' if unverified else ''}deliveries of {name} are recorded.")
    if found.unverified and not unverified:
        count = len(found.unverified)
        what = "1 delivery is" if count == 1 else f"{count} deliveries are"
        say(f"{what} unverified: see --unverified.")


@app.command("test")
def check(
    name: Name,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The body of a delivery; - is standard input.", show_default=False
        ),
    ],
    tenant: Tenant,
    header: Annotated[
        list[str] | None,
        typer.Option(
            "--header",
            metavar="HEADER",
            help="A header of the provider, such as 'X-Topic: order.paid'; repeatable.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which events a delivery means, and whether its signature would be trusted.

    Sends and records nothing. The Content-Type is application/json if no header says otherwise.
    """
    delivery = _delivery(file, header or [])
    tested = asyncio.run(_test(tenant, name, delivery))
    if as_json:
        from goald.api.models.sources import TestResult

        print_json(TestResult.of(tested, name).model_dump())
        return
    trusted = "verified" if tested.verification.verified else "not verified"
    say(f"{trusted}: {tested.verification.reason}")
    if tested.handshake is not None:
        say(f"{tested.handshake.reason}: answered, and means no event")
        return
    for event in tested.prepared.events:
        print_event(event, is_verified=tested.verification.verified)
    for note in tested.prepared.notes:
        say(f"note: {note}")


async def _list(tenant: str) -> "Sequence[SourceDescription]":
    from goald.runtime.wiring.source_commands import source_service
    from goald.settings import load_settings

    settings = load_settings()
    with api_dsn(settings) as dsn:
        async with source_service(settings, dsn) as service:
            return await service.list(tenant)


async def _get(tenant: str, name: str) -> "SourceDescription":
    from goald.runtime.wiring.source_commands import source_service
    from goald.settings import load_settings

    settings = load_settings()
    with api_dsn(settings) as dsn:
        async with source_service(settings, dsn) as service:
            return await service.get(tenant, name)


async def _latest(tenant: str, name: str) -> "LatestDeliveries":
    from goald.operations.sources import latest_deliveries
    from goald.runtime.wiring.source_commands import delivery_log

    with redis_url() as url:
        async with delivery_log(url) as log:
            return await latest_deliveries(log, tenant, name)


async def _test(tenant: str, name: str, delivery: "Delivery") -> "TestedDelivery":
    from goald.runtime.wiring.source_commands import source_receiver, source_service
    from goald.settings import load_settings

    settings = load_settings()
    with redis_url() as url, api_dsn(settings) as dsn:
        async with source_service(settings, dsn) as service:
            stored = await service.load(tenant, name)
        async with source_receiver(settings, dsn, url) as receiver:
            return await receiver.test(tenant, stored, delivery)


def _delivery(file: Path, headers: Sequence[str]) -> "Delivery":
    from goald.settings import load_settings
    from goald.sources.delivery import Delivery, headers_by_name

    pairs = [(b"content-type", b"application/json")]
    for text in headers:
        header, separator, value = text.partition(":")
        if not separator or not header.strip():
            raise typer.BadParameter("--header: write 'Name: value'.")
        if header.strip().lower() == "content-type":
            pairs.pop(0)
        pairs.append((header.strip().encode(), value.encode()))
    url = load_settings().public_url
    return Delivery("POST", url, headers_by_name(pairs), _read(file), int(time.time() * 1e6))


def _read(file: Path) -> bytes:
    """Return the body. Raises InvalidFile."""
    from goald.domain.errors import InvalidFile

    try:
        if str(file) == "-":
            body = sys.stdin.buffer.read(MAX_BODY + 1)
        else:
            with file.open("rb") as opened:
                body = opened.read(MAX_BODY + 1)
    except OSError as error:
        raise InvalidFile(f"Cannot read {file}: {error.strerror or error}.") from None
    if len(body) > MAX_BODY:
        raise InvalidFile(f"{file} has more than {MAX_BODY:,} bytes, which no source receives.")
    return body
