"""Reading of definitions: what is valid, and every fault with its place."""

from copy import deepcopy
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from goald.domain.definitions.conditions import AllOf, AttributeTest, Not, TagTest
from goald.domain.definitions.readers.definition import DefinitionReading, read_definition
from goald.domain.definitions.references import ConnectionReference, EntityReference
from goald.domain.definitions.steps import (
    ActionStep,
    ClockWait,
    ConditionStep,
    DurationWait,
    ErrorPolicy,
    EventPattern,
    EventWait,
    ExitStep,
    Reentry,
    WorkflowDefinition,
)

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR

NURTURE: dict[str, Any] = {
    "trigger": {"on": "form_submitted", "criteria": {"form_id": "trial"}},
    "reentry": {"allow": "after_exit", "min_interval": "1d"},
    "timezone": "Europe/Berlin",
    "steps": [
        {
            "id": "welcome",
            "action": "send_email",
            "with": {"subject": "Hi {{ contact.first_name }}", "body": "…"},
        },
        {"id": "pause", "wait": {"for": "2h"}},
        {"id": "morning", "wait": {"until": {"time": "09:00", "days": ["mon", "fri"]}}},
        {
            "id": "vip",
            "condition": {"has_tag": "VIP"},
            "then": [
                {
                    "id": "call",
                    "action": "webhook",
                    "with": {
                        "url": "https://example.com/{{ contact.id }}",
                        "body": {"a": Decimal("1.50")},
                    },
                }
            ],
            "else": [{"id": "text", "action": "send_sms", "with": {"text": "Hello"}}],
        },
        {
            "id": "reply",
            "wait": {
                "for_event": {"on": "form_submitted", "criteria": {"form_id": "survey"}},
                "timeout": "3d",
            },
        },
        {"id": "mark", "action": "add_tag", "with": {"tag_name": "Nurtured"}},
    ],
}


def faults_of(*steps: Any, **members: Any) -> list[str]:
    return [str(fault) for fault in read({"steps": [*steps], **members}).faults]


def read(document: dict[str, Any]) -> DefinitionReading:
    return read_definition(document)


def noop(step_id: str, **members: Any) -> dict[str, Any]:
    return {"id": step_id, "action": "noop", **members}


def test_a_definition_is_read_with_its_defaults() -> None:
    definition = read(NURTURE).definition
    assert definition == WorkflowDefinition(
        (
            ActionStep(
                "welcome", "send_email", {"subject": "Hi {{ contact.first_name }}", "body": "…"}
            ),
            DurationWait("pause", 2 * HOUR),
            ClockWait("morning", 9 * 3_600, frozenset({0, 4})),
            ConditionStep(
                "vip",
                TagTest(None, "VIP"),
                (
                    ActionStep(
                        "call",
                        "webhook",
                        {
                            "url": "https://example.com/{{ contact.id }}",
                            "body": {"a": Decimal("1.50")},
                        },
                    ),
                ),
                (ActionStep("text", "send_sms", {"text": "Hello"}),),
            ),
            EventWait("reply", EventPattern("form_submitted", {"form_id": "survey"}), 3 * DAY),
            ActionStep("mark", "add_tag", {"tag_name": "Nurtured"}),
        ),
        EventPattern("form_submitted", {"form_id": "trial"}),
        Reentry("after_exit", DAY),
        "Europe/Berlin",
    )


def test_all_faults_are_found_together_with_the_path_of_their_step() -> None:
    document = deepcopy(NURTURE)
    document["timezone"] = "Europe/Berln"
    document["trigger"]["criteria"] = {"form": "trial"}
    document["steps"][1]["wait"]["for"] = "2 hours"
    document["steps"][3]["then"][0]["with"]["url"] = "https://{{ contact.host }}/x"
    document["steps"][3]["else"][0]["id"] = "welcome"
    document["steps"][5]["with"] = {"tag": "Nurtured"}
    document["stepps"] = []
    assert [str(fault) for fault in read(document).faults] == [
        "stepps: unknown field. Did you mean steps?",
        "trigger.criteria.form_id: required but missing",
        "trigger.criteria.form: unknown field. Did you mean form_id?",
        "timezone: must be a time zone of the IANA database. Did you mean Europe/Berlin?",
        "steps[1].wait.for: must be a duration, such as 90s, 15m, 2h, 3d, 1w, or PT36H in the form "
        "of ISO 8601",
        "steps[3].then[0].with.url: the host must not be a template",
        "steps[3].else[0].id: steps[0] has the same id",
        "steps[5].with.tag: unknown field. Did you mean tag_id?",
        "steps[5].with: must have at least one of tag_id, tag_name",
    ]
    assert read(document).definition is None


