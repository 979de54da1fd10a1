"""Every route under /api/v1 refuses callers that may not use it.

Generated from the application's own routes: a new one takes part by itself, and fails until
it has a scope and an entry in `tests.support.api.access_matrix`.
"""

import base64
import hmac
import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
import redis
from tests.support.api.access_matrix import (
    CONTACT,
    ENROLLMENT,
    PROVIDER,
    ROUTE_REQUESTS,
    SOURCE,
    TAG,
    WORKFLOW,
    OtherTenant,
    RouteRequest,
    guarded,
    path_of,
)
from tests.support.api.client import SCOPES, Api
from tests.support.api.jwks_server import JwksServer, Key, serve_jwks
from tests.support.services.servers import Database

from goald.api.auth.access import SCOPES as ALL_SCOPES
from goald.api.auth.access import Access
from goald.api.http.routing import GUARDED, Route

MARK = "of-the-owner-alone"
"""In all that the owner calls by a name."""
SOME_GOAL = "00000000-0000-4000-8000-000000000001"
RSA, EC = Key("rsa"), Key("ec", "ES256")
ANOTHER = Key("rsa")
EVERYTHING = " ".join(SCOPES)
ROUTES = [pytest.param(route, method, id=f"{method} {route.path}") for route, method in guarded()]


def request_of(route: Route, method: str) -> RouteRequest:
    return ROUTE_REQUESTS[method, route.path]


def request(
    client: httpx.Client, route: Route, method: str, token: str | None, goal: str = SOME_GOAL
) -> httpx.Response:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    body = request_of(route, method).body
    return client.request(method, path_of(route, goal), json=body, headers=headers)


def encoded(part: Any) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header: dict[str, Any], token: str, secret: bytes | None) -> str:
    """The claims of a token under another header, signed by HMAC or not at all."""
    signed = f"{encoded(header)}.{token.split('.')[1]}"
    if secret is None:
        return signed + "."
    return f"{signed}.{encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


Sign = Callable[..., str]
"""A token that is good, but for the claims that are given."""

REFUSED: dict[str, Callable[[Sign], str | None]] = {
    "no token": lambda _: None,
    "expired": lambda sign: sign(exp=int(time.time()) - 60),
    "wrong audience": lambda sign: sign(aud="other"),
    "wrong issuer": lambda sign: sign(iss="other"),
    "no tenant": lambda sign: sign(tenant_id=""),
    "alg none": lambda sign: by_hand({"alg": "none", "kid": "rsa"}, sign(), None),
    "alg none, with a signature": lambda sign: by_hand({"alg": "none"}, sign(), b"x"),
    "signed with nothing": lambda sign: by_hand({"alg": "HS256"}, sign(), b""),
    "signed with the public RSA key": lambda sign: by_hand(
        {"alg": "HS256", "kid": "rsa"}, sign(), RSA.pem
    ),
    "signed with the public EC key": lambda sign: by_hand(
        {"alg": "HS256", "kid": "ec"}, sign(), EC.pem
    ),
    "signed with another key": lambda _: ANOTHER.token("acme", EVERYTHING),
    "signature cut off": lambda sign: sign().rpartition(".")[0] + ".",
}


@pytest.fixture(scope="module")
def issuer() -> Iterator[JwksServer]:
    with serve_jwks() as issuer:
        issuer.keys = [RSA.jwk(), EC.jwk()]
        yield issuer


@pytest.fixture(params=["HS256", "RS256", "ES256"])
def door(
    request: pytest.FixtureRequest, make_api: Callable[..., Api], issuer: JwksServer
) -> tuple[httpx.Client, Sign]:
    """An API that takes tokens of one algorithm, and how they are made."""
    if request.param == "HS256":
        api = make_api()
        return api.anonymous(), lambda **claims: api.token("acme", **claims)
    key = RSA if request.param == "RS256" else EC
    api = make_api(jwt_algorithm=request.param, jwks_url=issuer.url)
    return api.anonymous(), lambda **claims: key.token("acme", **{"scope": EVERYTHING} | claims)


