"""The source of a delivery is read before its body, so a sender without the key takes no memory
from the senders who have it."""

import json
import socket
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest
from tests.support.api.client import Api
from tests.support.sources.payloads import payload
from tests.support.sources.signing import SIGNERS, Request

from goald.api import signed_bodies
from goald.api.body_memory import SIGNED

SECRET = "whsec_one"
ORDER = json.loads(payload("stripe", "checkout.session.completed_current_jpy_guest.json"))
LARGE = json.dumps(ORDER | {"padding": "x" * 400_000}).encode()
"""Takes more than the free memory of a body."""
BODY_BYTES = 900_000
DEADLINE_S = 20.0


@pytest.fixture(autouse=True)
def no_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Incomplete bodies stay until the test ends."""
    monkeypatch.setattr(signed_bodies, "BODY_S", 10 * DEADLINE_S)


@pytest.fixture
def path(api: Api) -> str:
    """The path of a source."""
    body = {"preset": "stripe", "secrets": [SECRET]}
    answer = api.client("acme", "workflows:edit").put("/api/v1/sources/pay", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["url"])


def begin(clients: ExitStack, api: Api, path: str, address: str) -> None:
    """Begin a delivery from this address, without the end of its body."""
    where = urlsplit(api.url)
    connection = clients.enter_context(
        socket.create_connection((where.hostname, where.port), source_address=(address, 0))
    )
    connection.sendall(
        f"POST {path} HTTP/1.1\r\nhost: goald\r\ncontent-type: application/json\r\n"
        "content-length: 1000000\r\n\r\n".encode()
        + b"a" * BODY_BYTES
    )


def fill(clients: ExitStack, api: Api, path: str) -> None:
    """Begin deliveries that take the memory for bodies of the tenant, if they are kept."""
    share = SIGNED.per_tenant_and_address
    for number in range(2 * SIGNED.per_tenant // share):
        for _ in range(share // BODY_BYTES + 1):
            begin(clients, api, path, f"127.0.0.{number + 2}")


def deliver(api: Api, path: str) -> int:
    sent = Request(LARGE, int(time.time()), "", SECRET)
    headers = {"content-type": "application/json", **SIGNERS["stripe"].sign(sent)}
    return api.anonymous().post(path, content=LARGE, headers=headers).status_code


def test_bodies_with_a_wrong_key_take_no_memory_from_those_with_the_right_one(
    api: Api, path: str
) -> None:
    prefix, _, key = path.rpartition("/")
    with ExitStack() as clients:
        fill(clients, api, f"{prefix}/{'A' * len(key)}")
        assert [deliver(api, path) for _ in range(5)] == [200] * 5


def test_bodies_with_the_right_key_take_the_memory_of_their_source(api: Api, path: str) -> None:
    """Without this, the other test would prove nothing."""
    with ExitStack() as clients:
        deadline = time.monotonic() + DEADLINE_S
        while deliver(api, path) != 503:
            assert time.monotonic() < deadline, "the memory is not taken"
            fill(clients, api, path)
