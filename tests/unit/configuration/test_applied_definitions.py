"""Definitions in the file of `goald apply`."""

from decimal import Decimal
from typing import Any

import pytest

from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.configuration.store import MemoryConfigurationStore
from goald.cli.output.configuration_changes import change_json, change_row
from goald.configuration.file import parse_configuration
from goald.configuration.service import ConfigurationService
from goald.domain.configuration.edits import ExpectedVersion
from goald.domain.configuration.workflows import ConfigurationChange
from goald.domain.errors import InvalidFile

FILE = """
tenant: acme
workflows:
  - id: nurture
    trigger: {on: form_submitted, criteria: {form_id: trial}}
    timezone: Europe/Berlin
    steps:
      - {id: welcome, action: noop}
      - id: large
        condition: {attribute: amount, op: gte, value: 99.50}
        then: [{id: call, action: webhook, with: {url: "https://example.com", body: {limit: 1.10}}}]
      - {id: eve, wait: {until: {time: "09:00", date: 2026-12-24}}}
"""


@pytest.fixture
def service() -> ConfigurationService:
    return ConfigurationService(MemoryConfigurationStore(ManualClock()), ManualClock())


async def apply(service: ConfigurationService, text: str) -> list[ConfigurationChange]:
    return (await service.apply(parse_configuration(text))).changes


async def published(service: ConfigurationService) -> dict[str, Any]:
    view = await service.definitions.newest("acme", "nurture")
    assert view.row.is_published
    return dict(view.row.document)


def faults(text: str) -> list[str]:
    with pytest.raises(InvalidFile) as refused:
        parse_configuration(text)
    return str(refused.value).splitlines()


async def test_a_file_publishes_the_definition_of_a_workflow(service: ConfigurationService) -> None:
    await apply(service, FILE)
    document = await published(service)
    assert list(document) == ["trigger", "timezone", "steps"]
    assert document["steps"][1]["condition"]["value"] == Decimal("99.50")
    assert document["steps"][1]["then"][0]["with"]["body"] == {"limit": Decimal("1.10")}
    assert document["steps"][2]["wait"]["until"]["date"] == "2026-12-24"


async def test_a_file_that_is_applied_again_changes_nothing(service: ConfigurationService) -> None:
    await apply(service, FILE)
    assert await apply(service, FILE) == []
    reordered = FILE.replace("{id: welcome, action: noop}", "{action: noop, id: welcome}")
    assert await apply(service, reordered) == []


async def test_a_file_without_steps_keeps_the_definition(service: ConfigurationService) -> None:
    await apply(service, FILE)
    before = await published(service)
    assert await apply(service, "tenant: acme\nworkflows:\n- {id: nurture}\n") == []
    assert await published(service) == before


async def test_a_dry_run_shows_how_the_steps_differ(service: ConfigurationService) -> None:
    created = await service.plan(parse_configuration(FILE))
    assert [change_row(change)[1:] for change in created] == [
        ["workflow", "nurture", "name: nurture, goal_logic: any, is_active: no"],
        ["definition", "nurture / version 1", "published, steps: +welcome +large +call +eve"],
    ]
    await apply(service, FILE)
    changed = FILE.replace("{id: welcome, action: noop}", "{id: hello, action: noop}")
    changed = changed.replace("99.50", "100")
    (change,) = await service.plan(parse_configuration(changed))
    assert change_row(change) == [
        "+ create",
        "definition",
        "nurture / version 2",
        "published, steps: +hello ~large -welcome",
    ]
    as_json = change_json(change)
    assert as_json["kind"] == "definition"
    assert as_json["after"]["version"] == 2
    assert as_json["steps"][-1] == {"id": "welcome", "change": "removed", "continues_at": "large"}
    assert "document" not in as_json["after"]
    assert (await published(service))["steps"][0]["id"] == "welcome"


async def test_a_file_replaces_the_draft(service: ConfigurationService) -> None:
    await apply(service, FILE)
    draft = {"steps": [{"id": "draft", "action": "noop"}]}
    await service.definitions.put("acme", "editor", "nurture", draft, ExpectedVersion())
    (change,) = await apply(service, FILE.replace("99.50", "100"))
    assert change_row(change)[3] == "published, draft replaced, steps: ~large"
    assert (await published(service))["steps"][1]["condition"]["value"] == 100


async def test_a_file_that_equals_the_published_version_removes_the_draft(
    service: ConfigurationService,
) -> None:
    await apply(service, FILE)
    draft = {"steps": [{"id": "draft", "action": "noop"}]}
    await service.definitions.put("acme", "editor", "nurture", draft, ExpectedVersion())
    (change,) = await apply(service, FILE)
    assert change_row(change)[2:] == ["nurture / version 1", "draft removed"]
    assert (await published(service))["steps"][0]["id"] == "welcome"


def test_the_faults_of_definitions_are_listed_with_those_of_the_file() -> None:
    text = FILE.replace("action: noop", "action: nop").replace("Europe/Berlin", "Berlin")
    text = text.replace("  - id: nurture", "  - id: other\n    actve: true\n  - id: nurture")
    assert faults(text) == [
        "workflows[0].actve: unknown field. Did you mean active?",
        "workflows[1].timezone: must be a time zone of the IANA database. Did you mean "
        "Europe/Berlin?",
        "workflows[1].steps[0].action: unknown action. Did you mean noop?",
    ]


def test_a_definition_in_a_file_needs_steps() -> None:
    text = "tenant: acme\nworkflows:\n- {id: nurture, timezone: UTC}\n"
    assert faults(text) == ["workflows[0].steps: required but missing"]


async def test_a_definition_may_refer_to_entities_of_the_same_file(
    service: ConfigurationService,
) -> None:
    tags = "catalog:\n  tag: [{id: t-1, name: VIP}]\n"
    text = FILE.replace(
        "{id: welcome, action: noop}", "{id: a, action: add_tag, with: {tag_id: %s}}"
    )
    with pytest.raises(InvalidFile) as refused:
        await apply(service, text % "t-2" + tags)
    assert str(refused.value) == (
        "workflows[0].steps[0].with.tag_id: Referenced tag does not exist"
    )
    await apply(service, text % "t-1" + tags)
    assert (await published(service))["steps"][0]["with"] == {"tag_id": "t-1"}
