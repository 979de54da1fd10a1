"""Actions that change the contact."""

import pytest
from tests.support.actions.worker_bench import WorkerBench, a_job

from goald.adapters.providers.contact_changes import EVENT_TYPES, ContactChanges
from goald.domain.actions.gates import ActionType


@pytest.mark.parametrize(
    ("action", "event_type", "config"),
    [
        ("add_tag", "contact.tag.added", {"tag_name": "VIP"}),
        ("remove_tag", "contact.tag.removed", {"tag_id": "t-1"}),
        ("update_contact", "contact.updated", {"attributes": {"plan": "pro"}}),
    ],
)
async def test_a_change_is_an_event_before_the_result(
    action: str, event_type: str, config: dict[str, object]
) -> None:
    bench, kind = WorkerBench(), ActionType(action)
    await bench.admit()
    await bench.register(a_job(action=kind, config=config, hops=3))
    async with bench.worker(dict.fromkeys(EVENT_TYPES, ContactChanges(bench.clock))):
        await bench.wait_results(1)
    change, result = bench.events()
    assert result["type"] == "workflow.action.finished"
    assert (change["type"], change["id"], change["source"]) == (
        event_type,
        "key-0",
        "goald/actions",
    )
    assert (change["tenantid"], change["hops"]) == ("acme", 3)
    assert change["data"] == {"contact_id": "c-1", **config}


@pytest.mark.parametrize(
    ("action", "config", "error"),
    [
        ("update_contact", {"email": "nobody"}, "email"),
        ("update_contact", {"phone": "12"}, "phone"),
        ("update_contact", {"timezone": "Mars / Olympus"}, "timezone"),
        ("update_contact", {"opted_in": "yes", "email": "a@example.com"}, "opted_in"),
        ("update_contact", {"attributes": {"a": "x" * 3_000, "b": 1}}, "attributes.a"),
        ("add_tag", {"tag_name": "x" * 300}, "tag_name"),
        ("remove_tag", {"tag_name": " "}, "tag_name"),
    ],
)
async def test_a_change_that_the_shard_would_ignore_is_no_success(
    action: str, config: dict[str, object], error: str
) -> None:
    bench = WorkerBench()
    await bench.admit()
    await bench.register(a_job(action=ActionType(action), config=config))
    async with bench.worker(dict.fromkeys(EVENT_TYPES, ContactChanges(bench.clock))):
        (result,) = await bench.wait_results(1)
    assert (result["outcome"], result["error"]) == ("skip", f"the value is not valid: {error}")
    assert len(bench.events()) == 1


async def test_a_value_can_be_removed() -> None:
    bench = WorkerBench()
    await bench.admit()
    config = {"email": None, "attributes": {"a": None}}
    await bench.register(a_job(action=ActionType("update_contact"), config=config))
    async with bench.worker(dict.fromkeys(EVENT_TYPES, ContactChanges(bench.clock))):
        (result,) = await bench.wait_results(1)
    assert result["outcome"] == "success"
