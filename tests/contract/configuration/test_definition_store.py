"""The stored definitions of workflows: drafts, versions and their publication, in memory and in
Postgres, through the service that uses them."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from tests.support.services.servers import Database

from goald.adapters.memory.clock import ManualClock
from goald.adapters.memory.configuration.store import MemoryConfigurationStore
from goald.adapters.postgres.configuration.store import PostgresConfigurationStore
from goald.adapters.postgres.tenants import TenantPool
from goald.configuration.ports import ConfigurationStore
from goald.configuration.service import ConfigurationService
from goald.domain.configuration.edits import ExpectedVersion
from goald.domain.configuration.workflows import ConfigurationScope, EntityRow
from goald.domain.definitions.documents import document_text
from goald.domain.errors import InvalidConfiguration, NotFound, StaleVersion

ANY = ExpectedVersion()
Document = dict[str, Any]


@pytest.fixture(params=["memory", "postgres"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[ConfigurationStore]:
    if request.param == "memory":
        yield MemoryConfigurationStore(ManualClock())
        return
    database: Database = request.getfixturevalue("database")
    store = PostgresConfigurationStore(TenantPool(database.dsn, 4))
    yield store
    await store.close()


@pytest.fixture
async def service(store: ConfigurationStore) -> ConfigurationService:
    service = ConfigurationService(store, ManualClock())
    for tenant in ("acme", "other"):
        await service.put_workflow(tenant, "editor", "w", "Nurture", None, ANY)
    return service


def document(*step_ids: str, **members: Any) -> Document:
    return {"steps": [{"id": step_id, "action": "noop"} for step_id in step_ids], **members}


async def put(
    service: ConfigurationService, given: Document, expected: ExpectedVersion = ANY
) -> int:
    """Make a document the draft and return the version for `If-Match`."""
    result, _ = await service.definitions.put("acme", "editor", "w", given, expected)
    return revision(result.row.metadata)


async def publish(service: ConfigurationService, expected: ExpectedVersion = ANY) -> int:
    """Publish the draft and return the version for `If-Match`."""
    result, _ = await service.definitions.publish("acme", "publisher", "w", expected)
    return revision(result.row.metadata)


def revision(metadata: Any) -> int:
    assert metadata is not None
    number: int = metadata.version
    return number


async def newest(service: ConfigurationService) -> tuple[int, bool, Document]:
    row = (await service.definitions.newest("acme", "w")).row
    return row.version, row.is_published, dict(row.document)


async def versions(service: ConfigurationService) -> list[tuple[int, bool]]:
    rows, total = await service.definitions.versions("acme", "w", 0, 100)
    assert total == len(rows)
    return [(row.version, row.published_at is not None) for row in rows]


async def test_a_draft_comes_back_unchanged(service: ConfigurationService) -> None:
    given = document("a", zone={"z": [Decimal("1.50"), 10**30, None, "ä"]}, a=True)
    with pytest.raises(NotFound):
        await service.definitions.newest("acme", "w")

    await put(service, given)

    version, is_published, stored = await newest(service)
    assert (version, is_published) == (1, False)
    assert document_text(stored) == document_text(given)


async def test_a_draft_may_have_faults_and_lists_them(service: ConfigurationService) -> None:
    result, view = await service.definitions.put("acme", "editor", "w", {"steps": [1]}, ANY)
    assert result.created
    assert [str(fault) for fault in view.faults] == ["steps[0]: must be a map"]
    assert (await service.definitions.newest("acme", "w")).faults == view.faults
    with pytest.raises(InvalidConfiguration) as refused:
        await publish(service)
    assert refused.value.faults == (("/steps/0", "steps[0]: must be a map"),)
    assert await versions(service) == [(1, False)]


async def test_publishing_makes_the_draft_a_version(service: ConfigurationService) -> None:
    await put(service, document("a"))
    await publish(service)
    assert await newest(service) == (1, True, document("a"))

    await put(service, document("a", "b"))
    assert await newest(service) == (2, False, document("a", "b"))
    assert await versions(service) == [(2, False), (1, True)]

    await publish(service)
    assert await versions(service) == [(2, True), (1, True)]
    first = await service.definitions.version("acme", "w", 1)
    assert dict(first.row.document) == document("a")
    with pytest.raises(NotFound):
        await service.definitions.version("acme", "w", 3)


async def test_a_version_records_who_wrote_and_published_it(service: ConfigurationService) -> None:
    await put(service, document("a"))
    await publish(service)
    (version,), _ = await service.definitions.versions("acme", "w", 0, 10)
    assert (version.created_by, version.published_by) == ("editor", "publisher")
    assert version.published_at is not None
    assert version.published_at >= version.created_at


async def test_repeated_requests_change_nothing(service: ConfigurationService) -> None:
    first = await put(service, document("a"))
    reordered = {"steps": [{"action": "noop", "id": "a"}]}
    assert await put(service, reordered) == first
    published = await publish(service)
    assert published > first
    assert await publish(service) == published
    assert await put(service, reordered) == published
    assert await versions(service) == [(1, True)]


async def test_a_draft_that_equals_the_published_version_is_removed(
    service: ConfigurationService,
) -> None:
    await put(service, document("a"))
    published = await publish(service)
    draft = await put(service, document("b"))
    removed = await put(service, document("a"))
    assert published < draft < removed  # no ETag repeats
    assert await newest(service) == (1, True, document("a"))
    assert await versions(service) == [(1, True)]
    assert await put(service, document("c")) > removed


async def test_another_editors_change_is_not_overwritten(service: ConfigurationService) -> None:
    first = await put(service, document("a"))
    second = await put(service, document("b"), ExpectedVersion(frozenset({first})))
    with pytest.raises(StaleVersion):
        await put(service, document("c"), ExpectedVersion(frozenset({first})))
    with pytest.raises(StaleVersion):
        await publish(service, ExpectedVersion(frozenset({first})))
    assert await newest(service) == (1, False, document("b"))
    await publish(service, ExpectedVersion(frozenset({second})))


async def test_concurrent_edits_under_one_version_have_one_winner(
    service: ConfigurationService,
) -> None:
    expected = ExpectedVersion(frozenset({await put(service, document("a"))}))
    results = await asyncio.gather(
        *(put(service, document(f"s{number}"), expected) for number in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, int) for result in results) == 1
    assert sum(isinstance(result, StaleVersion) for result in results) == 4


async def test_references_must_exist_when_a_definition_is_published(
    service: ConfigurationService,
) -> None:
    await service.put_entity("acme", "editor", EntityRow("tag", "t-1", "VIP"))
    await put(
        service,
        {
            "steps": [
                {"id": "a", "action": "add_tag", "with": {"tag_id": "t-1"}},
                {"id": "b", "action": "add_tag", "with": {"tag_id": "t-2"}},
                {"id": "c", "action": "remove_tag", "with": {"tag_id": "t-3"}},
            ]
        },
    )
    with pytest.raises(InvalidConfiguration) as refused:
        await publish(service)
    assert refused.value.faults == (
        ("/steps/1/with/tag_id", "steps[1].with.tag_id: Referenced tag does not exist"),
        ("/steps/2/with/tag_id", "steps[2].with.tag_id: Referenced tag does not exist"),
    )
    for entity_id in ("t-2", "t-3"):
        await service.put_entity("acme", "editor", EntityRow("tag", entity_id, entity_id))
    await publish(service)


async def test_a_draft_is_compared_with_the_published_version(
    service: ConfigurationService,
) -> None:
    await put(service, document("a", "b"))
    await publish(service)
    _, view = await service.definitions.put("acme", "editor", "w", document("b", "c"), ANY)
    assert view.differences is not None
    found = [(each.step_id, each.change, each.continues_at) for each in view.differences]
    assert found == [("b", "kept", "b"), ("c", "added", None), ("a", "removed", "b")]
    assert (await service.definitions.newest("acme", "w")).differences == view.differences


async def test_a_definition_belongs_to_its_tenant(service: ConfigurationService) -> None:
    await put(service, document("a"))
    for call in (
        service.definitions.newest("other", "w"),
        service.definitions.version("other", "w", 1),
        service.definitions.publish("other", "editor", "w", ANY),
    ):
        with pytest.raises(NotFound):
            await call
    assert await service.definitions.versions("other", "w", 0, 10) == ([], 0)
    with pytest.raises(NotFound):
        await service.definitions.put("other", "editor", "unknown", document("a"), ANY)
    with pytest.raises(NotFound):
        await service.definitions.versions("other", "unknown", 0, 10)


async def test_a_deleted_workflow_takes_its_definition_with_it_and_numbers_continue(
    service: ConfigurationService,
) -> None:
    await put(service, document("a"))
    await publish(service)
    last = await put(service, document("b"))
    await service.delete_workflow("acme", "editor", "w", ANY)
    await service.put_workflow("acme", "editor", "w", None, None, ANY)

    with pytest.raises(NotFound):
        await service.definitions.newest("acme", "w")
    assert await versions(service) == []
    assert await put(service, document("c")) > last
    assert await newest(service) == (3, False, document("c"))


async def test_versions_are_listed_in_pages_newest_first(service: ConfigurationService) -> None:
    for step_id in "abc":
        await put(service, document(step_id))
        await publish(service)
    rows, total = await service.definitions.versions("acme", "w", 1, 1)
    assert ([row.version for row in rows], total) == ([2], 3)


async def test_definitions_are_read_only_if_the_scope_has_them(
    store: ConfigurationStore, service: ConfigurationService
) -> None:
    await put(service, document("a"))
    current = await store.load("acme", ConfigurationScope(["w"]))
    assert current.definitions == {}
