"""`goald explain`: the output of the dry run, as text and as JSON."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.support.pipeline.changes import Effect, change
from tests.support.services.commands import Ran
from tests.support.services.servers import Database

from goald.adapters.postgres import PostgresShardStore
from goald.domain.slots import SlotRange

CONFIGURATION = """
tenant: acme
workflows:
  - id: nurture
    name: Nurture
    goal_logic: any
    active: true
    goals:
      - goal_type: purchase_made
        criteria: {min_amount: 100.50}
        effective_from: 2020-01-01T00:00:00Z
"""

IN_2020 = 1_600_000_000_000_000


def payment(amount: str = "150.00", **attributes: Any) -> dict[str, Any]:
    return {
        "id": "evt-1",
        "source": "shop",
        "type": "payment.completed",
        "time": "2021-01-01T00:00:00Z",
        "tenantid": "acme",
        "data": {"contact_id": "ann", "amount": amount},
    } | attributes


@pytest.fixture
async def shop(
    database: Database, run: Callable[..., Ran], streams: object, tmp_path: Path
) -> None:
    """Ann has an active enrollment in nurture, and a completed one."""
    file = tmp_path / "acme.yaml"
    file.write_text(CONFIGURATION)
    store = PostgresShardStore(database.dsn)
    lease = await store.acquire(SlotRange(0, 255), "test")
    enrolled = Effect("e-1", workflow_id="nurture", enrolled_at=IN_2020)
    ended = Effect("e-0", workflow_id="nurture", status="completed_goal", ended_at=IN_2020)
    await store.commit(lease, change(enrolled, ended))
    await store.release(lease)
    await store.close()


@pytest.fixture
def explain(shop: None, run: Callable[..., Ran], tmp_path: Path) -> Callable[..., Ran]:
    assert run("apply", "acme.yaml").code == 0

    def explain(event: Any, *words: str) -> Ran:
        file = tmp_path / "event.json"
        file.write_text(event if isinstance(event, str) else json.dumps(event))
        return run("explain", str(file), *words)

    return explain


def test_explain_prints_the_effect_on_each_enrollment(explain: Callable[..., Ran]) -> None:
    ran = explain(payment())
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].startswith("payment.completed evt-1 of ann")
    assert "e-1 in nurture: would complete" in lines[1]
    assert "purchase_made {min_amount: 100.50}: achieved" in lines[2]
    assert "e-0 in nurture: enrollment completed_goal" in lines[3]


def test_explain_prints_why_a_goal_is_not_met(explain: Callable[..., Ran]) -> None:
    assert "amount below" in explain(payment("100.49")).out
    assert "before enrollment" in explain(payment(time="2020-02-01T00:00:00Z")).out


def test_explain_of_a_contact_whose_enrollments_have_ended_reports_no_active_one(
    explain: Callable[..., Ran], database: Database
) -> None:
    with psycopg.connect(database.admin_dsn) as admin:
        admin.execute(
            "UPDATE goald.workflow_enrollments"
            " SET status = 'completed_goal', ended_at = enrolled_at"
        )
    assert explain(payment()).out.splitlines()[0].endswith(": no active enrollment")
    assert explain(payment(), "--json").json["reason"] == "not enrolled"


@pytest.mark.parametrize(
    ("event_type", "headline"),
    [
        (
            "payment.complete",
            "goald ignores events of type payment.complete. Did you mean payment.completed?",
        ),
        ("contact.deleted", "no goal listens to events of this type"),
    ],
)
def test_explain_says_that_no_goal_listens_to_the_event_type(
    explain: Callable[..., Ran], event_type: str, headline: str
) -> None:
    assert explain(payment(type=event_type)).out.splitlines()[0].endswith(": " + headline)


def test_explain_prints_json(explain: Callable[..., Ran]) -> None:
    explanation = explain(payment(), "--json").json
    assert explanation["matched"] is True
    assert [row["status"] for row in explanation["enrollments"]] == ["active", "completed_goal"]


def test_an_event_without_a_tenant_requires_the_tenant_option(explain: Callable[..., Ran]) -> None:
    bare = payment()
    del bare["tenantid"]
    ran = explain(bare)
    assert (ran.code, ran.err) == (2, "goald: The event names no tenant. Use --tenant.\n")
    assert explain(bare, "--tenant", "acme", "--json").json["matched"] is True


def test_explain_reveals_nothing_to_another_tenant(explain: Callable[..., Ran]) -> None:
    explanation = explain(payment(), "--tenant", "globex", "--json").json
    assert (explanation["reason"], explanation["enrollments"]) == ("other tenant's", [])


def test_explain_accepts_a_byte_order_mark(explain: Callable[..., Ran]) -> None:
    """Editors on Windows write one."""
    assert explain("\ufeff" + json.dumps(payment()), "--json").json["matched"] is True


def test_explain_reads_an_event_from_standard_input(
    explain: Callable[..., Ran], run: Callable[..., Ran]
) -> None:
    ran = run("explain", "-", "--json", stdin=json.dumps(payment()).encode())
    assert ran.json["matched"] is True


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ("{", "not JSON"),
        (payment(time="yesterday"), "time: not an RFC 3339 time"),
        (json.dumps([payment()]), "names no tenant"),
    ],
)
def test_a_bad_event_is_reported_in_one_line(
    explain: Callable[..., Ran], event: Any, message: str
) -> None:
    ran = explain(event)
    assert ran.code != 0
    assert message in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "payload",
    [
        {"id": 7, "email": "ann@example.com", "total_price": "20.00"},
        {"id": "evt_1", "object": "event", "type": "invoice.paid", "data": {"object": {}}},
    ],
)
def test_a_payload_of_a_provider_is_not_an_event(
    explain: Callable[..., Ran], payload: dict[str, Any]
) -> None:
    hint = "This is not an event. For a provider's payload, use `goald sources test`.\n"
    for words in ([], ["--tenant", "acme"]):
        ran = explain(payload, *words)
        assert (ran.code, ran.err.endswith(hint)) == (1, True), ran.err


def test_an_invalid_event_is_not_called_a_payload(explain: Callable[..., Ran]) -> None:
    ran = explain(payment(data={"amount": "1.00"}))
    assert (ran.code, ran.err) == (1, "goald: data.contact_id: required but missing\n")
    ran = explain(payment(data={}, type="payment.failed"))
    assert (ran.code, "not an event" in ran.err) == (1, False)


def test_explain_reports_a_missing_file(explain: Callable[..., Ran], run: Any) -> None:
    ran = run("explain", "nowhere.json")
    assert (ran.code, "nowhere.json" in ran.err) == (1, True)
