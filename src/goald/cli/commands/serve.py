"""`goald serve`, `api`, `worker`, `migrate` and `check-config`: run goald, prepare its database."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from goald.cli.output.printing import masked, print_json, say, table
from goald.cli.target import owner_dsn


def serve(
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Start an own Valkey and Postgres, too.")
    ] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="Add the tenant demo with workflows and traffic.")
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The data directory of --embedded; default: .goald."),
    ] = None,
    ray_address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Join this Ray cluster.")
    ] = None,
) -> None:
    """Run the daemon: consumers, shards, workers, API and metrics. Ctrl-C or SIGTERM stops it."""
    from goald.cli.output.serve_console import TerminalConsole
    from goald.pipeline.native_build import check_native_build
    from goald.runtime import logs
    from goald.settings import load_settings

    check_native_build()  # before the imports of everything that uses it
    settings = load_settings(data_dir=data_dir, ray_address=ray_address)
    if not embedded:
        _ = settings.redis, settings.postgres  # Raises SettingsError if one is not set.
    console = TerminalConsole(demo=demo)
    logs.configure(settings.log_level, settings.log_format, console.log_stream())
    console.step("starting goald")
    from goald.runtime.daemon.serve import serve as run

    try:
        code = run(settings, embedded=embedded, demo=demo, console=console)
    finally:
        console.end()  # Errors are printed below the live line.
    raise typer.Exit(code)


def api() -> None:
    """Run only the API, in addition to a `goald serve` elsewhere. Ctrl-C or SIGTERM stops it.

    Needs Redis, Postgres and GOALD_JWT_SECRET or GOALD_JWKS_URL; not Ray.
    """
    from goald.pipeline.native_build import check_native_build

    check_native_build()  # before the imports of everything that uses it
    from goald.runtime import logs
    from goald.runtime.daemon.serve_api import serve_api
    from goald.settings import load_settings

    settings = load_settings()
    _ = settings.redis, settings.postgres  # Raises SettingsError if one is not set.
    logs.configure(settings.log_level, settings.log_format)
    raise typer.Exit(serve_api(settings, ready=_api_ready))


def _api_ready(url: str) -> None:
    say(f"The API is ready at {url}. Documentation: {url}/docs")
    sys.stdout.flush()


def worker(
    only: Annotated[
        str | None,
        typer.Option(metavar="TYPES", help="Perform these actions, separated by commas."),
    ] = None,
    excluded: Annotated[
        str | None,
        typer.Option("--except", metavar="TYPES", help="Perform all actions but these."),
    ] = None,
) -> None:
    """Run only a worker, in addition to a `goald serve`. Ctrl-C or SIGTERM stops it.

    It performs the actions of workflows: webhook, send_email, send_sms, notify_admin, add_tag,
    remove_tag, update_contact and noop. Needs Redis; not Postgres or Ray. Any number can run.
    """
    from goald.runtime import logs
    from goald.settings import load_settings

    settings = load_settings()
    logs.configure(settings.log_level, settings.log_format)
    from goald.runtime.daemon.serve_worker import serve_worker

    raise typer.Exit(serve_worker(settings, _names(only), _names(excluded), ready=_worker_ready))


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _worker_ready(index: int, actions: Sequence[str], redis_url: str) -> None:
    say(f"Worker {index} performs {', '.join(actions)}. Redis: {masked(redis_url)}")
    sys.stdout.flush()


def migrate(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Migrate the database to the schema of this release. Running it again changes nothing."""
    from goald import migrations
    from goald.settings import load_settings

    with owner_dsn(load_settings()) as dsn:
        applied = migrations.upgrade(dsn)
        revision = migrations.current(dsn)
    if as_json:
        print_json({"applied": applied, "revision": revision})
    elif applied:
        say(f"Applied {', '.join(applied)}.")
    else:
        say(f"Nothing to do: the schema is at revision {revision}.")


def check_config(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every setting, its value and its origin, without passwords."""
    from goald.cli.output.settings_origin import origins
    from goald.settings import PREFIX, Settings, load_settings

    settings = load_settings()
    origin = origins()
    rows = [
        {
            "name": PREFIX + name.upper(),
            "value": _display(getattr(settings, name)),
            "from": origin[name],
            "about": field.description or "",
        }
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        print_json(rows)
    else:
        table(["setting", "value", "from", "about"], [list(row.values()) for row in rows])


def _display(value: object) -> str | None:
    if value is None:
        return None
    return masked(value) if isinstance(value, str) else str(value)


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(serve)
    app.command()(api)
    app.command()(worker)
    app.command()(migrate)
    app.command("check-config")(check_config)