def test_every_route_has_an_entry_and_every_entry_a_route() -> None:
    assert set(ROUTE_REQUESTS) == {(method, route.path) for route, method in guarded()}


@pytest.mark.parametrize(("route", "method"), ROUTES)
def test_route_has_exactly_one_known_scope(route: Route, method: str) -> None:
    assert isinstance(route.access, Access)
    assert route.access.scope in ALL_SCOPES


def test_route_without_a_scope_cannot_be_created() -> None:
    async def open_to_all() -> None: ...

    with pytest.raises(TypeError, match="needs one of"):
        Route(GUARDED + "open", open_to_all)


def test_no_route_serves_unauthenticated_callers(door: tuple[httpx.Client, Sign]) -> None:
    client, sign = door
    for (route, method), how in itertools.product(guarded(), REFUSED):
        answer = request(client, route, method, REFUSED[how](sign))

        assert answer.status_code == 401, f"{method} {route.path}: {how}"
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        assert answer.headers["content-type"] == "application/problem+json"


def test_routes_require_their_scope(
    door: tuple[httpx.Client, Sign],
) -> None:
    client, sign = door
    for route, method in guarded():
        assert route.access is not None
        scope = route.access.scope
        for others in ("", " ".join(set(SCOPES) - {scope})):
            answer = request(client, route, method, sign(scope=others))

            assert answer.status_code == 403, f"{method} {route.path}"
            assert answer.json()["scope"] == scope
        answer = request(client, route, method, sign(scope=scope))

        assert answer.status_code in {200, 201, 202, 204, 404}, f"{method} {route.path}"


class Owner:
    """A tenant with an object of every kind."""

    def __init__(self, api: Api, database: Database) -> None:
        self.client = api.client("owner", sub=MARK)
        workflow = f"/api/v1/workflows/{WORKFLOW}"
        goal = {"goal_type": "tag_added", "criteria": {"tag_name": MARK}}
        self._done(self.client.put(workflow, json={"name": MARK, "goal_logic": "any"}))
        response = self._done(self.client.post(f"{workflow}/goals", json=goal))
        steps = {"steps": [{"id": MARK, "action": "noop"}]}
        self._done(self.client.put(f"{workflow}/definition", json=steps))
        self._done(self.client.post(f"{workflow}/publish"))
        self._done(self.client.post(f"{workflow}/activate"))
        self._done(self.client.put(f"/api/v1/catalog/tag/{TAG}", json={"name": MARK}))
        self._done(self.client.put(f"/api/v1/webhooks/{PROVIDER}"))
        source = self._done(
            self.client.put(f"/api/v1/sources/{SOURCE}", json={"preset": "jotform"})
        )
        self._done(api.anonymous().post(source.json()["url"], content=b"q1=1"))
        self.goal = response.json()["id"]
        with psycopg.connect(database.dsn) as connection:
            connection.execute("SET ROLE goald_shard")
            connection.execute("SELECT set_config('goald.slots', '0-255', true)")
            connection.execute(
                "INSERT INTO goald.workflow_enrollments (tenant_id, id, contact_id, workflow_id,"
                " slot, status, enrolled_at) VALUES ('owner', %s, %s, %s, 0, 'active', now())",
                (ENROLLMENT, CONTACT, WORKFLOW),
            )
            connection.execute(
                "INSERT INTO goald.workflow_executions (tenant_id, id, contact_id, workflow_id,"
                " slot, version, status, state, step_id, step_index, total_steps, visit, attempt,"
                " retry_count, hops, zone, since, since_seq, migrates, used_event, created_at)"
                " VALUES ('owner', %s, %s, %s, 0, 1, 'PAUSED', 'sleeping', %s, 1, 1, 1, 0, 0, 0,"
                " 'UTC', now(), 0, false, false, now())",
                (ENROLLMENT, CONTACT, WORKFLOW, MARK),
            )
            connection.execute(
                "INSERT INTO goald.execution_logs (tenant_id, execution_id, slot, event_type, at,"
                " step_id, attempt) VALUES ('owner', %s, 0, 'wait_started', now(), %s, 0)",
                (ENROLLMENT, MARK),
            )
            connection.execute(
                "INSERT INTO goald.contacts (tenant_id, contact_id, slot, attributes)"
                " VALUES ('owner', %s, 0, jsonb_build_object('name', %s::text))",
                (CONTACT, MARK),
            )
            connection.execute(
                "INSERT INTO goald.workflow_goal_achievements (tenant_id, id, workflow_id,"
                " workflow_enrollment_id, contact_id, goal_config_id, goal_type, slot,"
                " achieved_at, trigger_event, metadata) VALUES ('owner', gen_random_uuid(), %s,"
                " %s, %s, %s, 'tag_added', 0, now(), '{}', '{}')",
                (WORKFLOW, ENROLLMENT, CONTACT, self.goal),
            )

    def sees(self) -> dict[str, Any]:
        """Everything that can be read."""
        return {
            route.path: self._done(self.client.get(path_of(route, self.goal))).json()
            for route, method in guarded()
            if method == "GET"
        }

    def _done(self, answer: httpx.Response) -> httpx.Response:
        assert answer.is_success, answer.text
        return answer


