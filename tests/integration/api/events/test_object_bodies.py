"""A body that is no map is refused by every route that takes one."""

import pytest
from fastapi.routing import APIRoute
from tests.support.api.client import Api

from goald.api.app import all_routes

PATHS = sorted(
    (method, route.path_format)
    for route in all_routes()
    if isinstance(route, APIRoute) and route.body_field is not None
    for method in route.methods or ()
)


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_body_must_be_an_object(api: Api, method: str, path: str) -> None:
    """A decimal has attributes, and so might pass for a map in which nothing is set."""
    client = api.client("acme")
    url = path.format_map(Names())
    for body in ("-2.5", "1e3", "7", '"text"', "true", "[]", "[[]]"):
        answer = client.request(
            method, url, content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400, (body, answer.text)


class Names(dict[str, str]):
    """A value for each parameter of a path, whatever kind of it the path names."""

    def __missing__(self, name: str) -> str:
        return {"kind": "tag", "goal_id": "7f8c1b9e-0000-4000-8000-000000000000"}.get(name, "x")
