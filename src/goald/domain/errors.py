"""All errors of goald, under one root.

    GoaldError
    ├── RetryableError            the same call may succeed later
    │   ├── ServiceUnavailable    Redis or Postgres is unreachable, full, or read-only (D6)
    │   │   └── ShardDied         a shard's process ended while it had the events (D4)
    │   ├── QuotaExceeded         a tenant has exceeded its quota for this second (D8)
    │   ├── EncryptionKeyMissing  GOALD_SECRETS_KEYS lacks the key of a stored secret
    │   ├── CommitUnknown         a commit failed, or its outcome is unknown
    │   ├── RayEnded              Ray, or an actor that it should keep alive, has ended
    │   ├── LeaseHeld             a holder that may be alive has the slots or the stream
    │   ├── NotDrained            some events have not taken effect yet
    │   └── OutOfSequence         a shard received a batch that is not its next one
    └── PermanentError            the same call fails until something is changed
        ├── LeaseLost             another holder has the slots or the stream (D3)
        ├── ServerReplaced        Redis or Postgres was replaced or lost data (D10)
        ├── ContentRefused        Postgres refuses a row for its content (D4)
        ├── BreakerOpen           too many events in a row could not be processed (D4)
        ├── SettingsError         a setting is missing or wrong
        ├── StreamCountMismatch   GOALD_STREAMS differs from the number that Redis holds
        ├── SchemaMismatch        the database is not migrated to what this release needs
        ├── SecretDamaged         a stored secret was changed or belongs to another row
        ├── InvalidFile           a file given to a command is invalid
        ├── InvalidConfiguration  a configuration is invalid
        ├── AlreadyExists         the same object exists
        ├── TooManyWorkflows      a tenant would have more workflows than it may have
        ├── TooManySources        a tenant would have more sources than it may have
        ├── TooManyWebhooks       a tenant would have more webhooks than it may have
        ├── WorkflowInUse         a workflow with active enrollments cannot be deleted
        ├── OverdueSteps          an activation must say how it treats overdue steps
        ├── VersionConflict       another change came first
        │   └── StaleVersion      the object is not at the version that the change expects
        ├── InvalidEvent          an event is invalid; on a stream it would be dead-lettered
        ├── NotFound              the object does not exist
        └── StartError            a service or a process could not be started

Every error can be created from its message alone, so that it survives pickling.
"""

from asyncio import CancelledError
from collections.abc import Iterator, Sequence


class GoaldError(Exception):
    """The root of goald's errors. The message is meant for people."""


class RetryableError(GoaldError):
    """The same call may succeed later."""


class PermanentError(GoaldError):
    """The same call fails again until something is changed."""


class ServiceUnavailable(RetryableError):
    """Redis or Postgres is unreachable, full, or read-only (D6). Nothing was changed."""


class ShardDied(ServiceUnavailable):
    """A shard's process ended while it had these events. Which of them took effect is unknown
    (D4)."""


class EncryptionKeyMissing(RetryableError):
    """The key of a stored secret is not among the keys of GOALD_SECRETS_KEYS, or there is no key.
    Nothing is lost: the same call succeeds when the key is set."""


class QuotaExceeded(RetryableError):
    """A tenant has exceeded its quota for this second (D8)."""


class CommitUnknown(RetryableError):
    """A commit failed or its outcome is unknown. Its contacts must be loaded again."""


class LeaseHeld(RetryableError):
    """A holder that may be alive has the slots or the stream; the message names it. The lease
    can be acquired after it has expired."""


class NotDrained(RetryableError):
    """Some events have not taken effect yet. Nothing was changed."""


class RayEnded(RetryableError):
    """A Ray process has ended, or Ray no longer restarts an actor. All actors must be started
    again, in a new Ray cluster."""


class OutOfSequence(RetryableError):
    """A batch is not the next one of its stream. The sender starts again at the first batch that
    is not acknowledged."""


class LeaseLost(PermanentError):
    """The epoch is fenced out; its holder must stop (D3)."""


class ServerReplaced(PermanentError):
    """Redis or Postgres was replaced or lost data (D10). State in memory that came from it is
    invalid and must be loaded again."""


class ContentRefused(PermanentError):
    """Postgres refuses a row for its content (SQLSTATE classes 22, 23); nothing was written,
    and the same is refused again (D4)."""


class BreakerOpen(PermanentError):
    """Too many events in a row, of several tenants, could not be processed, which indicates a bad
    release (D4). No more events are dead-lettered, and reading stops."""


class SettingsError(PermanentError):
    """A setting is missing or invalid, or a server rejects the login in it; the message names
    the setting."""


class StreamCountMismatch(PermanentError):
    """`GOALD_STREAMS` differs from the number that Redis holds."""


class SchemaMismatch(PermanentError):
    """The database is not at the revision that this release needs."""


class SecretDamaged(PermanentError):
    """A stored secret was changed, or was moved from another row."""


class InvalidFile(PermanentError):
    """A file is invalid; the message names the place and the fault."""


class InvalidConfiguration(PermanentError):
    """A configuration is invalid. `faults`: (place, fault) for each known fault; a place
    is a JSON pointer into the input."""

    def __init__(self, text: str, faults: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(text)
        self.faults = tuple(faults)


class AlreadyExists(PermanentError):
    """The same object exists."""


class TooManyWorkflows(PermanentError):
    """A change would give a tenant more workflows than GOALD_MAX_WORKFLOWS. Nothing was changed."""


class TooManySources(PermanentError):
    """The change would create more sources than a tenant may have. Nothing was changed."""


class TooManyWebhooks(PermanentError):
    """The change would create more webhooks than a tenant may have. Nothing was changed."""


class WorkflowInUse(PermanentError):
    """A workflow that has active enrollments cannot be deleted. Nothing was changed."""


class OverdueSteps(PermanentError):
    """A workflow has steps that became due while it was inactive, and the activation does not say
    how they are treated (X7). Nothing was changed."""

    def __init__(self, workflow_id: str, count: int) -> None:
        self.workflow_id = workflow_id
        self.count = count
        super().__init__(workflow_id, count)

    def __str__(self) -> str:
        steps = "1 step is" if self.count == 1 else f"{self.count:,} steps are"
        return (
            f"{steps} overdue in the workflow {self.workflow_id}. Say how they are treated with "
            "`overdue`: `run` starts them now, `skip` continues with the next step, `cancel` "
            "cancels their executions"
        )


class VersionConflict(PermanentError):
    """The object has changed since the version that the request names. Nothing was changed."""


class StaleVersion(VersionConflict):
    """The object is not at the version that the change expects, or does not exist."""


class InvalidEvent(PermanentError):
    """An event is invalid (D4, D9); the message is the reason."""


class NotFound(PermanentError):
    """The object does not exist."""


class StartError(PermanentError):
    """A service or process could not be started; the message says why and what to do."""


def is_infrastructure_failure(error: BaseException) -> bool:
    """Whether a process ended for a reason other than its events: a server or a lease was lost,
    or the process was stopped (D4)."""
    if isinstance(error, BaseExceptionGroup):
        return all(is_infrastructure_failure(inner) for inner in error.exceptions)
    return isinstance(error, (GoaldError, OSError, CancelledError))


def causes_of(error: BaseException | None) -> Iterator[BaseException]:
    """The error, its cause, the cause's cause and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
