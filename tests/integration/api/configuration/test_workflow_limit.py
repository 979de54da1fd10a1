"""A tenant has a limited number of workflows, in the API and in `goald apply`."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.api.client import Api
from tests.support.services.servers import Database

from goald.cli.main import main


def test_workflow_beyond_the_limit_is_refused_and_the_others_can_be_changed(
    make_api: Callable[..., Api], other_tenant: str
) -> None:
    api = make_api(max_workflows=3)
    client = api.client("acme")
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda n: client.put(f"/api/v1/workflows/w-{n}", json={"name": "W"}), range(8))
        )

    assert sorted(each.status_code for each in answers) == [201] * 3 + [409] * 5
    refused = next(each for each in answers if each.status_code == 409)
    assert "A tenant may have at most 3 workflows" in refused.json()["detail"]
    created = next(each for each in answers if each.status_code == 201)
    assert client.put(created.request.url.path, json={"name": "New"}).status_code == 200
    other = api.client(other_tenant)
    assert other.put("/api/v1/workflows/w", json={"name": "W"}).status_code == 201


def test_a_tenant_that_creates_and_deletes_workflows_does_not_fill_the_table(
    make_api: Callable[..., Api],
) -> None:
    client = make_api(max_workflows=1).client("acme")
    for number in range(10):
        assert client.put(f"/api/v1/workflows/w-{number}", json={"name": "W"}).status_code == 201
        assert client.delete(f"/api/v1/workflows/w-{number}").status_code == 204
    refused = client.put("/api/v1/workflows/w-10", json={"name": "W"})
    assert refused.status_code == 409
    assert "id of a deleted workflow" in refused.json()["detail"]
    assert client.put("/api/v1/workflows/w-9", json={"name": "Again"}).status_code == 201


def test_file_beyond_the_limit_is_refused_as_a_whole(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "workflows.yaml"
    rows = "".join(f"  - {{id: w-{n}, name: W}}\n" for n in range(3))
    file.write_text(f"tenant: acme\nworkflows:\n{rows}")
    monkeypatch.setenv("GOALD_POSTGRES_API_DSN", database.dsn)
    monkeypatch.setenv("GOALD_MAX_WORKFLOWS", "2")

    assert main(["apply", str(file)]) == 1

    assert "A tenant may have at most 2 workflows" in capsys.readouterr().err
    monkeypatch.setenv("GOALD_MAX_WORKFLOWS", "3")
    assert main(["apply", str(file)]) == 0
