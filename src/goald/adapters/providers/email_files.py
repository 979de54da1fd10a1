"""E-mails as files, for a goald without a mail server."""

import asyncio
import os
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import SUCCESS
from goald.domain.contacts.addresses import email_address
from goald.ports.clock import Clock
from goald.workers.provider import ActionFailed, Enter, Performed

_DOMAIN: Final = "goald.invalid"
_THREADS: Final = 4


class EmailFiles:
    """A `Provider` of `send_email` that writes one `.eml` file for each e-mail. The name is derived
    from the idempotency key, so a repeated call writes the same file."""

    def __init__(self, directory: Path, sender: str, clock: Clock) -> None:
        """`sender`: the address in From."""
        self._directory = directory
        self._sender = sender
        self._clock = clock
        self._threads = ThreadPoolExecutor(_THREADS, "email-files")
        """Its own, so that no slow look-up of a host delays a file."""

    @property
    def is_keyed(self) -> bool:
        return True

    async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
        message = self._message(job, config)
        name = sha256(f"{len(job.tenant_id)}:{job.tenant_id}{job.key}".encode()).hexdigest()[:32]
        try:
            content = message.as_bytes(policy=SMTP)
        except (MessageError, UnicodeError, ValueError) as error:
            raise ActionFailed(f"the e-mail is invalid: {type(error).__name__}") from error
        await enter()
        loop, path = asyncio.get_running_loop(), self._directory / f"{name}.eml"
        await loop.run_in_executor(self._threads, _write, path, content, enter.check)
        return Performed(SUCCESS)

    async def close(self) -> None:
        self._threads.shutdown(wait=False)

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


def _write(path: Path, content: bytes, check: Callable[[], None]) -> None:
    """Write a file that appears complete or not at all. `check` is called right before it appears,
    and raises if it must not."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        check()
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
