"""The rendered payload of an action, the same in all attempts of a visit (X3).

Under the same idempotency key a receiver may refuse other content, or keep the first. So an attempt
that may have reached its provider leaves what it has rendered, encrypted, with its result, and the
next attempt sends that in place of rendering its templates.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import OutcomeKind
from goald.domain.credentials.encrypted import EncryptedValue
from goald.ports.actions.jobs import JobQueue, PayloadChange
from goald.ports.secrets.cipher import SecretCipher

_PLACE: Final = "payload of an action"
_REPEATED: Final = frozenset(
    {OutcomeKind.RETRY, OutcomeKind.PAUSE, OutcomeKind.RATE_LIMIT, OutcomeKind.UNKNOWN}
)
"""Outcomes that another attempt may follow."""
_DONE: Final = frozenset({OutcomeKind.SUCCESS, OutcomeKind.SKIP})


class Payloads:
    """Keeps payloads for the next attempts. A value of JSON is the same after it was kept."""

    def __init__(self, queue: JobQueue, cipher: SecretCipher) -> None:
        self._queue = queue
        self._cipher = cipher

    async def find(self, job: Job) -> Mapping[str, Any] | None:
        """The payload of an earlier attempt; None if none has called the provider. Raises
        ServiceUnavailable, and the errors of `SecretCipher.decrypt`."""
        if job.attempt <= 1:
            return None
        stored = await self._queue.payload(job.tenant_id, job.contact_id, job.key)
        if not stored:
            return None
        key_id, _, data = stored.partition(b":")
        text = self._cipher.decrypt(EncryptedValue(key_id.decode(), data), *_context(job))
        payload: Mapping[str, Any] = json.loads(text)
        return payload

    def change(
        self, job: Job, kind: OutcomeKind, called_with: Mapping[str, Any] | None
    ) -> PayloadChange | None:
        """The change of the payload with a result. `called_with`: the payload of the call; None if
        nothing was called. Raises EncryptionKeyMissing."""
        if kind in _DONE:
            is_kept = job.attempt > 1
            return self._changed(job, b"") if is_kept else None
        if kind not in _REPEATED or called_with is None:
            return None
        text = json.dumps(called_with, ensure_ascii=False, separators=(",", ":")).encode()
        encrypted = self._cipher.encrypt(text, *_context(job))
        return self._changed(job, encrypted.key_id.encode() + b":" + encrypted.data)

    def _changed(self, job: Job, data: bytes) -> PayloadChange:
        return PayloadChange(job.tenant_id, job.contact_id, job.key, data)


def _context(job: Job) -> tuple[str, ...]:
    return _PLACE, job.tenant_id, job.contact_id, job.key
