"""Rules of presets for which no payload is public, and traps of their providers."""

import json
from typing import Any

from tests.support.sources.payloads import delivery, payload

from goald.domain.contacts.reading import facts_of
from goald.sources.compiled import compile_source
from goald.sources.mapping.results import MappingResult


def mapped(
    preset: str, body: Any, headers: dict[str, str] | None = None, **overrides: Any
) -> MappingResult:
    source = compile_source(preset, overrides)
    return source.map(delivery(json.dumps(body).encode(), headers), "d-1")


def test_goalds_own_types_need_no_mapping_in_cloud_events() -> None:
    data = {"contact_id": "c-1", "amount": 19.9, "currency": "eur", "sku": "s-1"}
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/shop",
        "type": "payment.completed",
    }
    result = mapped("cloudevents", event | {"data": data, "tenantid": "another"})
    (only,) = result.events
    assert (only.id, only.source, only.contact.id) == ("e-1", "/shop", "c-1")
    assert only.data == {"amount": "19.9", "currency": "EUR", "sku": "s-1"}


def test_goalds_own_types_need_no_mapping_in_standard_webhooks_and_svix() -> None:
    body = {"type": "form.submitted", "data": {"contact_id": "c-1", "form_id": "f-1"}}
    for preset, prefix in (("standard_webhooks", "webhook"), ("svix", "svix")):
        (event,) = mapped(preset, body, {f"{prefix}-id": "msg_1"}).events
        assert (event.id, event.data) == ("msg_1", {"form_id": "f-1"})


def test_a_sender_cannot_delete_or_merge_contacts_by_naming_the_type() -> None:
    for kind in ("contact.deleted", "contact.merged", "workflow.enrollment.ended"):
        result = mapped("standard_webhooks", {"type": kind, "data": {"contact_id": "c-1"}})
        assert result.events == (), kind
        event = {"specversion": "1.0", "id": "e-1", "source": "/s", "type": kind}
        assert mapped("cloudevents", event).events == (), kind


def test_a_phone_number_of_a_contact_has_the_country_of_the_source() -> None:
    number = "0170 1234567"
    customer = {"id": 26, "email": "ann@example.com", "billing": {"phone": number}}
    stripe = {"type": "customer.updated", "data": {"object": {"id": "cus_1", "phone": number}}}
    own = {"type": "contact.updated", "data": {"contact_id": "c-1", "phone": number}}
    for preset, body, headers in (
        ("woocommerce", customer, {"X-WC-Webhook-Topic": "customer.updated"}),
        ("stripe", {"object": "event", "id": "evt_1"} | stripe, None),
        ("standard_webhooks", own, {"webhook-id": "msg_1"}),
    ):
        result = mapped(preset, body, headers, contact={"region": "DE"})
        (event,) = result.events
        assert facts_of(event.type, event.data).values["phone"] == "+491701234567", preset
        without = mapped(preset, body, headers).events[0]
        assert "region" not in without.data

    own = {"type": "contact.updated", "data": {"phone": number, "region": "AT"}}
    (event,) = mapped("standard_webhooks", own, contact={"region": "DE"}).events
    assert event.data["region"] == "AT"


def test_a_rule_may_have_another_country_than_the_source() -> None:
    rule = {"when": "body", "type": "contact.updated", "data": {"phone": "body.phone"}}
    events = {"de": rule, "at": rule | {"contact": {"region": "AT"}, "id": "body.phone"}}
    contact = {"id": "body.id", "phone": "body.phone", "region": "DE"}
    result = mapped("custom", {"id": "c-1", "phone": "0170 1"}, contact=contact, events=events)
    assert [event.data["region"] for event in result.events] == ["DE", "AT"]
    assert [event.contact.region for event in result.events] == ["DE", "AT"]


def test_a_fault_of_one_event_of_a_batch_leaves_the_others_alone() -> None:
    good = {"specversion": "1.0", "id": "e-1", "source": "/s", "type": "form.submitted"}
    bad_amount = good | {"id": "e-2", "type": "payment.completed", "data": {"amount": "ten"}}
    result = mapped(
        "cloudevents",
        [good, 7, {"specversion": "2.0"}, bad_amount, good | {"id": "e-3"}],
        {"Content-Type": "application/cloudevents-batch+json"},
    )
    assert [event.id for event in result.events] == ["e-1", "e-3"]
    assert len(result.notes) == 3


def test_typeforms_hidden_fields_are_used_if_no_question_asks_for_an_address() -> None:
    form = {"token": "t-1", "answers": [], "hidden": {"email": "a@example.com", "phone": "+4915"}}
    body = {"event_id": "e", "event_type": "form_response", "form_response": form}
    (event,) = mapped("typeform", body).events
    assert (event.contact.email, event.contact.phone) == ("a@example.com", "+4915")


