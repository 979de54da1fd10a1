"""Text messages and messages to the tenant's admin as files, for a goald without a gateway."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from goald.adapters.providers.message_files import MessageFiles
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import SUCCESS
from goald.domain.contacts.addresses import phone_number
from goald.ports.clock import Clock
from goald.workers.provider import ActionFailed, Enter, Performed

Content: TypeAlias = Callable[[Job, Mapping[str, Any]], Mapping[str, str]]


def text_message(job: Job, config: Mapping[str, Any]) -> Mapping[str, str]:
    """The fields of a text message. Raises ActionFailed if its number is invalid."""
    contact = job.variables.get("contact") or {}
    to = phone_number(str(config.get("to") or contact.get("phone") or ""))
    if to is None:
        raise ActionFailed("the contact has no valid phone number")
    return {"to": to, "text": str(config["text"])}


def admin_message(job: Job, config: Mapping[str, Any]) -> Mapping[str, str]:
    """The fields of a message to the tenant's admin."""
    subject = str(config.get("subject") or f"Workflow {job.workflow_id}")
    return {"tenant_id": job.tenant_id, "subject": subject, "message": str(config["message"])}


class TextFiles:
    """A `Provider` that writes one JSON file for each message."""

    def __init__(self, directory: Path, content: Content, clock: Clock) -> None:
        """`content`: the fields of a message."""
        self._files = MessageFiles(directory, ".json")
        self._content = content
        self._clock = clock

    @property
    def is_keyed(self) -> bool:
        return True

    async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
        at = datetime.fromtimestamp(self._clock.now_us() // 1_000_000, UTC)
        fields = {"id": job.key, "date": at.isoformat(), **self._content(job, config)}
        text = json.dumps(fields, ensure_ascii=False, indent=1) + "\n"
        await self._files.write(job, text.encode(), enter)
        return Performed(SUCCESS)

    async def close(self) -> None:
        await self._files.close()
