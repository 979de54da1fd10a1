"""Explains why Redis or Postgres rejected a login: whether user, password or database is wrong.

Recognises the errors of asyncpg, psycopg and redis-py by SQLSTATE, code and class name, so that the
domain imports none of them.
"""

import re
from dataclasses import dataclass
from typing import Literal

from goald.domain.errors import causes_of

SETTING_OF = {"Redis": "GOALD_REDIS_URL", "Postgres": "GOALD_POSTGRES_DSN"}
"""The setting with the address of each server, unless a login has a separate setting."""


@dataclass(frozen=True, slots=True)
class LoginRejection:
    """Why a server rejected a login, and how to fix it."""

    service: Literal["Redis", "Postgres"]
    cause: str
    advice: str
    """Contains `{setting}` for the name of the setting with the address."""
    what: str = "the login"
    """The object of the rejection: the login, or a command."""

    def advice_for(self, setting: str) -> str:
        """The advice to a reader who changes this setting."""
        return self.advice.format(setting=setting)

    def message(self, setting: str, address: str | None = None) -> str:
        """The message in one line: the server, the reason, the advice. Shows no password."""
        where = f"{self.service} at {address}" if address else self.service
        return f"{where} rejects {self.what}: {self.cause}. {self.advice_for(setting)}"


def login_rejection(error: BaseException) -> LoginRejection | None:
    """The rejection that caused this error; None if the error has another cause."""
    for each in causes_of(error):
        if found := _of_postgres(each) or _of_redis(each):
            return found
    return None


_LOGIN_ADVICE = (
    "Check user and password in {setting}; Postgres does not say which of the two is wrong."
)
_USER_ADVICE = (
    "Check the user in {setting}: it must exist, be allowed to log in, and match a line in the "
    "server's pg_hba.conf."
)
_DATABASE_ADVICE = "Create the database, or correct its name in {setting}."
_ASKS = "it asks for a password, and the address contains none"

_POSTGRES_ADVICE = {"28P01": _LOGIN_ADVICE, "28000": _USER_ADVICE, "3D000": _DATABASE_ADVICE}

_FATAL = re.compile(r"FATAL: +([^\n]+)")
_SQLSTATE_OF_TEXT = (
    (re.compile(r"password authentication failed|empty password"), "28P01"),
    (re.compile(r'database ".*" does not exist'), "3D000"),
    (re.compile(r'role ".*" does not exist|not permitted to log in|pg_hba\.conf|authentication'),
     "28000"),
)  # fmt: skip
"""libpq gives no SQLSTATE for a rejected login, only the server's text."""


def _of_postgres(error: BaseException) -> LoginRejection | None:
    text = str(error)
    state = getattr(error, "sqlstate", None)
    if type(error).__name__ == "OperationalError" and state is None:
        if "no password supplied" in text:
            return LoginRejection("Postgres", _ASKS, "Add the password to {setting}.")
        fatal = _FATAL.search(text)
        if fatal is None:
            return None
        text = fatal[1]
        state = next((code for found, code in _SQLSTATE_OF_TEXT if found.search(text)), None)
    advice = _POSTGRES_ADVICE.get(state) if isinstance(state, str) else None
    return LoginRejection("Postgres", _one_line(text), advice) if advice is not None else None


_EXAMPLE = "redis://USER:PASSWORD@HOST:PORT/0"


def _of_redis(error: BaseException) -> LoginRejection | None:
    """redis-py removes the code from the text; only newer releases keep it in an attribute."""
    name, text = type(error).__name__, str(error)
    code = getattr(error, "status_code", None) or text.partition(" ")[0]
    if name == "NoPermissionError" or code == "NOPERM":
        return LoginRejection(
            "Redis",
            _one_line(text.removeprefix("NOPERM ")),
            "Grant the user in {setting} what is missing (`ACL SETUSER`), or use another user.",
            "a command",
        )
    if name != "AuthenticationError" and code not in {"NOAUTH", "WRONGPASS"}:
        return None
    if code == "NOAUTH" or re.search("Authentication required|already authenticated", text):
        return LoginRejection("Redis", _ASKS, f"Add the password to {{setting}}: {_EXAMPLE}.")
    if "without any password configured" in text or "no password is set" in text:
        return LoginRejection(
            "Redis",
            "its default user has no password, and the address contains one",
            "Remove the password from {setting}, or add the user that it belongs to: "
            f"{_EXAMPLE}.",
        )
    return LoginRejection(
        "Redis",
        "the password is wrong, or the user does not exist or is disabled",
        f"Check user and password in {{setting}}: {_EXAMPLE}. Without USER, Redis checks the "
        "password of its user `default`.",
    )


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
