"""Only this user of this machine can reach Ray, because Ray runs arbitrary code."""

import os
import stat
import subprocess
import sys

import psutil
from tests.support.services.daemon import DEADLINE_S, Daemon

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}

LIST_NODES = """
import sys
from ray._raylet import GcsClient
print("nodes:", len(GcsClient(address=sys.argv[1]).get_all_node_info()))
"""


def listen_addresses(process: psutil.Process) -> list[tuple[str, int]]:
    return [
        (each.laddr.ip, each.laddr.port)
        for each in process.net_connections("inet")
        if each.status == psutil.CONN_LISTEN
    ]


def list_nodes(address: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Ask Ray's control store for its nodes, with these variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", LIST_NODES, address],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def control_store(daemon: Daemon) -> psutil.Process:
    (found,) = [each for each in daemon.family() if each.name().startswith("gcs_server")]
    return found


def test_every_process_listens_on_the_loopback_address_only(daemon: Daemon) -> None:
    found = {each.name(): listen_addresses(each) for each in daemon.family()}
    assert any(name.startswith("raylet") and ports for name, ports in found.items())
    outside = {
        name: where
        for name, where in found.items()
        if any(address not in LOOPBACK for address, _ in where)
    }
    assert outside == {}


def test_ray_refuses_a_client_without_its_token(daemon: Daemon) -> None:
    store = control_store(daemon)
    (where,) = listen_addresses(store)
    address = f"127.0.0.1:{where[1]}"
    path = store.environ()["RAY_AUTH_TOKEN_PATH"]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    mine = list_nodes(address, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": path})
    assert mine.stdout == "nodes: 1\n", mine.stderr
    for another in (
        {"RAY_AUTH_MODE": "disabled"},
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64},
    ):
        refused = list_nodes(address, another)
        assert refused.returncode != 0
        assert refused.stdout == ""
        assert "AuthenticationError" in refused.stderr