def test_woocommerce_orders_refunded_by_hand_and_guests() -> None:
    order = {"id": 7, "status": "refunded", "total": "10.00", "currency": "EUR", "refunds": []}
    headers = {"X-WC-Webhook-Topic": "order.updated"}
    (event,) = mapped("woocommerce", order, headers).events
    assert (event.type, event.id, event.data["amount"]) == (
        "payment.refunded",
        "order:7:refunded",
        "10.00",
    )
    guest = order | {"status": "completed", "date_paid_gmt": "2026-01-01T10:00:00"}
    use_ids = {"use_customer_id": True}
    (event,) = mapped("woocommerce", guest | {"customer_id": 0}, headers, parameters=use_ids).events
    assert event.contact.id is None, "all guests would be the contact 0"
    assert event.time_us == 1_767_261_600_000_000


def test_woocommerce_cash_on_delivery_is_not_paid() -> None:
    order = {"id": 7, "status": "processing", "date_paid_gmt": None, "total": "10.00"}
    result = mapped("woocommerce", order, {"X-WC-Webhook-Topic": "order.created"})
    assert (result.events, result.notes) == ((), ("the order is not paid",))


def test_shopify_customers_are_merged_and_deleted_only_if_their_ids_are_the_contacts() -> None:
    merge = {
        "admin_graphql_api_customer_kept_id": "gid://shopify/Customer/1",
        "admin_graphql_api_customer_deleted_id": "gid://shopify/Customer/2",
        "status": "completed",
    }
    headers = {"X-Shopify-Topic": "customers/merge"}
    assert mapped("shopify", merge, headers).events == ()
    use_ids = {"use_customer_id": True}
    (event,) = mapped("shopify", merge, headers, parameters=use_ids).events
    assert (event.contact.id, event.data) == ("2", {"into_contact_id": "1"})
    deletion, headers = {"id": 3}, {"X-Shopify-Topic": "customers/delete"}
    assert mapped("shopify", deletion, headers).events == ()
    (event,) = mapped("shopify", deletion, headers, parameters=use_ids).events
    assert (event.type, event.contact.id) == ("contact.deleted", "3")


def test_pipedrive_labels_that_are_taken_away() -> None:
    body = {
        "data": {"id": 8, "label_ids": [14]},
        "previous": {"label_ids": [5, 14]},
        "meta": {"version": "2.0", "entity": "person", "action": "change", "id": "m-1"},
    }
    result = mapped("pipedrive", body)
    assert [(event.type, event.data) for event in result.events] == [
        ("contact.updated", {}),
        ("contact.tag.removed", {"tag_id": "5"}),
    ]


def test_highlevel_needs_the_tenants_location_and_reports_refunded_orders() -> None:
    order = {
        "type": "OrderStatusUpdate",
        "locationId": "L1",
        "status": "refunded",
        "_id": "o-1",
        "amount": 10.5,
        "currency": "USD",
        "contactId": "c-1",
    }
    (event,) = mapped("gohighlevel", order, parameters={"location_id": "L1"}).events
    assert (event.type, event.data["amount"]) == ("payment.refunded", "10.5")
    assert mapped("gohighlevel", order, parameters={"location_id": "L2"}).events == ()


def test_highlevel_workflows_name_their_event_in_the_custom_data() -> None:
    body = {"contact_id": "c-1", "customData": {"event": "workflow.enrollment.ended"}}
    refused = mapped("gohighlevel_workflow", body)
    assert refused.events == ()
    assert "type is not among those" in refused.notes[0]
    (event,) = mapped(
        "gohighlevel_workflow", {"id": "c-1"}, parameters={"event": "form.submitted"}
    ).events
    assert (event.type, event.id) == ("form.submitted", "d-1:named:0")


def test_stripes_refunds_of_one_charge_differ_by_the_cumulative_amount() -> None:
    ids, amounts = [], []
    for total, before in ((500, 0), (2000, 500)):
        body = {
            "object": "event",
            "type": "charge.refunded",
            "livemode": True,
            "data": {
                "object": {"id": "ch_1", "amount_refunded": total, "currency": "usd"},
                "previous_attributes": {"amount_refunded": before},
            },
        }
        (event,) = mapped("stripe", body).events
        ids.append(event.id)
        amounts.append(event.data["amount"])
    assert len(set(ids)) == 2
    assert amounts == ["5.00", "15.00"]


def test_jotforms_webhook_url_with_its_key_is_in_no_event() -> None:
    body = payload("jotform", "submission_files.multipart")
    headers = {
        "Content-Type": "multipart/form-data; boundary=" + body.split(b"\r\n")[0][2:].decode()
    }
    assert b"webhookURL" in body
    (event,) = compile_source("jotform", {}).map(delivery(body, headers), "d-1").events
    assert "http" not in json.dumps(event.data)


def test_retries_of_hubspot_are_the_same_event_and_other_changes_are_others() -> None:
    change = {
        "portalId": 1,
        "subscriptionType": "contact.propertyChange",
        "objectId": 5,
        "eventId": 9,
        "occurredAt": 1_782_371_969_536,
        "propertyName": "email",
        "propertyValue": "a@example.com",
        "attemptNumber": 0,
    }
    first, retry = mapped("hubspot", [change]), mapped("hubspot", [change | {"attemptNumber": 3}])
    assert [event.id for event in first.events] == [event.id for event in retry.events]
    other = mapped("hubspot", [change | {"propertyName": "phone"}])
    assert first.events[0].id != other.events[0].id
