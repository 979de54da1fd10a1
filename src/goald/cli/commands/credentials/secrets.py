"""`goald secrets`: encrypt the stored secrets under the newest key, and show those that sign
webhooks."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from goald.cli.output.exit_codes import Code
from goald.cli.output.printing import print_json, say, table
from goald.cli.output.screen import Screen
from goald.cli.target import owner_dsn

if TYPE_CHECKING:
    from goald.operations.secrets import SecretsRotation

app = typer.Typer(help="The secrets of webhooks and sources, which are encrypted in Postgres.")


@app.callback()
def _secrets() -> None:
    """The secrets of webhooks and sources, which are encrypted in Postgres."""


@app.command()
def rotate(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Encrypt every stored secret under the first key of GOALD_SECRETS_KEYS.

    Also encrypts secrets that an earlier release stored in plain text. Safe while goald is
    running, and to repeat. Exits with 1 if a secret cannot be decrypted with any of the keys; such
    secrets are unchanged.
    """
    from goald.runtime.embedded.secret import with_key_of_data_dir
    from goald.runtime.wiring.secrets import rotate as rotate_secrets
    from goald.settings import load_settings

    settings = load_settings()
    with owner_dsn(settings) as dsn, _progress() as progress:
        result = rotate_secrets(dsn, with_key_of_data_dir(settings), progress)
    if as_json:
        print_json(asdict(result))
    else:
        _print(result)
        if result.unreadable and settings.secrets_keys is None:
            say(
                "GOALD_SECRETS_KEYS is not set here. If it is set for `goald serve`, export the "
                "same value in this shell, and repeat the command."
            )
    if result.unreadable:
        raise typer.Exit(Code.FAILED)


@app.command("signing")
def signing(
    tenant: Annotated[str, typer.Option("--tenant", metavar="TENANT", help="The tenant.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the secrets that sign the webhooks of a tenant's workflows, in the form whsec_...

    Each webhook is signed with all of them, so a receiver needs one, the first if it can choose.
    There is one for each key of GOALD_SECRETS_KEYS. Needs no connection.
    """
    from goald.domain.errors import SettingsError
    from goald.runtime.embedded.secret import with_key_of_data_dir
    from goald.runtime.wiring.secrets import keyring, signing_secrets
    from goald.settings import load_settings

    secrets = signing_secrets(keyring(with_key_of_data_dir(load_settings())))(tenant)
    if not secrets:
        raise SettingsError(
            "GOALD_SECRETS_KEYS is not set here. Export the value that `goald serve` has, or set "
            "GOALD_DATA_DIR to the data directory of an embedded goald."
        )
    if as_json:
        print_json({"tenant_id": tenant, "secrets": list(secrets)})
    else:
        for secret in secrets:
            say(secret)


def _print(result: "SecretsRotation") -> None:
    changed = result.encrypted + result.reencrypted
    if not changed and not result.unreadable:
        say(f"Nothing to do: {_count(result.total)} encrypted under the key {result.key_id}.")
        return
    say(f"Encrypted {_secrets_text(changed)} under the key {result.key_id}.")
    if result.encrypted:
        were = "was" if result.encrypted == 1 else "were"
        say(f"{result.encrypted:,} of them {were} stored in plain text.")
    if result.unreadable:
        say(f"{_secrets_text(len(result.unreadable))} cannot be decrypted and did not change:")
        table(
            ["kind", "tenant", "name", "key", "reason"],
            [
                [each.kind, each.tenant, each.name, each.key_id, each.reason]
                for each in result.unreadable
            ],
        )


def _secrets_text(number: int) -> str:
    return "1 secret" if number == 1 else f"{number:,} secrets"


def _count(number: int) -> str:
    return "1 secret is" if number == 1 else f"{number:,} secrets are"


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """Yields a function that shows the number of secrets seen, on a terminal."""
    screen = Screen(sys.stderr)
    try:
        yield lambda secrets: screen.live(f"seen {secrets:,} outdated secrets")
    finally:
        screen.live("")
