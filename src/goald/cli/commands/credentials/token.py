"""`goald token`: a bearer token for the API, signed with the HS256 secret."""

import re
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from goald.settings import Settings

UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
LONGEST_S = 3_650 * UNITS["d"]


def token(
    tenant: Annotated[str, typer.Option(help="The tenant of the token.")],
    scope: Annotated[
        str,
        typer.Option(
            help="The scopes, separated by spaces: workflows:read, workflows:edit, "
            "events:write, contacts:read, contacts:edit, executions:read, executions:edit, "
            "audit:read."
        ),
    ],
    subject: Annotated[
        str | None, typer.Option(help="The actor to record in the audit log (default: you).")
    ] = None,
    expires: Annotated[str, typer.Option(help="The lifetime: 90s, 30m, 12h or 7d.")] = "1h",
) -> None:
    """Print a bearer token for the API.

    Signed with GOALD_JWT_SECRET, else with the secret of the data directory, which `goald
    serve --embedded` makes. Prints the token alone: TOKEN=$(goald token ...).
    """
    import jwt

    from goald.settings import load_settings

    settings = load_settings()
    now = int(time.time())
    claims = {
        "iss": settings.jwt_issuer,
        "aud": settings.jwt_audience,
        "sub": _name("--subject", subject if subject is not None else _user()),
        "tenant_id": _name("--tenant", tenant),
        "scope": _scopes(scope),
        "iat": now,
        "exp": now + _seconds(expires),
    }
    print(jwt.encode(claims, _secret(settings), algorithm="HS256"))


def _secret(settings: "Settings") -> str:
    """Raises SettingsError if goald does not sign the tokens, or if there is no secret."""
    from goald.domain.errors import SettingsError
    from goald.runtime.embedded.secret import find_token_secret

    if settings.jwt_algorithm != "HS256":
        raise SettingsError(
            f"GOALD_JWT_ALGORITHM is {settings.jwt_algorithm}: the holder of the "
            "private key issues such tokens, not goald"
        )
    secret = settings.jwt_secret
    if secret is None and not (settings.redis_url and settings.postgres_dsn):
        secret = find_token_secret(settings.data_dir.expanduser())
    if secret is None:
        raise SettingsError(
            "there is no secret to sign with: set GOALD_JWT_SECRET to that of the API, or name "
            "the directory of a `goald serve --embedded` in GOALD_DATA_DIR"
        )
    return secret.get_secret_value()


def _scopes(text: str) -> str:
    from goald.api.auth.access import SCOPES

    asked = text.split()
    unknown = [each for each in asked if each not in SCOPES]
    if unknown or not asked:
        what = f"unknown: {', '.join(unknown)}" if unknown else "it names none"
        raise typer.BadParameter(f"--scope: {what}. There are {', '.join(SCOPES)}.")
    return " ".join(dict.fromkeys(asked))


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    seconds = int(found[1]) * UNITS[found[2]] if found else 0
    if not 0 < seconds <= LONGEST_S:
        raise typer.BadParameter("--expires: a time such as 90s, 30m, 12h or 7d, at most 3650d.")
    return seconds


def _name(option: str, text: str) -> str:
    from goald.domain.ids import NOT_AN_ID, is_id

    if not is_id(text):
        raise typer.BadParameter(f"{option}: {NOT_AN_ID}.")
    return text


def _user() -> str:
    """The name of the user that runs this command."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an id without a name, as in containers
        return "goald"


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(token)