@pytest.fixture
def owner(api: Api, database: Database) -> Owner:
    return Owner(api, database)


def test_owner_has_an_object_of_each_kind(owner: Owner) -> None:
    for path, seen in owner.sees().items():
        assert seen.get("items", seen), path


def test_another_tenant_reads_and_changes_nothing(
    api: Api, owner: Owner, other_tenant: str
) -> None:
    before = owner.sees()
    token = api.token(other_tenant)
    # Requests that create objects for the other tenant come last.
    asked = sorted(
        guarded(), key=lambda pair: request_of(*pair).other_tenant is OtherTenant.SEPARATE
    )

    for route, method in asked:
        answer = request(api.anonymous(), route, method, token, owner.goal)

        where = f"{method} {route.path}: {answer.status_code} {answer.text}"
        expected = request_of(route, method).other_tenant
        assert MARK not in answer.text, where
        if expected is OtherTenant.MISSING:
            assert answer.status_code == 404, where
        else:
            assert answer.is_success, where
        if expected is OtherTenant.EMPTY:
            assert not next(iter(answer.json().values())), where
    assert owner.sees() == before


def test_events_of_another_tenant_are_published_as_its_own(
    api: Api, owner: Owner, other_tenant: str, redis_url: str
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        for route, method in guarded():
            request(api.anonymous(), route, method, api.token(other_tenant), owner.goal)
        streams = list(client.scan_iter("goald:events:*"))
        entries = [fields for name in streams for _, fields in client.xrange(name)]

    assert entries
    assert {json.loads(fields[b"event"])["tenantid"] for fields in entries} == {other_tenant}


def test_event_with_another_tenant_is_refused_or_not_looked_up(
    api: Api, owner: Owner, other_tenant: str
) -> None:
    client = api.client(other_tenant)
    event = ROUTE_REQUESTS["POST", "/api/v1/events"].body | {"tenantid": "owner"}

    assert client.post("/api/v1/events", json=event).status_code == 400
    explained = client.post("/api/v1/explain", json=event)
    assert explained.status_code == 400 or explained.json()["enrollments"] == []


def test_no_header_query_or_body_changes_the_tenant(
    api: Api, owner: Owner, other_tenant: str
) -> None:
    headers = {"x-tenant-id": "owner", "tenant": "owner", "x-forwarded-user": "owner"}
    client = api.client(other_tenant)
    for path in (f"/api/v1/workflows/{WORKFLOW}", f"/api/v1/workflows/{WORKFLOW}/enrollments"):
        for query in ({"tenant": "owner"}, {"tenant_id": "owner"}, {"tenantid": "owner"}):
            answer = client.get(path, params=query, headers=headers)

            assert answer.status_code in {400, 404}
            assert MARK not in answer.text
