"""`goald tenant`: show the settings of a tenant, or change them."""

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from goald.cli.configuration import actor, notified_redis, open_configuration
from goald.cli.output.printing import print_json, say
from goald.cli.target import api_dsn

if TYPE_CHECKING:
    from goald.configuration.executor import EditResult
    from goald.domain.configuration.workflows import SettingsPatch, SettingsRow

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
    concurrent_executions: Annotated[
        int | None,
        typer.Option(
            help="How many executions may be ACTIVE at the same time.",
            min=1,
            max=1_000_000,
            show_default=False,
        ),
    ] = None,
    max_retries: Annotated[
        int | None,
        typer.Option(
            help="How often an action is tried again after an error.",
            min=0,
            max=10,
            show_default=False,
        ),
    ] = None,
    retry_base: Annotated[
        float | None,
        typer.Option(
            help="Seconds before the first retry of an action.",
            min=0.001,
            max=86_400,
            show_default=False,
        ),
    ] = None,
    error_notification: Annotated[
        bool | None,
        typer.Option(
            "--error-notification/--no-error-notification",
            help="Whether the admin is notified of failed executions. goald sends none yet.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Change settings of a tenant. Returns when every live shard has loaded the change, or after
    2 s."""
    from goald.domain.configuration.workflows import SettingsPatch
    from goald.settings import load_settings

    patch = SettingsPatch(
        tag_case_sensitive, error_notification, max_retries, retry_base, concurrent_executions
    )
    if not patch.given:
        raise typer.BadParameter("Give a setting to change, such as --concurrent-executions.")
    with api_dsn(load_settings()) as dsn:
        result = asyncio.run(_write(dsn, tenant, patch))
    _print(tenant, result.row, as_json)
    if not as_json and not result.is_rolled_out:
        say("Some shards have not loaded the change yet; they will follow.")


async def _read(dsn: str, tenant: str) -> "SettingsRow":
    from goald.settings import load_settings

    async with open_configuration(load_settings(), dsn, None) as service:
        return await service.settings(tenant)


async def _write(dsn: str, tenant: str, patch: "SettingsPatch") -> "EditResult[SettingsRow]":
    from goald.settings import load_settings

    settings = load_settings()
    async with open_configuration(settings, dsn, notified_redis(settings)) as service:
        return await service.put_settings(tenant, actor(), patch)


def _print(tenant: str, row: "SettingsRow", as_json: bool) -> None:
    if as_json:
        print_json({"tenant": tenant, **asdict(row)})
        return
    for name, value in asdict(row).items():
        text = "GOALD_RETRY_BASE_SECONDS" if value is None else str(value).lower()
        say(f"{name}: {text}")