def test_a_fault_has_a_json_pointer() -> None:
    document = {"steps": [noop("a", **{"wi/th": 1})]}
    assert [fault.pointer for fault in read(document).faults] == ["/steps/0/wi~1th"]


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("a", "steps[0]: must be a map"),
        ({"id": "a"}, "steps[0]: must have one of action, condition, wait, exit"),
        (
            {"id": "a", "acton": "noop"},
            "steps[0]: must have one of action, condition, wait, exit. Did you mean action?",
        ),
        (
            noop("a", exit=True),
            "steps[0]: must have one of action, condition, wait, exit, not both action and exit",
        ),
        ({"action": "noop"}, "steps[0].id: required but missing"),
        (noop("a b"), "steps[0].id: must be text of 1 to 64 letters, digits, _ and -"),
        (noop("a" * 65), "steps[0].id: must be text of 1 to 64 letters, digits, _ and -"),
        (
            {"id": "a", "action": "send_emial"},
            "steps[0].action: unknown action. Did you mean send_email?",
        ),
        ({"id": "a", "exit": False}, "steps[0].exit: must be true"),
        (noop("a", **{"with": {"x": 1}}), "steps[0].with.x: unknown field"),
        (noop("a", connection="smtp"), "steps[0].connection: noop has no connection"),
        (
            noop("a", max_lateness="0s"),
            "steps[0].max_lateness: must be between 1 second and ten years",
        ),
        (
            noop("a", on_unknown="ignore"),
            "steps[0].on_unknown: must be one of continue, retry, fail",
        ),
        (
            noop("a", retry={"max_attempts": 11}),
            "steps[0].retry.max_attempts: must be an integer from 0 to 10",
        ),
        (
            noop("a", retry={"base_delay": "2d"}),
            "steps[0].retry.base_delay: must be at most one day",
        ),
        (
            {"id": "a", "wait": {"until": {"time": "9:00"}}},
            'steps[0].wait.until.time: must be a time of the day in quotes, such as "09:00"',
        ),
        (
            {"id": "a", "wait": {"until": {"time": "24:00"}}},
            'steps[0].wait.until.time: must be a time of the day in quotes, such as "09:00"',
        ),
        (
            {"id": "a", "wait": {"until": {"time": "09:00", "days": []}}},
            "steps[0].wait.until.days: must not be empty",
        ),
        (
            {"id": "a", "wait": {"until": {"time": "09:00", "date": "2026-02-30"}}},
            'steps[0].wait.until.date: must be a date in quotes, such as "2026-12-24"',
        ),
        (
            {"id": "a", "wait": {"until": {"time": "09:00", "date": "9999-12-31"}}},
            "steps[0].wait.until.date: must be a date of the years 1970 to 2199",
        ),
        (
            {
                "id": "a",
                "wait": {"until": {"time": "09:00", "date": "2026-12-24", "days": ["mon"]}},
            },
            "steps[0].wait.until.days: cannot be combined with date",
        ),
        (
            {"id": "a", "wait": {"for": "1h", "until": {"time": "09:00"}}},
            "steps[0].wait: must be a map with exactly one of for, until and for_event",
        ),
        (
            {"id": "a", "wait": {"for": "1h"}, "then": []},
            "steps[0].then: unknown field",
        ),
        (
            {"id": "a", "wait": {"for": "P1M"}},
            "steps[0].wait.for: years and months have no fixed length: write the duration in days, "
            "such as 30d",
        ),
        (
            {"id": "a", "wait": {"for_event": {"on": "form_submited"}}},
            "steps[0].wait.for_event.on: unknown value. Did you mean form_submitted?",
        ),
        (
            {"id": "a", "wait": {"for_event": {"on": "form_submitted"}}},
            "steps[0].wait.for_event.criteria: Goal criteria cannot be empty",
        ),
        (
            {
                "id": "a",
                "wait": {
                    "for_event": {
                        "on": "tag_added",
                        "criteria": {"tag_name": "x", "match": ["order"]},
                    }
                },
            },
            "steps[0].wait.for_event.criteria.match: `match` compares events with the values of an "
            "enrollment that another system starts; it cannot be used here",
        ),
        (
            {"id": "a", "condition": {"has_tag": "x"}, "then": []},
            "steps[0]: must have steps in then or else",
        ),
    ],
)
def test_a_fault_of_a_step_says_what_is_wrong(step: Any, fault: str) -> None:
    assert faults_of(step) == [fault]


