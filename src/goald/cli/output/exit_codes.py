"""Maps errors to exit codes, and prints one line on standard error if a command fails."""

import os
import sys
from enum import IntEnum

from goald.domain.errors import EncryptionKeyMissing, GoaldError, RetryableError, SettingsError
from goald.domain.login_rejection import SETTING_OF, login_rejection


class Code(IntEnum):
    """Exit codes; scripts rely on them (docs/reference/cli.md)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    NOT_READY = 4
    INTERRUPTED = 130


class PipeClosed(Exception):
    """The reader of standard output closed it, as `| head` does."""


def code_of(error: BaseException) -> Code:
    """The exit code for an error."""
    if isinstance(error, SettingsError | EncryptionKeyMissing):
        return Code.USAGE
    if not isinstance(error, GoaldError) and login_rejection(error):
        return Code.USAGE
    if isinstance(error, RetryableError) or _is_lost_connection(error):
        return Code.UNREACHABLE
    return Code.FAILED


def report(error: BaseException) -> Code:
    """Print the error in one line on standard error, and return its exit code.

    Also prints the traceback if `GOALD_LOG_LEVEL` is debug.
    """
    if os.environ.get("GOALD_LOG_LEVEL", "").lower() == "debug":
        import traceback

        traceback.print_exception(error)
    code = code_of(error)
    text = _one_line(str(error)) or type(error).__name__
    if isinstance(error, GoaldError):
        complain(text)
    elif rejection := login_rejection(error):
        complain(rejection.message(SETTING_OF[rejection.service]))
    elif code is Code.UNREACHABLE:
        complain(f"a service cannot be reached: {text}")
    else:
        complain(f"{type(error).__name__}: {text} (GOALD_LOG_LEVEL=debug shows where)")
    return code


def complain(text: str) -> None:
    """Print one line on standard error."""
    print(f"goald: {text}", file=sys.stderr, flush=True)


def _one_line(text: str) -> str:
    """Join the lines of a text into one line. Text after a blank line is meant to be copied, and
    stays unchanged."""
    text, separator, verbatim = text.partition("\n\n")
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return "; ".join(lines).replace(":; ", ": ") + separator + verbatim


def _is_lost_connection(error: BaseException) -> bool:
    """Whether the error means that Redis or Postgres is unreachable. Checks only imported
    libraries, because no other can have raised it."""
    if isinstance(error, ConnectionError | TimeoutError):
        return True
    if redis := sys.modules.get("redis.exceptions"):
        if isinstance(error, redis.AuthenticationError):
            return False
        if isinstance(error, redis.ConnectionError | redis.TimeoutError):
            return True
    if asyncpg := sys.modules.get("asyncpg"):
        return isinstance(
            error,
            asyncpg.PostgresConnectionError
            | asyncpg.InterfaceError
            | asyncpg.CannotConnectNowError
            | asyncpg.InternalClientError,
        )
    return False
