"""Executions whose transitions Postgres refuses for their content, and that no event causes (D4).

Timers and due steps are on no stream, so nothing can be dead-lettered: the same transition would be
proposed at each evaluation, forever. So the execution fails, which is another transition; a user
can retry it. If Postgres refuses that too, memory holds the execution as it is: its timers do not
fire and its steps do not start, until its contact is loaded again or the shard starts again.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import structlog

from goald.metrics.pipeline import ShardMetrics

ERROR: Final = "Postgres refused a change of the execution"

_log = structlog.stdlib.get_logger(__name__)


class RefusedExecution(NamedTuple):
    """An execution of which a transition was refused."""

    tenant_id: str
    contact_id: str
    execution_id: str


class RefusedExecutions:
    """The refused executions of one shard."""

    def __init__(self, metrics: ShardMetrics) -> None:
        self._metrics = metrics
        self._failing: set[RefusedExecution] = set()
        self._stopped: set[RefusedExecution] = set()

    def refuse(self, executions: Iterable[RefusedExecution], reason: str) -> None:
        """The transitions of these executions were refused."""
        for each in executions:
            is_repeated = each in self._failing
            if is_repeated:
                self._failing.remove(each)
            (self._stopped if is_repeated else self._failing).add(each)
            self._metrics.executions_refused.inc()
            then = "it is held until it is loaded again" if is_repeated else "it fails"
            _log.warning(
                f"Postgres refuses a change of an execution: {then}",
                tenant=each.tenant_id, execution=each.execution_id, reason=reason,
            )  # fmt: skip
        self._metrics.executions_held.set(len(self._stopped))

    def written(self, tenant: str, execution: str) -> None:
        """A transition of this execution is committed."""
        self._failing = {each for each in self._failing if each[::2] != (tenant, execution)}

    def forget(self, contacts: set[tuple[str, str]]) -> None:
        """The executions of these contacts were loaded again, or moved."""
        for executions in (self._failing, self._stopped):
            executions -= {each for each in executions if each[:2] in contacts}
        self._metrics.executions_held.set(len(self._stopped))

    def __bool__(self) -> bool:
        return bool(self._failing)

    def inputs(self, at_ms: int) -> Sequence[dict[str, object]]:
        """The inputs of the next evaluation."""
        failing = [{**_input("fail", each, at_ms), "error": ERROR} for each in self._failing]
        return failing + [_input("hold", each, at_ms) for each in self._stopped]


def _input(kind: str, of: RefusedExecution, at_ms: int) -> dict[str, object]:
    return {
        "kind": kind,
        "tenant_id": of.tenant_id,
        "contact_id": of.contact_id,
        "at_ms": at_ms,
        "execution_id": of.execution_id,
    }
