"""`goald tenant`: show the settings of a tenant, or change them."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from goald.cli.configuration import actor, notified_redis, open_configuration
from goald.cli.output.printing import print_json, say
from goald.cli.target import api_dsn

if TYPE_CHECKING:
    from goald.configuration.executor import EditResult
    from goald.domain.configuration.workflows import SettingsRow

app = typer.Typer(help="Show the settings of a tenant, or change them.", no_args_is_help=True)

Tenant = Annotated[
    str, typer.Argument(metavar="TENANT", help="The id of the tenant.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def show(tenant: Tenant, as_json: Json = False) -> None:
    """Show the settings of a tenant."""
    from goald.settings import load_settings

    with api_dsn(load_settings()) as dsn:
        _print(tenant, asyncio.run(_read(dsn, tenant)), as_json)


@app.command("set")
def set_(
    tenant: Tenant,
    tag_case_sensitive: Annotated[
        bool | None,
        typer.Option(
            "--tag-case-sensitive/--no-tag-case-sensitive",
            help="Whether names of tags that differ in case are different tags.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Change settings of a tenant. Returns when every live shard has loaded the change, or after
    2 s."""
    from goald.settings import load_settings

    if tag_case_sensitive is None:
        raise typer.BadParameter("Give a setting to change, such as --tag-case-sensitive.")
    with api_dsn(load_settings()) as dsn:
        result = asyncio.run(_write(dsn, tenant, tag_case_sensitive))
    _print(tenant, result.row, as_json)
    if not as_json and not result.is_rolled_out:
        say("Some shards have not loaded the change yet; they will follow.")


async def _read(dsn: str, tenant: str) -> "SettingsRow":
    from goald.settings import load_settings

    async with open_configuration(load_settings(), dsn, None) as service:
        return await service.settings(tenant)


async def _write(dsn: str, tenant: str, tag_case_sensitive: bool) -> "EditResult[SettingsRow]":
    from goald.settings import load_settings

    settings = load_settings()
    async with open_configuration(settings, dsn, notified_redis(settings)) as service:
        return await service.put_settings(tenant, actor(), tag_case_sensitive)


def _print(tenant: str, row: "SettingsRow", as_json: bool) -> None:
    if as_json:
        print_json({"tenant": tenant, "tag_case_sensitive": row.tag_case_sensitive})
    else:
        say(f"tag_case_sensitive: {str(row.tag_case_sensitive).lower()}")
