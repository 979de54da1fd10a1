"""The entry point `goald`, with all commands."""

import contextlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from goald.cli.output.exit_codes import Code, PipeClosed, complain, report
from goald.cli.output.help import hide_types_of_flags, show_flags

EPILOG = (
    "Exit codes: 0 success; 1 failed; 2 wrong usage, settings or login; 3 a server cannot be "
    "reached, try again; 4 not ready (status); 130 interrupted."
)


class _Commands(TyperGroup):
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, with flags shown as flags in its help."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            show_flags(command, ctx)
        return command

    def get_params(self, ctx: Any) -> Any:
        """The options of `goald` itself."""
        params = super().get_params(ctx)
        hide_types_of_flags(params)
        return params

    def invoke(self, ctx: Any) -> Any:
        """Run the command and flush its output."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise PipeClosed from None
        return result


app = typer.Typer(
    name="goald",
    cls=_Commands,
    help="Ends a contact's enrollment in a marketing workflow when the contact achieves its goal.",
    epilog=EPILOG,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        print(f"goald {version('goald')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        with contextlib.redirect_stdout(sys.stderr):  # Typer prints the help.
            context.get_help()
        raise typer.Exit(Code.USAGE)


def _add_commands() -> None:
    from goald.cli.commands import (
        audit,
        contacts,
        dead,
        doctor,
        executions,
        explain,
        replay,
        send,
        sources,
        status,
        streams,
        tail,
    )
    from goald.cli.commands import (
        serve as daemon,
    )
    from goald.cli.commands.configuration import apply, export, tenant
    from goald.cli.commands.credentials import secrets, token

    for module in (daemon, apply, export, status, send, replay, explain, tail, doctor, token):
        module.add_to(app)
    app.add_typer(executions.app, name="executions")
    app.add_typer(contacts.app, name="contacts")
    app.add_typer(sources.app, name="sources")
    app.add_typer(tenant.app, name="tenant")
    app.add_typer(dead.app, name="dead")
    app.add_typer(streams.app, name="streams")
    app.add_typer(audit.app, name="audit")
    app.add_typer(secrets.app, name="secrets")


_add_commands()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; see `Code`. Never raises."""
    try:
        result = app(
            args=list(sys.argv[1:] if arguments is None else arguments),
            prog_name="goald",
            standalone_mode=False,
        )
    except typer.Abort:
        return Code.INTERRUPTED
    except PipeClosed:
        _discard_output()
        return Code.DONE
    except (typer.TyperException, typer.BadParameter) as error:
        complain(_plain(error.format_message()))
        return Code.USAGE
    except Exception as error:
        return report(error)
    return result if isinstance(result, int) else Code.DONE


def _plain(message: str) -> str:
    """The message without the prefixes of Click and Pydantic that say only that it is an error."""
    return message.removeprefix("Invalid value: ").replace("Value error, ", "")


def _discard_output() -> None:
    """Redirect standard output, so that the interpreter writes nothing to the closed pipe."""
    import os

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
