"""Jobs: requests to perform one action step, as workers receive them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Self

from goald.domain.actions.destinations import host_of
from goald.domain.actions.gates import ActionType, GateId
from goald.domain.ids import ContactId, EnrollmentId, TenantId, WorkflowId, is_id
from goald.domain.slots import slot_of
from goald.domain.times import rfc3339

JOB_TYPE: Final = "workflow.action.requested"
"""The CloudEvents type of a job."""
SOURCE: Final = "goald"
WEBHOOK: Final = ActionType("webhook")
HOST: Final = "host "
DEFAULT_TIMEOUT_S: Final = 60.0
MAX_TIMEOUT_S: Final = 86_400.0
MAX_COUNT: Final = 65_535
"""Of visits, attempts and hops."""
MAX_KEY_CHARS: Final = 256


def host_connection(action: str, config: Mapping[str, Any]) -> str | None:
    """The connection of a webhook that names none: its host, which a pause or a rate limit applies
    to (X5). No connection has such a name. None for other actions."""
    url = config.get("url")
    host = host_of(url) if action == WEBHOOK and isinstance(url, str) else None
    return None if host is None else f"{HOST}{host}"


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt of an action step."""

    gate: GateId
    tenant_id: TenantId
    contact_id: ContactId
    workflow_id: WorkflowId
    execution_id: EnrollmentId
    step_id: str
    visit: int
    attempt: int
    action: ActionType
    key: str
    """The idempotency key, the same in all attempts of a visit (X3)."""
    config: Mapping[str, Any]
    """The fields of the action under `with`. Their texts are templates."""
    variables: Mapping[str, Any]
    """The variables of the templates: `contact`, `execution`, `workflow`, `trigger`."""
    connection: str | None = None
    """The name of the tenant's connection, never a secret (X13); or that of `host_connection`."""
    hops: int = 0
    """Of the changes that the action makes (X14)."""
    timeout_s: float = DEFAULT_TIMEOUT_S
    """How long after its gate was passed another worker may take the job over (X4)."""

    @property
    def slot(self) -> int:
        return slot_of(self.tenant_id, self.contact_id)

    @property
    def destination(self) -> str:
        """The receiver of the call: the connection, or the host of a webhook without one, or else
        the action. A pause or a rate limit applies to it (X5)."""
        return self.connection or host_connection(self.action, self.config) or self.action

    @property
    def connection_name(self) -> str | None:
        """The name of the tenant's connection; None without one."""
        is_host = self.connection is not None and self.connection.startswith(HOST)
        return None if is_host else self.connection

    def encode(self, at_us: int) -> str:
        """The job as a CloudEvent in JSON. `at_us`: its time."""
        data = {
            "gate": str(self.gate),
            "contact_id": self.contact_id,
            "workflow_id": self.workflow_id,
            "execution_id": self.execution_id,
            "step_id": self.step_id,
            "visit": self.visit,
            "attempt": self.attempt,
            "action": self.action,
            "idempotency_key": self.key,
            "with": self.config,
            "variables": self.variables,
            "connection": self.connection,
            "hops": self.hops,
            "timeout_seconds": self.timeout_s,
        }
        event = {
            "specversion": "1.0",
            "id": str(self.gate),
            "source": SOURCE,
            "type": JOB_TYPE,
            "time": rfc3339(at_us),
            "tenantid": self.tenant_id,
            "data": data,
        }
        return json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @classmethod
    def parse(cls, payload: bytes) -> Self:
        """The inverse of `encode`. Ignores unknown fields. Raises ValueError, whose message
        contains no value."""
        event = _event(payload)
        return cls._read(event, _map(event, "data"))

    @classmethod
    def parse_identity(cls, payload: bytes) -> Self:
        """A job without fields and variables, from a payload that `parse` refuses because of these:
        enough to report that the job cannot be read. Raises ValueError."""
        event = _event(payload)
        identity = {**_map(event, "data"), "with": {}, "variables": {}}
        for name in ("connection", "hops", "timeout_seconds"):
            identity.pop(name, None)
        return cls._read(event, identity)

    @classmethod
    def _read(cls, event: Mapping[str, Any], data: Mapping[str, Any]) -> Self:
        return cls(
            gate=GateId.parse(_text(data, "gate")),
            tenant_id=TenantId(_id(event, "tenantid")),
            contact_id=ContactId(_id(data, "contact_id")),
            workflow_id=WorkflowId(_id(data, "workflow_id")),
            execution_id=EnrollmentId(_id(data, "execution_id")),
            step_id=_text(data, "step_id"),
            visit=_count(data, "visit"),
            attempt=_count(data, "attempt"),
            action=ActionType(_text(data, "action")),
            key=_text(data, "idempotency_key"),
            config=_map(data, "with"),
            variables=_map(data, "variables"),
            connection=None if data.get("connection") is None else _text(data, "connection"),
            hops=_count(data, "hops") if "hops" in data else 0,
            timeout_s=_timeout(data.get("timeout_seconds", DEFAULT_TIMEOUT_S)),
        )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


_DECODE: Final = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _event(payload: bytes) -> Mapping[str, Any]:
    try:
        event = _DECODE(payload.decode("utf-8", "surrogatepass"))
    except RecursionError:
        raise ValueError("not a job: nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not a job: no JSON text ({type(error).__name__})") from None
    if not isinstance(event, Mapping) or event.get("type") != JOB_TYPE:
        raise ValueError("not a job: its type is another one")
    return event


def _map(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"not a job: {name} is no map")


def _text(data: Mapping[str, Any], name: str) -> str:
    """A text that can be encoded in UTF-8."""
    value = data.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY_CHARS:
        raise ValueError(f"not a job: {name} is no text of 1 to {MAX_KEY_CHARS} characters")
    try:
        if not value.isascii():
            value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"not a job: {name} is not valid Unicode") from None
    return value


def _id(data: Mapping[str, Any], name: str) -> str:
    value = _text(data, name)
    if not is_id(value):
        raise ValueError(f"not a job: {name} is no id")
    return value


def _count(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_COUNT:
        raise ValueError(f"not a job: {name} is no number of 0 to {MAX_COUNT:,}")
    return value


def _timeout(value: object) -> float:
    if not isinstance(value, int | float) or not 0 < value <= MAX_TIMEOUT_S:
        raise ValueError("not a job: timeout_seconds is no time")
    return float(value)
