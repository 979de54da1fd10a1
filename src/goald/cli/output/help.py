"""Shows flags in `--help` as flags, without the type `<bool>` that Typer adds."""

from collections.abc import Iterable
from typing import Any

NO_TYPE = ""


def show_flags(command: Any, context: Any) -> None:
    """Remove the type of the flags of this command and its subcommands from their help."""
    hide_types_of_flags(command.params)
    hide_types_of_flags([command.get_help_option(context)])
    for subcommand in getattr(command, "commands", {}).values():
        show_flags(subcommand, context)


def hide_types_of_flags(params: Iterable[Any]) -> None:
    """Remove the type of those parameters that are flags from the help."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = NO_TYPE
