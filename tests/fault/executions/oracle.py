"""The oracle of actions: compares the calls that the provider received, the changes of gates in
Redis and the rows in Postgres with the events that were sent. It knows the rules and nothing of
goald's implementation.

**After the exit.** No gate may be passed after the commit of the exit (X2). Two orders show it:

- Redis: a gate that is passed after the exit is in `goald:exits` was passed after its commit. So
  was a gate that was passed after it was closed. This needs no clock.
- One clock: a gate is passed after the time that Redis read when the script began, and a commit
  becomes visible after the time that Postgres records for it (`track_commit_timestamp`), which it
  reads before it writes the commit. Both read the clock of the machine. So a gate whose time is
  later than that of the commit was passed after it; and a gate that was passed after the commit has
  a time that is not earlier than that of the commit, cut to milliseconds. A gate of the same
  millisecond counts as passed after the commit, unless the exit says that the action is in flight:
  then it was passed before it was closed, and it was closed before the commit.

**The 250 ms.** The age of a call is the time from that which Redis read when the gate was passed to
that at which the kernel of the receiver got the call. A call that is older than 250 ms (and 1 ms,
because Redis cuts) is excused, and counted, if its worker was stopped with SIGSTOP in between.

**In flight.** A call is in flight at an exit if its gate was passed and had no result when the exit
was published, or if the provider had received it before the commit of the exit and answered it
after that.

**Doubled.** The provider honours idempotency keys, so a repeated call with the same key and the
same content performs nothing (X3), and a worker that died or a gate that was lost justifies it
(X4). A step is doubled if it was performed under two keys, or if a repetition has another content:
the steps of the workflows are in no loop and are not retried by hand, so each is visited once.
"""

import bisect
from collections import Counter, defaultdict
from dataclasses import dataclass, field, fields
from typing import Final

from tests.fault.executions.evidence import Call, Evidence, Exit, Key, Passage, StoredExecution

CALL_WITHIN_MS: Final = 251.0
GOAL: Final = "goal_achieved"
_EXAMPLES: Final = 5


