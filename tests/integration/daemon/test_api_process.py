"""The API process and the worker of `goald serve` are replaced when they die or hang, and no exit
waits for the API."""

import contextlib
import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from tests.integration.daemon.test_serve_faults import WORKFLOWS, achieve_and_wait_for_exit
from tests.support.services.daemon import DEADLINE_S, Daemon, left_of
from tests.support.services.directories import new_directory

from goald.client import event
from goald.redis_keys import GROUP, action_stream
from goald.runtime.daemon.children import liveness

ACTION = """
tenant: acting
workflows:
  - id: w
    name: W
    active: true
    trigger: {on: form_submitted, criteria: {form_id: trial}}
    steps: [{id: nothing, action: noop}]
"""
CALLS = """
tenant: calling
workflows:
  - id: w
    name: W
    active: true
    trigger: {{on: form_submitted, criteria: {{form_id: trial}}}}
    steps:
      - {{id: own, action: webhook, with: {{url: "{api}/api/v1/events"}}}}
      - {{id: receiver, action: webhook, with: {{url: "{receiver}"}}}}
"""


@pytest.fixture(scope="module")
def goald() -> Iterator[Daemon]:
    """One daemon for all tests: an API that was replaced serves the next test."""
    daemon = Daemon(new_directory(), webhook_allow_private="true")
    try:
        daemon.start()
        daemon.apply(WORKFLOWS)
        yield daemon
        family = daemon.family()
        assert daemon.stop() == 0, daemon.printed()
        assert left_of(family) == []
    finally:
        daemon.end()
        shutil.rmtree(daemon.data_dir, ignore_errors=True)


def api_processes(daemon: Daemon) -> list[psutil.Process]:
    """The process that serves, and the spare one; the older one first."""
    found = []
    for each in daemon.family():
        with contextlib.suppress(psutil.Error):  # it has just ended
            if "goald.runtime.daemon.api.process" in each.cmdline():
                found.append(each)
    return sorted(found, key=lambda each: each.create_time())


def api_process(daemon: Daemon) -> psutil.Process:
    """The process that serves. A spare one is younger, because it replaces an older one."""
    return api_processes(daemon)[0]


def spare_process(daemon: Daemon) -> psutil.Process:
    """The spare process, once it exists."""
    daemon.until("spare process", lambda: len(api_processes(daemon)) == 2)
    return api_processes(daemon)[1]


def status(daemon: Daemon) -> list[tuple[str, int, bool]]:
    """Role, process id and readiness of each API process in `goald status`."""
    printed = json.loads(daemon.run("status", "--json").stdout)
    return [
        (each["role"], each["pid"], each["ready"])
        for each in printed["processes"]
        if each["role"] == "api"
    ]


def worker_process(daemon: Daemon) -> psutil.Process:
    (found,) = [each for each in daemon.readings().heartbeats if each.role == "worker"]
    return psutil.Process(found.pid)


def get(daemon: Daemon, path: str) -> httpx.Response | None:
    """The response; None while there is none."""
    try:
        return httpx.get(f"{daemon.api.url}{path}", timeout=DEADLINE_S)
    except httpx.TransportError:
        return None


def test_a_killed_api_is_replaced_and_costs_no_exit(goald: Daemon) -> None:
    before = api_process(goald)
    assert status(goald) == [("api", before.pid, True)]
    others = {each.pid for each in goald.family()} - {each.pid for each in api_processes(goald)}
    for number in range(3):
        killed = api_process(goald)
        killed.kill()
        achieve_and_wait_for_exit(goald, f"during-{number}")
        answer = get(goald, "/livez")  # waits in the backlog of the socket
        assert answer is not None
        assert answer.status_code == 200
        assert api_process(goald).pid != killed.pid
    assert "Restarting the API: its process was ended by SIGKILL" in goald.printed()
    after = api_process(goald)
    goald.until("api in the status", lambda: status(goald) == [("api", after.pid, True)])
    assert {each.pid for each in goald.family()} >= others


def test_the_spare_process_takes_over_and_is_replaced(goald: Daemon) -> None:
    """It still prepares: a process that starts then would serve later."""
    spare = spare_process(goald)
    api_process(goald).kill()
    goald.until("response", lambda: (answer := get(goald, "/livez")) and answer.is_success)
    goald.until("api in the status", lambda: status(goald) == [("api", spare.pid, True)])
    assert spare_process(goald).pid != spare.pid
    assert api_process(goald).pid == spare.pid


def test_a_spare_process_that_has_ended_is_not_used(goald: Daemon) -> None:
    spare = spare_process(goald)
    spare.kill()
    served = api_process(goald)
    served.kill()
    goald.until("response", lambda: (answer := get(goald, "/livez")) and answer.is_success)
    assert api_process(goald).pid not in (spare.pid, served.pid)


