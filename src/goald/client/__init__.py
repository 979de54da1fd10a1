"""Send events to goald, and obey the exits it publishes. Needs redis-py and nothing else:
`pip install goald[client]`.

Send:

    from goald.client import Publisher, event

    async with Publisher("redis://localhost") as publisher:
        await publisher.publish(
            event("form.submitted", "acme", "contact-7", {"form_id": "form-123"})
        )

Obey:

    from goald.client import ExitReader

    async with ExitReader("redis://localhost", group="engine", consumer="engine-1") as exits:
        async for exit in exits:
            cancelled = await take_out(exit.workflow_id, exit.enrollment_id)
            await exits.acknowledged(exit, cancelled_actions=cancelled)

An exit counts as obeyed when the body of the loop has come to its end; where it raises,
the exit is read again. A crash between the two repeats it, so the body has to be
idempotent: taking out an enrollment that is out already must do nothing.
"""

from goald.client.envelope import event
from goald.client.exit_reader import ExitReader
from goald.client.publisher import Publisher
from goald.client.tail import TailedEntry, tail
from goald.domain.errors import ServiceUnavailable
from goald.domain.exit import Exit, TriggerEvent

__all__ = [
    "Exit",
    "ExitReader",
    "Publisher",
    "ServiceUnavailable",
    "TailedEntry",
    "TriggerEvent",
    "event",
    "tail",
]