@dataclass
class Verdict:
    """The errors found, one phrase each, and figures."""

    passed_after_exit: list[str] = field(default_factory=list)
    begun_late: list[str] = field(default_factory=list)
    without_gate: list[str] = field(default_factory=list)
    not_owned: list[str] = field(default_factory=list)
    """In flight at an exit whose `action_in_flight` is not true."""
    doubled: list[str] = field(default_factory=list)
    not_ended: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Executions that did not start, exits that were not published, steps that were not called."""
    unjustified: list[str] = field(default_factory=list)

    figures: Counter[str] = field(default_factory=Counter)
    exits: int = 0
    ages_ms: list[float] = field(default_factory=list)
    """The calls that were in flight at an exit: from the gate to the commit."""

    @property
    def errors(self) -> dict[str, list[str]]:
        lists = {each.name: getattr(self, each.name) for each in fields(self)[:8]}
        return {name: found for name, found in lists.items() if found}

    def __str__(self) -> str:
        lines = [f"{self.figures[name]:,} {name}" for name in self.figures]
        lines.append(f"age of calls at the exit: {distribution(self.ages_ms)}")
        for each in fields(self)[:8]:
            found = getattr(self, each.name)
            lines.append(f"{len(found)} {each.name.replace('_', ' ')}")
            lines += [f"    {text}" for text in found[:_EXAMPLES]]
        return "\n".join(lines)


def distribution(ages: list[float]) -> str:
    """The percentiles of times in milliseconds."""
    if not ages:
        return "none"
    ordered = sorted(ages)
    shares = {f"p{share}": ordered[len(ordered) * share // 100] for share in (50, 90, 95, 99)}
    shares["max"] = ordered[-1]
    return ", ".join(f"{name} {age:.0f} ms" for name, age in shares.items())


def judge(evidence: Evidence) -> Verdict:
    """Compare everything."""
    verdict = Verdict()
    _judge_executions(evidence, verdict)
    _judge_exits(evidence, verdict)
    _judge_passages(evidence, verdict)
    _judge_calls(evidence, verdict)
    _judge_steps(evidence, verdict)
    return verdict


def _judge_executions(evidence: Evidence, verdict: Verdict) -> None:
    """Each contact has one execution, which ended as its events say."""
    of_contact: dict[tuple[str, str], list[StoredExecution]] = defaultdict(list)
    for each in evidence.executions.values():
        of_contact[each.execution[0], each.contact].append(each)
    for contact, meets_goal in evidence.started.items():
        found = of_contact.pop(contact, [])
        if not found:
            verdict.lost.append(f"the execution of {contact}")
        if len(found) > 1:
            verdict.doubled.append(f"{contact} has {len(found)} executions")
        for each in found:
            verdict.figures[f"executions {each.status}, {each.reason}"] += 1
            if each.status != "COMPLETED":
                verdict.not_ended.append(f"{each.execution} is {each.status}")
            elif each.reason == GOAL and not meets_goal:
                verdict.unjustified.append(f"{each.execution} met a goal without an event")
    for contact in of_contact:
        verdict.unjustified.append(f"an execution of {contact}")


def _judge_exits(evidence: Evidence, verdict: Verdict) -> None:
    exits = evidence.redis.exits
    for key, each in evidence.executions.items():
        exit_ = exits.get(key)
        if each.reason != GOAL:
            continue
        if exit_ is None:
            verdict.lost.append(f"the exit of {key}")
            continue
        if len(exit_.ids) > 1:
            verdict.doubled.append(f"the exit of {key}")
        verdict.exits += 1
        verdict.figures[_found(exit_)] += 1
        if exit_.passed and not exit_.in_flight:
            verdict.not_owned.append(f"{key}: gate {exit_.passed[0]} had no result")
    for key in exits:
        if key not in evidence.executions or evidence.executions[key].reason != GOAL:
            verdict.unjustified.append(f"the exit of {key}")


def _found(exit_: Exit) -> str:
    if exit_.in_flight:
        return "exits with a call in flight"
    return "exits without a call in flight"


def _judge_passages(evidence: Evidence, verdict: Verdict) -> None:
    """No gate is passed after the end of its execution, for whatever reason it ended."""
    redis = evidence.redis
    for gate in redis.passed_closed:
        verdict.passed_after_exit.append(f"gate {gate} was closed before")
    for gate, passages in redis.passages.items():
        job = redis.jobs[gate]
        ended = evidence.executions.get(job.execution)
        exit_ = redis.exits.get(job.execution)
        if ended is None:
            continue
        for passage in passages:
            if exit_ is not None and passage.position > exit_.position:
                verdict.passed_after_exit.append(f"gate {gate} of {job.execution}: exit published")
            elif _is_after(passage, ended, exit_):
                late = passage.at_ms - ended.committed_us / 1_000
                verdict.passed_after_exit.append(
                    f"gate {gate} of {job.execution}: {late:.1f} ms after the commit"
                )
        verdict.figures["gates passed"] += len(passages)
        if exit_ is not None and exit_.in_flight and gate == redis.gates[job.execution][-1]:
            verdict.ages_ms.append(ended.committed_us / 1_000 - passages[-1].at_ms)


def _is_after(passage: Passage, ended: StoredExecution, exit_: Exit | None) -> bool:
    committed_ms = ended.committed_us // 1_000
    is_owned = exit_ is not None and exit_.in_flight is True
    return passage.at_ms > committed_ms or (passage.at_ms == committed_ms and not is_owned)


def _judge_calls(evidence: Evidence, verdict: Verdict) -> None:
    """Each call begins in time after its gate, and no exit conceals it."""
    passages = _passages_by_key(evidence)
    verdict.figures["gates returned, because the worker was too slow"] = evidence.redis.returned
    for call in evidence.calls:
        verdict.figures["calls"] += 1
        verdict.figures["calls repeated with their keys"] += call.is_repeated
        at_ms = call.at_ns / 1e6
        own = passages.get(call.key, [])
        index = bisect.bisect_right(own, at_ms, key=lambda passage: passage.at_ms)
        if index == 0:
            verdict.without_gate.append(f"{call.step} of {call.execution}")
            continue
        passage = own[index - 1]
        age_ms = at_ms - passage.at_ms
        if age_ms > CALL_WITHIN_MS:
            if _was_stopped(evidence, passage, call):
                verdict.figures["calls begun late by a stopped process"] += 1
            else:
                verdict.begun_late.append(f"{call.step} of {call.execution}: {age_ms:.0f} ms")
        _judge_ownership(evidence, call, verdict)


def _passages_by_key(evidence: Evidence) -> dict[str, list[Passage]]:
    """The passages of all attempts with the same idempotency key, in order."""
    found: dict[str, list[Passage]] = defaultdict(list)
    for gate, passages in evidence.redis.passages.items():
        found[evidence.redis.jobs[gate].key] += passages
    return {key: sorted(own, key=lambda each: each.at_ms) for key, own in found.items()}


def _was_stopped(evidence: Evidence, passage: Passage, call: Call) -> bool:
    """Whether the worker that passed the gate was stopped before it called."""
    return any(
        str(stop.pid) in passage.worker.split(":")
        and stop.from_ns < call.at_ns
        and stop.to_ns > passage.at_ms * 1_000_000
        for stop in evidence.stops
    )


def _judge_ownership(evidence: Evidence, call: Call, verdict: Verdict) -> None:
    exit_ = evidence.redis.exits.get(call.execution)
    ended = evidence.executions.get(call.execution)
    if exit_ is None or ended is None:
        return
    committed_ns = ended.committed_us * 1_000
    was_open = call.answered_ns is None or call.answered_ns > committed_ns
    if call.at_ns < committed_ns and was_open and not exit_.in_flight:
        before = (committed_ns - call.at_ns) / 1e6
        verdict.not_owned.append(
            f"{call.execution}: {call.step} was called {before:.0f} ms before the commit"
        )


def _judge_steps(evidence: Evidence, verdict: Verdict) -> None:
    """Each step is performed once: if the execution finished, all steps are."""
    keys: dict[tuple[Key, str], set[str]] = defaultdict(set)
    bodies: dict[str, str] = {}
    for call in evidence.calls:
        keys[call.execution, call.step].add(call.key)
        if bodies.setdefault(call.key, call.body) != call.body:
            verdict.doubled.append(f"{call.step} of {call.execution}: with another content")
        if call.execution not in evidence.executions:
            verdict.unjustified.append(f"a call of {call.execution}")
    for (execution, step), own in keys.items():
        if len(own) > 1:
            verdict.doubled.append(f"{step} of {execution}: under {len(own)} keys")
    for key, each in evidence.executions.items():
        if each.reason == "finished":
            missing = [step for step in evidence.steps if (key, step) not in keys]
            if missing:
                verdict.lost.append(f"{', '.join(missing)} of {key}")
