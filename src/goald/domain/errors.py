"""Every error that goald raises, under one root.

    GoaldError
    ├── RetryableError            the same call may succeed later
    │   ├── ServiceUnavailable    Redis or Postgres is gone, full, or read-only (D6)
    │   │   └── ShardDied         a shard's process ended while it had the events (D4)
    │   ├── QuotaExceeded         a tenant has asked for more than it may in a second (D8)
    │   ├── CommitUnknown         a commit failed, or may have happened (design 2, step 4)
    │   ├── RayEnded              Ray, or what it should keep alive, has ended
    │   ├── LeaseHeld             another, who may be alive, has the slots or the stream
    │   ├── NotDrained            what was sent has not all taken effect yet (3.2)
    │   └── OutOfSequence         a shard was sent a batch that is not its next one
    └── PermanentError            it will not, until somebody changes something
        ├── LeaseLost             another holder has the slots or the stream (D3)
        ├── ServerReplaced        Redis or Postgres came back as another (D10)
        ├── ContentRefused        Postgres refuses a row for its content (D4)
        ├── BreakerOpen           too many events in a row could not be processed (D4)
        ├── SettingsError         a setting is missing or wrong
        ├── StreamCountMismatch   started with another number of streams than Redis holds (3.2)
        ├── SchemaMismatch        the database is not migrated to what this release needs
        ├── InvalidFile           a file given to a command cannot be taken
        ├── InvalidConfiguration  what is to be configured cannot be (R13)
        ├── AlreadyExists          what is to be made is there
        ├── VersionConflict       somebody else has changed it meanwhile
        │   └── StaleVersion      it is not the version that the change was to be made of
        ├── InvalidEvent          an event cannot be taken; goald:dead is where it would go
        ├── NotFound              what a command names is not there
        └── StartError            a service or a process could not be started

Each can be made of its message alone, so that it survives pickling between processes.
"""

from asyncio import CancelledError
from collections.abc import Sequence


class GoaldError(Exception):
    """The root of goald's errors; its text is for a person to read."""


class RetryableError(GoaldError):
    """The same call may succeed later."""


class PermanentError(GoaldError):
    """The same call fails again until somebody changes something."""


class ServiceUnavailable(RetryableError):
    """Redis or Postgres is gone, full, or read-only (D6). Nothing was changed."""


class ShardDied(ServiceUnavailable):
    """A shard's process was killed, or failed, while it had these events; what of them took
    effect is not known (D4)."""


class QuotaExceeded(RetryableError):
    """A tenant has asked for more than it may in this second (D8); it may in the next."""


class CommitUnknown(RetryableError):
    """A commit failed or its outcome is unknown: its contacts are to be loaded again."""


class LeaseHeld(RetryableError):
    """Another holder, who may be alive, has the slots or the stream; the text says who. It can
    be taken when that lease has run out."""


class NotDrained(RetryableError):
    """What was sent has not all taken effect yet, so that nothing was changed; it can be when
    it has."""


class RayEnded(RetryableError):
    """A process of Ray has ended, or Ray has given an actor up: all actors are to be started
    anew, in a new Ray."""


class OutOfSequence(RetryableError):
    """A batch is not the next of its stream; its sender begins again at the first
    that is not acknowledged."""


class LeaseLost(PermanentError):
    """The epoch is no longer the one that may act; its holder stops (D3)."""


class ServerReplaced(PermanentError):
    """Redis or Postgres came back as another, or with less than it had (D10): what is held of
    it in memory is void, and its holder begins anew."""


class ContentRefused(PermanentError):
    """Postgres refuses a row for its content (SQLSTATE classes 22, 23); nothing was written,
    and the same is refused again (D4)."""


class BreakerOpen(PermanentError):
    """So many events in a row, of several tenants, could not be processed that the fault is
    ours (D4): nothing more is set aside, and reading stops until somebody looks."""


class SettingsError(PermanentError):
    """A setting is missing or wrong; the text names it."""


class StreamCountMismatch(PermanentError):
    """`GOALD_STREAMS` differs from the count that Redis holds."""


class SchemaMismatch(PermanentError):
    """The database is not at the revision that this release needs."""


class InvalidFile(PermanentError):
    """A file cannot be taken; the text names the place and what is wrong with it."""


class InvalidConfiguration(PermanentError):
    """What is to be configured cannot be (R13). `faults`: (place, what is wrong there) for
    each fault, where that is known; a place is a JSON pointer into what was given."""

    def __init__(self, text: str, faults: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(text)
        self.faults = tuple(faults)


class AlreadyExists(PermanentError):
    """The same is there already."""


class VersionConflict(PermanentError):
    """Somebody else has changed it since the version that is named. Nothing was changed."""


class StaleVersion(VersionConflict):
    """It is no longer a version of which the change was to be made, or not there at all."""


class InvalidEvent(PermanentError):
    """An event cannot be taken (D4, D9); the text is the reason."""


class NotFound(PermanentError):
    """What a command names is not there."""


class StartError(PermanentError):
    """A service or process could not be started; the text says why and what to do."""


def is_infrastructure_failure(error: BaseException) -> bool:
    """Whether what ended a process has nothing to do with the events that it had: a server or
    a lease was lost, or somebody stopped it (D4)."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_infrastructure_failure(part) for part in error.exceptions)
    return isinstance(error, (GoaldError, OSError, CancelledError))
