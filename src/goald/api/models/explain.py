"""What the dry run answers: the event against each enrollment and goal of its contact."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ExplainedEvent(BaseModel):
    id: str
    type: str
    tenant_id: str
    contact_id: str
    time: str = Field(description="as it was sent")


class ExplainedGoal(BaseModel):
    goal_id: str
    goal_type: str
    criteria: dict[str, Any] = Field(description="what is set; amounts are decimal strings")
    matched: bool = Field(description="the event has what the criteria ask for, in time")
    achieved: bool = Field(description="it would be recorded as an achievement")
    reason: str | None = Field(
        description="why it was not matched, or not achieved: `wrong tag`, `no tag to compare`, "
        "`amount below`, `no amount`, `wrong product`, `wrong currency`, `wrong calendar`, "
        "`wrong service`, `wrong form`, `wrong stage`, `wrong pipeline`, `other event type`, "
        "`before enrollment`, `before effective_from`, `never activated`, `goal inactive`, "
        "`workflow inactive`, `already met`, `an older goal completes it`"
    )


class ExplainedEnrollment(BaseModel):
    enrollment_id: str
    workflow_id: str
    status: str
    enrolled_at: str
    ended_at: str | None
    goal_logic: str | None = Field(description="null where it is not known, or does not matter")
    matched: bool = Field(description="some goal of it was matched")
    completes: bool = Field(description="the event would take the contact out of the workflow")
    reason: str | None = Field(
        description="why no goal of it can be: `workflow inactive`, `workflow unknown`, "
        "`no goals`, `enrollment completed_goal` (or how else it ended)"
    )
    goals: list[ExplainedGoal] = Field(description="oldest first; none once it has ended")


class Explanation(BaseModel):
    """What would come of the event, and why not more. Times are RFC 3339."""

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
                            "goal_logic": "any",
                            "matched": False,
                            "completes": False,
                            "reason": None,
                            "goals": [
                                {
                                    "goal_id": "0190b5a4-6a3e-7c10-9d0f-0d7e6f1f7a11",
                                    "goal_type": "purchase_made",
                                    "criteria": {"min_amount": "200.00"},
                                    "matched": False,
                                    "achieved": False,
                                    "reason": "amount below",
                                }
                            ],
                        }
                    ],
                    "truncated": False,
                }
            ]
        }
    )

    event: ExplainedEvent
    matched: bool = Field(description="some goal of some enrollment was matched")
    reason: str | None = Field(
        description="why nothing could be: `not enrolled`, `other event type`, `other tenant's` "
        "(then nothing was looked up)"
    )
    enrollments: list[ExplainedEnrollment] = Field(
        description="the active ones, then those that have ended, newest first"
    )
    truncated: bool = Field(
        description="the contact has more: about the newest 1,000 active ones and the last 100 "
        "that ended are shown"
    )
