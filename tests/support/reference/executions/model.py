"""The state machine of executions of one tenant (§4, X1 to X14)."""

from collections.abc import Mapping, Sequence

from tests.support.reference.executions.later_phases import WholeTurn
from tests.support.reference.executions.plans import Described
from tests.support.reference.executions.runs import Evaluated, Run, Workflow
from tests.support.reference.executions.turn import Input


class ExecutionModel:
    """The committed executions, and the evaluation of inputs."""

    def __init__(self, tenant: str, zones: Sequence[str], keep_failed_ms: int) -> None:
        self.tenant = tenant
        self.zones = zones
        self.keep_failed_ms = keep_failed_ms
        self.workflows: dict[str, Workflow] = {}
        self.runs: dict[str, Run] = {}
        """By id, those that have ended too."""
        self.last_started: dict[tuple[str, str], int] = {}
        """By contact and workflow."""
        self.contacts: dict[str, Described] = {}
        self.used: dict[tuple[str, str], set[str]] = {}
        """By contact and workflow: the keys of the events that met goals (E11)."""

    def evaluate(
        self,
        inputs: Sequence[Input],
        now: int,
        grants: set[str] | None,
        only_events: bool = False,
    ) -> Evaluated:
        """The contacts of the inputs, of due timers and of grants, each in four phases (X1). First
        the inputs that are on a stream, which have a sequence, then the others. `grants`: None for
        all executions of these contacts. `now` is the watermark too."""
        result = Evaluated()
        contacts = {each["contact"] for each in inputs}
        if not only_events:
            contacts |= {run.contact for run in self.runs.values() if self._fires(run, now)}
            contacts |= {self.runs[id_].contact for id_ in grants or ()}
        for contact in sorted(contacts):
            of_contact = [each for each in inputs if each["contact"] == contact]
            of_contact.sort(key=lambda each: "seq" not in each)
            turn = WholeTurn(self, contact, now, grants, result)
            turn.evaluate(of_contact, only_events)
        return result

    def _fires(self, run: Run, now: int) -> bool:
        if run.ended is not None or run.due is None or run.due > now:
            return False
        return run.state == "failed" or self.workflows[run.workflow].is_active

    def commit(
        self, result: Evaluated, contacts: Mapping[str, Described], only: set[str] | None = None
    ) -> None:
        """Commit the changes of these executions; None for all."""
        for id_, run in result.after.items():
            if only is not None and id_ not in only:
                continue
            if id_ not in self.runs:
                key = (run.contact, run.workflow)
                self.last_started[key] = max(run.started_at, self.last_started.get(key, 0))
            self.runs[id_] = run
        for workflow, event, id_ in result.used:
            if only is None or id_ in only:
                runs = result.after[id_].contact, workflow
                self.used.setdefault(runs, set()).add(event)
        self.contacts.update(contacts)
