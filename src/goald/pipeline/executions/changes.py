"""The rows of executions that a commit writes, from a proposal."""

from collections.abc import Collection, Sequence

from goald import _native
from goald.domain.records.execution import IN_FLIGHT
from goald.domain.slots import slot_of
from goald.ports.executions.change import Answer, ExecutionChange, LogColumns, TransitionColumns

END_EVENTS = ("execution_cancelled", "goal_achieved")


def execution_change(
    proposed: _native.ExecutionProposal,
    gates: Sequence[str | None],
    passed: Collection[int],
) -> ExecutionChange:
    """The columns of a slice, each copied out of Rust once. `gates`: of each transition, the gate
    of the attempt that is out after it. `passed`: the transitions whose gate a worker had passed
    when it was closed."""
    of, logs = proposed.transitions, proposed.logs
    return ExecutionChange(
        TransitionColumns(
            tenant_id=of.tenant_id,
            contact_id=of.contact_id,
            slot=of.slot,
            workflow_id=of.workflow_id,
            execution_id=of.execution_id,
            version=of.version,
            effect=of.effect,
            guard=of.guard,
            state=of.state,
            status=of.status,
            waiting_for=of.waiting_for,
            reason=of.reason,
            step_id=of.step_id,
            step_index=of.step_index,
            total_steps=of.total_steps,
            visit=of.visit,
            attempt=of.attempt,
            retry_count=of.retry_count,
            hops=of.hops,
            action=of.action,
            connection=of.connection,
            zone=of.zone,
            since_ms=of.since_ms,
            since_seq=of.since_seq,
            due_ms=of.due_ms,
            done_steps=of.done_steps,
            started_at_ms=of.started_at_ms,
            migrates=of.migrates,
            used_event=of.used_event,
            used_events=of.used_events,
            gate=gates,
            variables=of.variables,
        ),
        LogColumns(
            transition=logs.transition,
            tenant_id=logs.tenant_id,
            contact_id=logs.contact_id,
            workflow_id=logs.workflow_id,
            execution_id=logs.execution_id,
            event_type=logs.event_type,
            at_ms=logs.at_ms,
            step_index=logs.step_index,
            step_id=logs.step_id,
            attempt=logs.attempt,
            duration_ms=logs.duration_ms,
            message=_messages(logs, passed),
            user=logs.user,
        ),
        [
            Answer(tenant, request, slot_of(tenant, contact), answer, execution)
            for _, request, tenant, contact, answer, execution in proposed.answers
            if request is not None
        ],
    )


def _messages(logs: _native.ExecutionLogs, passed: Collection[int]) -> Sequence[str | None]:
    """The messages of the log. The row of an end says whether a call was in flight."""
    if not passed:
        return logs.message
    return [
        _in_flight(message) if transition in passed and kind in END_EVENTS else message
        for transition, kind, message in zip(
            logs.transition, logs.event_type, logs.message, strict=True
        )
    ]


def _in_flight(message: str | None) -> str:
    return f"{message}: {IN_FLIGHT}" if message else IN_FLIGHT
