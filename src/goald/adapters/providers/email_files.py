"""E-mails as files, for a goald without a mail server."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final

from goald.adapters.providers.message_files import MessageFiles
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import SUCCESS
from goald.domain.contacts.addresses import email_address
from goald.ports.clock import Clock
from goald.workers.provider import ActionFailed, Enter, Performed

_DOMAIN: Final = "goald.invalid"


class EmailFiles:
    """A `Provider` of `send_email` that writes one `.eml` file for each e-mail."""

    def __init__(self, directory: Path, sender: str, clock: Clock) -> None:
        """`sender`: the address in From."""
        self._files = MessageFiles(directory, ".eml")
        self._sender = sender
        self._clock = clock

    @property
    def is_keyed(self) -> bool:
        return True

    async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
        message = self._message(job, config)
        try:
            content = message.as_bytes(policy=SMTP)
        except (MessageError, UnicodeError, ValueError) as error:
            raise ActionFailed(f"the e-mail is invalid: {type(error).__name__}") from error
        await self._files.write(job, content, enter)
        return Performed(SUCCESS)

    async def close(self) -> None:
        await self._files.close()

    def _message(self, job: Job, config: Mapping[str, Any]) -> EmailMessage:
        contact = job.variables.get("contact") or {}
        to = email_address(str(config.get("to") or contact.get("email") or ""))
        if to is None:
            raise ActionFailed("the contact has no valid e-mail address")
        message = EmailMessage()
        try:
            message["From"], message["To"] = self._sender, to
            message["Subject"] = str(config["subject"])
            if "reply_to" in config:
                message["Reply-To"] = str(config["reply_to"])
        except ValueError:  # a line break in a header
            raise ActionFailed("a header of the e-mail is invalid") from None
        now = datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC)
        message["Date"] = format_datetime(now)
        message["Message-ID"] = f"<{job.key}@{_DOMAIN}>"
        message.set_content(str(config["body"]))
        if "html" in config:
            message.add_alternative(str(config["html"]), subtype="html")
        return message