@pytest.mark.parametrize(
    ("condition", "fault"),
    [
        ({}, "must be exactly one condition"),
        ({"has_tag": "a", "not": {}}, "must be exactly one condition"),
        ({"and": []}, "steps[0].condition.and: must not be empty"),
        ({"attribute": "plan", "op": "equals", "value": 1}, "condition.op: must be one of eq, ne"),
        ({"attribute": "plan", "op": "eq"}, "steps[0].condition.value: required but missing"),
        (
            {"attribute": "plan", "op": "gt", "value": "9"},
            "condition.value: gt compares with a number",
        ),
        (
            {"attribute": "plan", "op": "exists", "value": 1},
            "condition.value: exists compares with no",
        ),
        ({"attribute": "plan", "op": "in", "value": "x"}, "condition.value: must be a list"),
        ({"attribute": "plan", "op": "in", "value": []}, "condition.value: must not be empty"),
        ({"attribute": "", "op": "exists"}, "condition.attribute: must not be empty"),
        ({"attribute": "a", "op": "eq", "value": {}}, "condition.value: must be text, a number"),
        (
            {"attribute": "a", "op": "eq", "value": 10**19},
            "condition.value: must be text, a number",
        ),
        ({"has_tag": {"tag": 1}}, "condition.has_tag.tag: unknown field"),
        ({"or": [{"has_tag": "a"}, {"has_tga": "b"}]}, "condition.or[1]: must be exactly one"),
    ],
)
def test_a_fault_of_a_condition_says_what_is_wrong(condition: Any, fault: str) -> None:
    found = faults_of({"id": "a", "condition": condition, "then": [noop("b")]})
    assert fault in found[0]


def test_conditions_are_read_as_a_tree() -> None:
    condition = {
        "and": [
            {"attribute": "seats", "op": "gte", "value": 10},
            {"not": {"has_tag": {"tag_id": "t-1"}}},
            {"attribute": "plan", "value": "pro"},
            {"attribute": "trial"},
        ]
    }
    document = {"steps": [{"id": "a", "condition": condition, "then": [noop("b")]}]}
    definition = read(document).definition
    assert definition is not None
    step = definition.steps[0]
    assert isinstance(step, ConditionStep)
    assert step.condition == AllOf(
        (
            AttributeTest("seats", "gte", (Decimal(10),)),
            Not(TagTest("t-1", None)),
            AttributeTest("plan", "eq", ("pro",)),
            AttributeTest("trial", "exists", ()),
        )
    )


def test_conditions_are_limited_in_depth_and_number() -> None:
    deep: dict[str, Any] = {"has_tag": "x"}
    for _ in range(8):
        deep = {"not": deep}
    assert "nested 8 deep" in faults_of({"id": "a", "condition": deep, "then": [noop("b")]})[0]
    half = {"or": [{"has_tag": str(number)} for number in range(26)]}
    many = {"and": [half, half]}
    assert "50 tests" in faults_of({"id": "a", "condition": many, "then": [noop("b")]})[0]


def test_at_most_100_steps_are_allowed() -> None:
    steps = [noop(f"s{number}") for number in range(101)]
    assert faults_of(*steps[:100]) == []
    assert faults_of(*steps) == ["steps[100]: a definition may have 100 steps"]


def test_steps_in_branches_count() -> None:
    branch = [noop(f"s{number}") for number in range(99)]
    condition = {"id": "c", "condition": {"has_tag": "x"}, "then": branch}
    assert faults_of(condition) == []
    assert faults_of(condition, noop("last")) == ["steps[1]: a definition may have 100 steps"]


def nested(levels: int) -> dict[str, Any]:
    step = noop("leaf")
    for level in range(levels - 1):
        step = {"id": f"c{level}", "condition": {"has_tag": "x"}, "then": [step]}
    return step


def test_steps_may_be_nested_10_deep() -> None:
    assert faults_of(nested(10)) == []
    path = "steps[0]" + ".then[0]" * 9
    assert faults_of(nested(11)) == [f"{path}.then: steps may be nested 10 deep"]


def exiting(step_id: str) -> dict[str, Any]:
    return {"id": step_id, "exit": True}


def test_a_step_after_an_exit_is_refused() -> None:
    fault = "cannot be reached: every path before it ends with an exit"
    assert faults_of(exiting("a"), noop("b"), noop("c")) == [f"steps[1]: {fault}"]


