"""Send events to goald, and process the exits that it publishes. Needs redis-py only:
`pip install goald[client]`.

Send events:

    from goald.client import Publisher, event

    async with Publisher("redis://localhost") as publisher:
        await publisher.publish(
            event("form.submitted", "acme", "contact-7", {"form_id": "form-123"})
        )

Process exits:

    from goald.client import ExitReader

    async with ExitReader("redis://localhost", group="engine", consumer="engine-1") as exits:
        async for exit in exits:
            cancelled = await end_enrollment(exit.workflow_id, exit.enrollment_id)
            await exits.acknowledged(exit, cancelled_actions=cancelled)

An exit counts as processed when the loop body ends. If the loop body raises, the exit is delivered
again. A crash after the loop body and before the acknowledgement repeats the exit, so the loop body
must be idempotent: ending an enrollment that has ended already must do nothing.

A consumer group receives the exits of all tenants, and its members share them. Use one group name
for each application. An application that handles only some tenants uses a separate group and
skips the other tenants' exits; other groups still receive them.

All calls are for asyncio and do not block the event loop. `ServiceUnavailable` means that Redis
could not be reached or refused; the call may be repeated.
"""

from goald.client.action_worker import Action, ActionError, ActionWorker
from goald.client.consumer_group import DeliverySettings
from goald.client.envelope import event
from goald.client.exit_reader import ExitReader
from goald.client.publisher import Publisher
from goald.client.tail import TailedEntry, tail
from goald.domain.actions.outcomes import OutcomeKind
from goald.domain.errors import ServiceUnavailable
from goald.domain.records.exit import Exit, TriggerEvent
from goald.workers.backlog import ReceiverLimits

__all__ = [
    "Action",
    "ActionError",
    "ActionWorker",
    "DeliverySettings",
    "Exit",
    "ExitReader",
    "OutcomeKind",
    "Publisher",
    "ReceiverLimits",
    "ServiceUnavailable",
    "TailedEntry",
    "TriggerEvent",
    "event",
    "tail",
]
