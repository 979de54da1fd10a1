"""The response of the dry run: the event evaluated against each enrollment and goal of its
contact."""

from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator


class ExplainedEvent(BaseModel):
    id: str
    type: str
    tenant_id: str
    contact_id: str
    time: str = Field(description="As in the event.")


class ExplainedGoal(BaseModel):
    goal_id: str
    goal_type: str
    criteria: dict[str, Any] = Field(description="The criteria that are set.")
    matched: bool = Field(
        description="The event meets the criteria, after the enrollment and `effective_from`."
    )
    achieved: bool = Field(description="The match would be recorded as an achievement.")
    reason: str | None = Field(
        description="Why it is not matched, or not achieved: `wrong tag`, `no tag to compare`, "
        "`amount below`, `no amount`, `amount not above zero`, `wrong product`, `wrong currency`, "
        "`wrong calendar`, `wrong service`, `wrong status`, "
        "`appointment cancelled, moved or missed`, `wrong form`, `wrong stage`, `wrong pipeline`, "
        "`other event type`, `before enrollment`, `before effective_from`, `never activated`, "
        "`goal inactive`, `workflow inactive`, `already met`, `an older goal completes it`, "
        "`the event started the enrollment`, `the event counted for an earlier enrollment`, "
        "`the contact had the tag before`, `the contact is not in this state`, "
        "`not checked on enrollment`, or, with the name of a value in `match`, "
        "`the enrollment has no`, `the event has no`, `the enrollment has another`."
    )

    @field_validator("criteria")
    @classmethod
    def _exact_amount(cls, criteria: dict[str, Any]) -> dict[str, Any]:
        """An amount is a number in responses."""
        amount = criteria.get("min_amount")
        return criteria | {"min_amount": Decimal(amount)} if isinstance(amount, str) else criteria


class ExplainedExecution(BaseModel):
    """The step of an execution before the event, and when it continues."""

    version: int = Field(description="Of the definition.")
    status: str
    step_id: str
    current_step_index: int
    total_steps: int
    waiting_for: str | None
    waiting_reason: str | None = Field(description="Why it waits, in words.")
    due_at: str | None = Field(description="When it continues, if a timer runs.")


class ExplainedEnrollment(BaseModel):
    enrollment_id: str
    workflow_id: str
    status: str
    enrolled_at: str
    ended_at: str | None
    match: dict[str, str] | None = Field(
        description="The values that its goals may compare with events."
    )
    goal_logic: str | None = Field(
        description="Null if the workflow is unknown, or the enrollment has ended and the event "
        "does not count for it."
    )
    execution: ExplainedExecution | None = Field(
        description="Of an active enrollment that goald runs. Needs the scope executions:read."
    )
    matched: bool = Field(description="At least one goal of the workflow matches.")
    completes: bool = Field(
        description="The event would complete the enrollment and publish an exit."
    )
    after_end: bool = Field(
        description="The enrollment has ended, and the event would meet its goals all the same, "
        "without an exit."
    )
    reason: str | None = Field(
        description="Why none of its goals can match: `workflow inactive`, `workflow unknown`, "
        "`no goals`, `enrollment completed_goal` (or another status). If the enrollment has ended, "
        "and the event matches a goal of the workflow: `not watched when the event arrives`, "
        "`before enrollment`, `the event started the enrollment`, "
        "`the event has counted in this workflow`, `its goals were met after its end`, "
        "`the event counts for another enrollment`, `its values differ from those of the event`, "
        "`the goals that the event matches were met before`, or "
        "`not known: more active enrollments than are read come first`."
    )
    goals: list[ExplainedGoal] = Field(
        description="The goals of the workflow, in order of creation. Empty if the workflow is "
        "unknown. Of an enrollment that has ended, those that the event would meet: none, if all "
        "goals that are left were met before."
    )


class Explanation(BaseModel):
    """The effects that the event would have, and the reasons for the goals that do not match. Times
    are RFC 3339."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "event": {
                        "id": "evt-1001",
                        "type": "payment.completed",
                        "tenant_id": "acme",
                        "contact_id": "contact-1",
                        "time": "2026-01-31T09:00:00Z",
                    },
                    "matched": False,
                    "reason": None,
                    "enrollments": [
                        {
                            "enrollment_id": "enrollment-1",
                            "workflow_id": "lead-nurturing",
                            "status": "active",
                            "enrolled_at": "2026-01-26T10:00:00.000000Z",
                            "ended_at": None,
                            "match": None,
                            "execution": None,
                            "goal_logic": "any",
                            "matched": False,
                            "completes": False,
                            "after_end": False,
                            "reason": None,
                            "goals": [
                                {
                                    "goal_id": "0190b5a4-6a3e-7c10-9d0f-0d7e6f1f7a11",
                                    "goal_type": "purchase_made",
                                    "criteria": {"min_amount": 200.00},
                                    "matched": False,
                                    "achieved": False,
                                    "reason": "amount below",
                                }
                            ],
                        }
                    ],
                    "active_enrollments": 1,
                    "truncated": False,
                }
            ]
        }
    )

    event: ExplainedEvent
    matched: bool = Field(description="At least one goal of the returned enrollments matches.")
    reason: str | None = Field(
        description="Why nothing can match: `not enrolled` (the contact has no active enrollment), "
        "`other event type`, `other tenant's` (nothing was looked up), or, of a start, that the "
        "contact has reached the limit of active enrollments."
    )
    enrollments: list[ExplainedEnrollment] = Field(
        description="Active enrollments, then ended ones, newest first."
    )
    active_enrollments: int = Field(
        description="The number of all active enrollments of the contact, returned or not."
    )
    truncated: bool = Field(
        description="The contact has more enrollments than the newest 100 active and the last 50 "
        "ended ones, which are returned. `goald explain` shows 1,000 and 100."
    )