def test_a_spare_process_that_hangs_is_not_used(goald: Daemon) -> None:
    """It hangs before it is prepared. The long time that a start may take does not count."""
    spare = spare_process(goald)
    spare.suspend()
    served = api_process(goald)
    served.kill()
    goald.until("response", lambda: (answer := get(goald, "/livez")) and answer.is_success)
    assert api_process(goald).pid not in (spare.pid, served.pid)
    assert not spare.is_running()


def test_an_api_that_hangs_is_replaced(goald: Daemon) -> None:
    hung = api_process(goald)
    hung.suspend()
    goald.until("end of the hung process", lambda: not hung.is_running())
    goald.until("response", lambda: (answer := get(goald, "/livez")) and answer.is_success)
    assert f"hung for {liveness.HANG_SECONDS:.0f} s" in goald.printed()


def test_the_job_of_a_killed_worker_is_taken_over_by_its_successor(goald: Daemon) -> None:
    goald.apply(ACTION)
    killed, stream = worker_process(goald), action_stream("noop")
    with goald.redis() as client:
        (consumer,) = [each["name"] for each in client.xinfo_consumers(stream, GROUP)]
        killed.suspend()
        goald.publish(event("form.submitted", "acting", "c-1", {"form_id": "trial"}))
        goald.until("job", lambda: client.xlen(stream))
        client.xreadgroup(GROUP, consumer, {stream: ">"})
        (job,) = client.xpending_range(stream, GROUP, "-", "+", 1)
        # As if a minute had gone by.
        entry = [job["message_id"]]
        client.xclaim(stream, GROUP, consumer, 0, entry, idle=61_000, justid=True)
        killed.kill()
        goald.until("result", lambda: not client.xlen(stream))
    assert "Restarting worker 0: its process was ended by SIGKILL" in goald.printed()
    assert worker_process(goald).pid != killed.pid
    sample = 'goald_actions_taken_over_total{action="noop"'
    goald.until("metric", lambda: (answer := get(goald, "/metrics")) and sample in answer.text)


def test_webhooks_reach_private_addresses_if_allowed_but_no_server_of_goald(goald: Daemon) -> None:
    received: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.headers["webhook-signature"])
            self.send_response(204)
            self.end_headers()

    def outcomes() -> set[str]:
        answer = get(goald, "/metrics")
        text = "" if answer is None else answer.text
        return set(re.findall(r'goald_actions_total{action="webhook".*outcome="(\w+)"', text))

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        goald.apply(CALLS.format(api=goald.api.url, receiver=url))
        goald.publish(event("form.submitted", "calling", "c-1", {"form_id": "trial"}))
        goald.until("both outcomes", lambda: outcomes() == {"skip", "success"})
        server.shutdown()
    assert len(received) == 1


def test_a_busy_driver_leaves_the_api_alive_but_not_ready(goald: Daemon) -> None:
    assert goald.process is not None
    driver = psutil.Process(goald.process.pid)

    def reports_the_driver() -> bool:
        answer = get(goald, "/readyz")
        assert answer is not None
        reasons = answer.json()["reasons"] if answer.status_code == 503 else []
        return any("supervisor 0: no heartbeat" in each for each in reasons)

    driver.suspend()
    try:
        goald.until("reason", reports_the_driver)
        answer = get(goald, "/livez")
        assert answer is not None
        assert answer.status_code == 200
    finally:
        driver.resume()
    goald.until("readiness", lambda: (answer := get(goald, "/readyz")) and answer.is_success)


def test_the_metrics_of_the_api_are_those_of_a_process(goald: Daemon) -> None:
    def counted() -> bool:
        metrics = httpx.get(json.loads(goald.run("status", "--json").stdout)["metrics_url"])
        lines = [line for line in metrics.text.splitlines() if "goald_api_requests_total{" in line]
        return any('role="api"' in line and 'route="/livez"' in line for line in lines)

    assert get(goald, "/livez") is not None
    goald.until("metrics of the API", counted)


def test_a_signal_to_the_process_group_of_a_terminal_does_not_reach_the_api(goald: Daemon) -> None:
    assert goald.process is not None
    assert os.getpgid(api_process(goald).pid) != os.getpgid(goald.process.pid)
    os.kill(api_process(goald).pid, signal.SIGTERM)  # by an operator
    goald.until("response", lambda: (answer := get(goald, "/livez")) and answer.is_success)


def test_the_api_ends_with_its_driver(goald: Daemon) -> None:
    """A restart with the same port succeeds, and the daemon serves the end of this file."""
    spare_process(goald)
    processes, url = api_processes(goald), urlsplit(goald.api.url)
    goald.kill_driver()
    assert left_of(processes) == []
    goald.environment["GOALD_API_PORT"] = str(url.port)
    goald.start()
    assert urlsplit(goald.api.url).port == url.port
