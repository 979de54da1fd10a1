"""The payload of an action is the same in all attempts of a visit (X3)."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.actions.worker_bench import (
    LEASE,
    NOOP,
    RecordingProvider,
    WorkerBench,
    a_job,
)

from goald.adapters.keyring import Keyring
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import Outcome, OutcomeKind
from goald.workers.provider import ActionFailed

CIPHER = Keyring([bytes(range(32))])
TEXT = {"text": "Hi {{ contact.first_name }}", "n": [1, 2.5, None]}


def attempt(number: int, name: str, key: str = "key") -> Job:
    """An attempt, when the contact has this name."""
    variables = {"contact": {"first_name": name}}
    return replace(a_job(number, config=TEXT, attempt=number), key=key, variables=variables)


class Visit:
    """The attempts of one step."""

    def __init__(self) -> None:
        self.bench = WorkerBench()
        self.provider = RecordingProvider()

    async def perform(
        self, job: Job, outcome: OutcomeKind | None, cipher: Keyring | None = CIPHER
    ) -> dict[str, Any]:
        """The result of an attempt; `outcome`: of a call that fails."""
        count = len(self.bench.results())
        self.provider.error = ActionFailed(Outcome(outcome, "no", 1.0)) if outcome else None
        await self.bench.register(job)
        async with self.bench.worker({NOOP: self.provider}, cipher=cipher):
            await self.bench.wait_results(count + 1)
        (result,) = (each for each in self.bench.results() if each["gate"] == str(job.gate))
        return result

    @property
    def sent(self) -> list[str]:
        return [config["text"] for _, config in self.provider.calls]


@pytest.fixture
async def visit() -> Visit:
    visit = Visit()
    await visit.bench.admit()
    return visit


@pytest.mark.parametrize(
    "outcome",
    [OutcomeKind.RETRY, OutcomeKind.UNKNOWN, OutcomeKind.PAUSE, OutcomeKind.RATE_LIMIT],
)
async def test_a_further_attempt_sends_what_the_first_has_sent(
    visit: Visit, outcome: OutcomeKind
) -> None:
    await visit.perform(attempt(1, "Jane"), outcome)
    await visit.perform(attempt(2, "Mary"), OutcomeKind.RETRY)
    await visit.perform(attempt(3, "Anna"), None)
    assert visit.sent == ["Hi Jane"] * 3
    assert visit.provider.calls[2][1] == {"text": "Hi Jane", "n": [1, 2.5, None]}


async def test_a_payload_is_encrypted_and_erased_when_the_step_is_done(visit: Visit) -> None:
    await visit.perform(attempt(1, "Jane"), OutcomeKind.RETRY)
    (stored,) = visit.bench.actions.payloads.values()
    assert b"Jane" not in stored
    await visit.perform(attempt(2, "Mary"), None)
    assert visit.bench.actions.payloads == {}


async def test_another_visit_renders_its_own_payload(visit: Visit) -> None:
    await visit.perform(attempt(1, "Jane"), OutcomeKind.RETRY)
    await visit.perform(attempt(2, "Mary", key="next visit"), None)
    assert visit.sent == ["Hi Jane", "Hi Mary"]


async def test_an_attempt_that_called_nothing_leaves_no_payload(visit: Visit) -> None:
    visit.provider.error_before = ActionFailed(Outcome(OutcomeKind.RETRY, "no route"))
    await visit.perform(attempt(1, "Jane"), None)
    assert visit.bench.actions.payloads == {}


async def test_a_payload_is_not_replaced_by_other_content(visit: Visit) -> None:
    """A payload of another action is refused, and nothing is sent."""
    await visit.perform(attempt(1, "Jane"), OutcomeKind.RETRY)
    payloads = visit.bench.actions.payloads
    (key,) = payloads
    payloads[key[0], key[1], "other"] = payloads[key]
    result = await visit.perform(attempt(2, "Mary", key="other"), None)
    assert (result["outcome"], visit.sent) == ("skip", ["Hi Jane"])


async def test_without_the_key_the_action_is_attempted_again_later(visit: Visit) -> None:
    await visit.perform(attempt(1, "Jane"), OutcomeKind.RETRY)
    other = Keyring([bytes(range(1, 33))])
    result = await visit.perform(attempt(2, "Mary"), None, other)
    assert (result["outcome"], visit.sent) == ("retry", ["Hi Jane"])


async def test_the_payloads_of_a_deleted_contact_are_erased(visit: Visit) -> None:
    job = attempt(1, "Jane")
    await visit.perform(job, OutcomeKind.RETRY)
    await visit.bench.gates.erase_payloads([(job.tenant_id, job.contact_id)])
    assert visit.bench.actions.payloads == {}
    await visit.bench.gates.close_gates(LEASE, [job.gate])
