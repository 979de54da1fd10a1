"""`goald export`: the file that it prints is the configuration."""

import json
from decimal import Decimal
from typing import Any

import pytest

from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.configuration.store import MemoryConfigurationStore
from goald.configuration.file import format_configuration, parse_configuration
from goald.configuration.service import ConfigurationService
from goald.domain.configuration.edits import ExpectedVersion

FILE = """
tenant: acme
settings: {tag_case_sensitive: true}
workflows:
- id: nurture
  name: 'Nurture: "first" #1'
  active: true
  goals:
  - {key: big, goal_type: purchase_made, criteria: {min_amount: "100.10", currency: EUR}}
  - {goal_type: tag_added, criteria: {tag_id: t-1}, check_on_enrollment: true,
     conversion_window: 86400}
  trigger: {on: form_submitted, criteria: {form_id: trial}}
  reentry: {allow: always, min_interval: 1d}
  timezone: Europe/Berlin
  steps:
  - id: call
    action: webhook
    with:
      url: https://example.com
      body:
        {price: 1.10, large: 9007199254740993, small: 1.5e-7, text: "1.10",
         on: "yes", none: null}
  - {id: eve, wait: {until: {time: "09:00", date: "2026-12-24"}}}
  - id: pro
    condition: {attribute: amount, op: gte, value: 99.50}
    then:
    - id: mail
      action: send_email
      with: {subject: "Grüße", body: "a\\nb: {{ contact.id }}\\n"}
- {id: other, name: Other}
catalog:
  tag: [{id: t-1, name: VIP}, {id: "on", name: "1"}]
"""


@pytest.fixture
async def service() -> ConfigurationService:
    service = ConfigurationService(MemoryConfigurationStore(ManualClock()), ManualClock())
    await service.apply(parse_configuration(FILE))
    return service


async def test_an_exported_file_changes_nothing(service: ConfigurationService) -> None:
    text = format_configuration(await service.export("acme"))
    assert await service.plan(parse_configuration(text), prune=True) == []


async def test_an_exported_file_makes_the_same_configuration_of_another_tenant(
    service: ConfigurationService,
) -> None:
    contents = await service.export("acme")
    text = format_configuration(contents | {"tenant": "other"})
    assert "conversion_window: 86400" in text
    await service.apply(parse_configuration(text))
    assert await service.export("other") == contents | {"tenant": "other"}


async def test_an_exported_file_has_every_digit_and_the_order_of_steps(
    service: ConfigurationService,
) -> None:
    (nurture, _) = (await service.export("acme"))["workflows"]
    assert list(nurture)[-4:] == ["trigger", "reentry", "timezone", "steps"]
    body = nurture["steps"][0]["with"]["body"]
    assert body == {
        "price": Decimal("1.10"),
        "large": 9007199254740993,
        "small": Decimal("1.5e-7"),
        "text": "1.10",
        "on": "yes",
        "none": None,
    }
    assert "price: 1.10\n" in format_configuration(nurture)


async def test_a_draft_is_not_exported(service: ConfigurationService) -> None:
    before: dict[str, Any] = await service.export("acme")
    draft = {"steps": [{"id": "draft", "action": "noop"}]}
    await service.definitions.put("acme", "editor", "nurture", draft, ExpectedVersion())
    assert await service.export("acme") == before


async def test_a_tenant_without_configuration_has_no_workflows(
    service: ConfigurationService,
) -> None:
    assert await service.export("unknown") == {"tenant": "unknown", "workflows": []}
    assert json.dumps(await service.export("unknown"))
