"""`goald export`: the configuration of a tenant as a file."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.configuration import open_configuration
from goald.cli.output.printing import print_file, print_json
from goald.cli.target import api_dsn

if TYPE_CHECKING:
    from goald.settings import Settings


def export(
    tenant: Annotated[
        str, typer.Argument(metavar="TENANT", help="The id of the tenant.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print a tenant's workflows, goals, published definitions, settings and catalog as a file for
    goald apply.

    Sources and drafts are left out.
    """
    from goald.configuration.file import format_configuration
    from goald.settings import load_settings

    settings = load_settings()
    with api_dsn(settings) as dsn:
        contents = asyncio.run(_read(settings, dsn, tenant))
    if as_json:
        print_json(contents)
    else:
        print_file(format_configuration(contents))


async def _read(settings: "Settings", dsn: str, tenant: str) -> dict[str, Any]:
    async with open_configuration(settings, dsn, None) as service:
        return await service.export(tenant)


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(export)
