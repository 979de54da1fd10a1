"""`goald serve`, `api`, `migrate` and `check-config`: what runs goald."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from goald.cli.output.printing import masked, print_json, say, table


def serve(
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Start a Redis and a Postgres of its own.")
    ] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="Add tenant `demo`: workflows and made traffic.")
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Where --embedded keeps everything (.goald).")
    ] = None,
    ray_address: Annotated[str | None, typer.Option(help="Join this Ray cluster.")] = None,
) -> None:
    """Run the daemon: consumers, shards, API and metrics. Ctrl-C or SIGTERM stops it."""
    from goald.cli.output.serve_console import TerminalConsole
    from goald.runtime import logs
    from goald.settings import load_settings

    settings = load_settings(data_dir=data_dir, ray_address=ray_address)
    if not embedded:
        _ = settings.redis, settings.postgres  # say at once which of them is not set
    console = TerminalConsole(demo=demo)
    logs.configure(settings.log_level, settings.log_format, console.log_stream())
    console.step("starting goald")
    from goald.runtime.daemon.serve import serve as run

    try:
        code = run(settings, embedded=embedded, demo=demo, console=console)
    finally:
        console.end()  # an error is told below the live line, not behind it
    raise typer.Exit(code)


def api() -> None:
    """Run the API alone, beside a `goald serve` elsewhere. Ctrl-C or SIGTERM stops it.

    Needs Redis, Postgres and a way to check tokens; not Ray.
    """
    from goald.runtime import logs
    from goald.runtime.daemon.serve_api import serve_api
    from goald.settings import load_settings

    settings = load_settings()
    _ = settings.redis, settings.postgres  # say at once which of them is not set
    logs.configure(settings.log_level, settings.log_format)
    raise typer.Exit(serve_api(settings, ready=_say_where))


def _say_where(url: str) -> None:
    say(f"The API takes requests at {url}; what it offers is told at {url}/docs.")
    sys.stdout.flush()


def migrate(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bring the tables to what this release needs. Running it twice changes nothing."""
    from goald import migrations
    from goald.runtime.instance import find
    from goald.settings import load_settings

    settings = load_settings()
    dsn = settings.postgres_owner_dsn or settings.postgres_dsn or find(settings).postgres_dsn
    applied = migrations.upgrade(dsn)
    if as_json:
        print_json({"applied": applied, "revision": migrations.current(dsn)})
    elif applied:
        say(f"Applied {', '.join(applied)}.")
    else:
        say(f"Nothing to do: the schema is at {migrations.current(dsn)}.")


def check_config(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show every setting, its value, and where that comes from. Passwords are not shown."""
    from goald.cli.output.settings_origin import origins
    from goald.settings import PREFIX, Settings, load_settings

    settings = load_settings()
    origin = origins()
    rows = [
        {
            "name": PREFIX + name.upper(),
            "value": _shown(getattr(settings, name)),
            "from": origin[name],
            "about": field.description or "",
        }
        for name, field in Settings.model_fields.items()
    ]
    if as_json:
        print_json(rows)
    else:
        table(["setting", "value", "from", "about"], [list(row.values()) for row in rows])


def _shown(value: object) -> str | None:
    if value is None:
        return None
    return masked(value) if isinstance(value, str) else str(value)


def add_to(app: typer.Typer) -> None:
    """Register the commands of this file."""
    app.command()(serve)
    app.command()(api)
    app.command()(migrate)
    app.command("check-config")(check_config)
