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