def test_a_step_after_branches_that_all_exit_is_refused() -> None:
    fault = "cannot be reached: every path before it ends with an exit"
    both = {
        "id": "a",
        "condition": {"has_tag": "x"},
        "then": [exiting("b")],
        "else": [noop("c"), exiting("d")],
    }
    assert faults_of(both, noop("e")) == [f"steps[1]: {fault}"]
    assert faults_of({**both, "else": [noop("c")]}, noop("e")) == []
    assert faults_of({**both, "else": []}, noop("e")) == []


def event_wait(**members: Any) -> dict[str, Any]:
    event = {"on": "purchase_made", "criteria": {"any_purchase": True}}
    wait = {"for_event": event} | (
        {"timeout": members.pop("timeout")} if "timeout" in members else {}
    )
    return {"id": "w", "wait": wait, **members}


def test_a_branch_for_a_timeout_needs_a_timeout() -> None:
    fault = "steps[0].else: cannot be reached: the wait has no timeout"
    assert faults_of(event_wait(**{"else": [noop("b")]})) == [fault]
    assert faults_of(event_wait(timeout="1d", **{"else": [noop("b")]})) == []


def test_a_step_after_a_wait_whose_only_end_exits_is_refused() -> None:
    fault = "steps[1]: cannot be reached: every path before it ends with an exit"
    assert faults_of(event_wait(then=[exiting("b")]), noop("c")) == [fault]
    assert faults_of(event_wait(timeout="1d", then=[exiting("b")]), noop("c")) == []


def test_a_contact_pattern_has_changed_attributes_and_a_condition() -> None:
    trigger = {
        "on": "contact.updated",
        "criteria": {"changed": ["plan", "plan"], "condition": {"has_tag": "x"}},
    }
    definition = read({"trigger": trigger, "steps": [noop("a")]}).definition
    assert definition is not None
    assert definition.trigger == EventPattern("contact.updated", {}, ("plan",), TagTest(None, "x"))


def test_the_error_policy_of_a_step_is_read() -> None:
    step = noop(
        "a",
        retry={"max_attempts": 0, "base_delay": "5s"},
        on_exhausted="continue",
        on_rejected="fail",
        on_unknown="retry",
        max_lateness="1h",
    )
    definition = read({"steps": [step]}).definition
    assert definition is not None
    policy = ErrorPolicy(0, 5 * SECOND, "continue", "fail", "retry")
    assert definition.steps == (ActionStep("a", "noop", {}, None, policy, HOUR),)


def test_a_wait_for_a_date_is_read() -> None:
    wait = {"until": {"time": "18:30:15", "date": "2026-12-24", "timezone": "America/New_York"}}
    definition = read({"steps": [{"id": "a", "wait": wait}]}).definition
    assert definition is not None
    assert definition.steps == (
        ClockWait("a", 66_615, frozenset(range(7)), date(2026, 12, 24), "America/New_York"),
    )


def test_references_are_collected_with_their_places() -> None:
    document = deepcopy(NURTURE)
    document["steps"][3]["condition"] = {"not": {"has_tag": {"tag_id": "t-1"}}}
    document["steps"][3]["else"][0]["connection"] = "twilio"
    assert read(document).references == (
        EntityReference("form", "trial", ("trigger", "criteria", "form_id")),
        EntityReference("tag", "t-1", ("steps", 3, "condition", "not", "has_tag", "tag_id")),
        ConnectionReference("twilio", ("steps", 3, "else", 0, "connection")),
        EntityReference("form", "survey", ("steps", 4, "wait", "for_event", "criteria", "form_id")),
    )


def test_a_definition_needs_steps() -> None:
    assert faults_of() == ["steps: must have at least one step"]
    assert [str(fault) for fault in read({}).faults] == ["steps: required but missing"]
    assert [str(fault) for fault in read({"steps": {}}).faults] == ["steps: must be a list"]


def test_an_action_of_ones_own_has_a_dot_in_its_name() -> None:
    step = {"id": "a", "action": "acme.create_invoice", "with": {"lines": [{"text": "{{ x }}"}]}}
    assert faults_of(step) == [
        "steps[0].with.lines[0].text: unknown variable x: templates have contact, execution, "
        "workflow, trigger"
    ]
    del step["with"]
    assert faults_of(step) == []


def test_an_exit_needs_no_more_than_its_id() -> None:
    definition = read({"steps": [noop("a"), exiting("b")]}).definition
    assert definition is not None
    assert definition.steps[1] == ExitStep("b")
