"""The variables of templates reach the jobs: of the trigger, the execution and its workflow."""

from typing import Any

from tests.support.pipeline.workflows import WorkflowPipeline, next_job

from goald.domain.definitions.steps import ActionStep, EventPattern, WorkflowDefinition

SIGNUP = EventPattern("form_submitted", {"form_id": "signup"})


async def variables_of(
    template: str, trigger: EventPattern | None, event: str, **data: Any
) -> dict[str, Any]:
    """The variables of the first job of an execution that an event starts."""
    pipeline = WorkflowPipeline()
    pipeline.configure()
    pipeline.publish(
        WorkflowDefinition((ActionStep("first", "noop", {"text": template}),), trigger=trigger)
    )
    async with pipeline.running():
        await pipeline.send(event, **data)
        _, job = await next_job(pipeline)
    return dict(job.variables)


async def test_an_event_that_starts_an_execution_is_its_trigger() -> None:
    template = "{{ trigger.data.plan }}"
    variables = await variables_of(template, SIGNUP, "form.submitted", form_id="signup", plan="pro")
    trigger = variables["trigger"]
    assert trigger["type"] == "form.submitted"
    assert trigger["data"]["plan"] == "pro"
    assert {"id", "source", "time"} < trigger.keys()


async def test_an_event_that_no_template_names_is_not_stored() -> None:
    variables = await variables_of(
        "{{ execution.started_at }}", SIGNUP, "form.submitted", form_id="signup"
    )
    assert "trigger" not in variables
    assert variables["execution"]["started_at"].endswith("Z")
    assert variables["execution"]["attributes"] == {}


async def test_a_request_gives_attributes() -> None:
    variables = await variables_of(
        "{{ execution.attributes.code }}", None, "workflow.execution.requested",
        workflow_id="w", key="k-1", attributes={"code": "x-7", "count": 2},
    )  # fmt: skip
    assert variables["execution"]["attributes"] == {"code": "x-7", "count": 2}


async def test_templates_have_the_name_of_the_workflow() -> None:
    pipeline = WorkflowPipeline()
    pipeline.configure()
    ((_, row),) = pipeline.database.workflows
    row["name"] = "Trial nurture"
    pipeline.publish(WorkflowDefinition((ActionStep("first", "noop", {}),), trigger=SIGNUP))
    async with pipeline.running():
        await pipeline.send("form.submitted", form_id="signup")
        _, job = await next_job(pipeline)
    assert job.variables["workflow"] == {"id": "w", "name": "Trial nurture"}


async def test_a_request_with_invalid_attributes_is_dead_lettered() -> None:
    pipeline = WorkflowPipeline()
    pipeline.configure()
    pipeline.publish(WorkflowDefinition((ActionStep("first", "noop", {}),)))
    request = {"workflow_id": "w", "key": "k"}
    async with pipeline.running():
        for attributes in (["x"], {"long": "x" * 9_000}):
            await pipeline.send("workflow.execution.requested", **request, attributes=attributes)
        await pipeline.until(lambda: len(pipeline.dead_letters) == 2)
    assert not pipeline.executions
