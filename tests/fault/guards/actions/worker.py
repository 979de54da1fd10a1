"""The guards of permits, workers and providers, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

PERMITS = "tests/contract/actions/test_permits.py"
WORKER = "tests/unit/workers/test_worker.py"
WEBHOOK = "tests/unit/workers/test_webhook.py"
DESTINATIONS = "tests/unit/workers/test_destinations.py"
RENDERING = "tests/unit/workers/test_rendering.py"
_PERMITS = "src/goald/adapters/redis/actions/permits.py"
_ENTRANCE = "src/goald/workers/entrance.py"
_WEBHOOK = "src/goald/adapters/providers/http/webhook.py"
_CONNECTIONS = "src/goald/adapters/providers/http/connections.py"
_DESTINATIONS = "src/goald/domain/actions/destinations.py"

WORKER_GUARDS = (
    Guard(
        "permits: an account has at most as many as its limit",
        "X8",
        (
            Edit(
                _PERMITS,
                "      if counts[tenant] < tonumber(ARGV[at + 2]) then\n",
                "      if true then\n",
            ),
        ),
        (PERMITS,),
    ),
    Guard(
        "permits: none is granted until every shard has reported",
        "X8",
        (Edit(_PERMITS, "~= run then return 3 end", "~= run then break end"),),
        (PERMITS,),
    ),
    Guard(
        "permits: an execution that moves to another slot keeps its permit",
        "X8, E21",
        (
            Edit(
                _PERMITS,
                "redis.call('SADD', ARGV[5] .. tenant, slot .. ':' .. execution)",
                "redis.call('SADD', ARGV[5] .. tenant, execution)",
            ),
            Edit(
                _PERMITS,
                "redis.call('SREM', ARGV[5] .. tenant, slot .. ':' .. execution)",
                "redis.call('SREM', ARGV[5] .. tenant, execution)",
            ),
        ),
        (PERMITS,),
    ),
    Guard(
        "permits: the next holder returns those that memory does not know",
        "X8",
        (Edit(_PERMITS, "if not active[member] then", "if false then"),),
        (PERMITS,),
    ),
    Guard(
        "permits: an earlier holder may not release",
        "X8, D3",
        (
            Edit(
                _PERMITS,
                "  local refused = not_held(ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), "
                "current_run())\n",
                "  local refused = nil\n",
            ),
        ),
        (PERMITS,),
    ),
    Guard(
        "workers: a call begins within 250 ms after the request for its gate",
        "X2",
        (Edit(_ENTRANCE, "CALL_WITHIN_S: Final = 0.25", "CALL_WITHIN_S: Final = 3600.0"),),
        (WORKER,),
    ),
    Guard(
        "workers: gates that were passed too late are returned together",
        "X2",
        (
            Edit(
                _ENTRANCE,
                "await self._return((job.gate, token))",
                "await self._queue.return_gates([(job.gate, token)])",
            ),
        ),
        (WORKER,),
    ),
    Guard(
        "workers: a provider without keys is not called again after a takeover",
        "X4",
        (
            Edit(
                _ENTRANCE,
                "sent.answer is Passed.TAKEN_OVER and self._is_keyed",
                "sent.answer is Passed.TAKEN_OVER",
            ),
        ),
        (WORKER,),
    ),
    Guard(
        "workers: a worker does not take a job over from itself",
        "X4",
        (
            Edit(
                "src/goald/workers/worker.py",
                "        if entry in self._entries:\n",
                "        if False:\n",
            ),
        ),
        (WORKER,),
    ),
    Guard(
        "webhooks: the gate is passed when the connection exists",
        "X2",
        (Edit(_CONNECTIONS, "            await enter()\n", "            pass\n"),),
        (WEBHOOK,),
    ),
    Guard(
        "webhooks: a request is sent once for each gate",
        "X2",
        (Edit(_WEBHOOK, "        if self.is_passed:", "        if False:"),),
        (WEBHOOK,),
    ),
    Guard(
        "webhooks: every address that a host resolves to is checked",
        "SSRF",
        (Edit(_CONNECTIONS, "        self._policy.check(addresses, port)\n", ""),),
        (WEBHOOK,),
    ),
    Guard(
        "webhooks: an address in a URL is checked",
        "SSRF",
        (
            Edit(
                _WEBHOOK,
                "                self._policy.check([str(address)], port)\n",
                "                pass\n",
            ),
        ),
        (WEBHOOK,),
    ),
    Guard(
        "webhooks: a redirect is not followed",
        "SSRF",
        (Edit(_WEBHOOK, "allow_redirects=False", "allow_redirects=True"),),
        (WEBHOOK,),
    ),
    Guard(
        "webhooks: an answer is read up to 64 KiB",
        "D8",
        (Edit(_WEBHOOK, "        if len(answer) >= MAX_ANSWER_BYTES:\n", "        if False:\n"),),
        (WEBHOOK,),
    ),
    Guard(
        "results: an error has no text of the contact",
        "X15",
        (
            Edit(
                "src/goald/domain/actions/outcomes.py",
                "mask_text(error[: 4 * MAX_ERROR_CHARS], texts_of(given))[:MAX_ERROR_CHARS]",
                "error",
            ),
        ),
        ("tests/unit/workers/test_worker_faults.py",),
    ),
    Guard(
        "webhooks: slow calls of a tenant delay no other call to the same host",
        "D8",
        (Edit(_WEBHOOK, "limit_per_host=0,", "limit_per_host=50,"),),
        (WEBHOOK,),
    ),
    Guard(
        "webhooks: a receiver that limits its rate is not called on",
        "X5",
        (
            Edit(
                "src/goald/workers/performing.py",
                "await self._outcome(work) if blocked is None else",
                "await self._outcome(work) if True else",
            ),
        ),
        ("tests/unit/workers/test_blocks.py",),
    ),
    Guard(
        "webhooks: those without a connection are paused by host",
        "X5",
        (
            Edit(
                "src/goald/domain/definitions/compiler.py",
                "step.connection or host_connection(step.action, step.config)",
                "step.connection",
            ),
        ),
        ("tests/unit/definitions/test_plan.py",),
    ),
    Guard(
        "destinations: goald's own servers are refused always",
        "SSRF",
        (
            Edit(
                _DESTINATIONS,
                "        if (address, port) in self.own_servers:\n",
                "        if False:\n",
            ),
            Edit(
                _DESTINATIONS,
                "self.allows_private and not is_own_port and",
                "self.allows_private and",
            ),
        ),
        (DESTINATIONS, WEBHOOK),
    ),
    Guard(
        "templates: the texts of an action have a limit together",
        "D8",
        (
            Edit(
                "src/goald/workers/rendering.py",
                "        if self._remaining < 0:\n",
                "        if False:\n",
            ),
        ),
        (RENDERING,),
    ),
    Guard(
        "webhooks: a receiver can verify each signature with any key until it is removed",
        "X2",
        (Edit(_WEBHOOK, "for each in secrets)", "for each in secrets[:1])"),),
        (WEBHOOK,),
    ),
    Guard(
        "webhooks: none is sent without a signature",
        "X5",
        (Edit(_WEBHOOK, "        if not secrets:\n", "        if secrets is None:\n"),),
        (WEBHOOK,),
    ),
    Guard(
        "destinations: a server that listens at all addresses is refused at those of this machine",
        "SSRF",
        (
            Edit(
                "src/goald/adapters/own_servers.py",
                "    if not found or any(each.is_unspecified for each in found):\n",
                "    if False:\n",
            ),
        ),
        ("tests/unit/adapters/test_own_servers.py",),
    ),
    Guard(
        "messages: only this user can read them",
        "X15",
        (
            Edit(
                "src/goald/adapters/providers/message_files.py",
                "each.mkdir(mode=0o700, parents=True, exist_ok=True)",
                "each.mkdir(parents=True, exist_ok=True)",
            ),
        ),
        ("tests/unit/adapters/test_message_files.py",),
    ),
    Guard(
        "messages: a full disk is no unknown outcome",
        "X5",
        (
            Edit(
                "src/goald/adapters/providers/message_files.py",
                "        except OSError as error:\n            reason = error.strerror or "
                "type(error).__name__\n            text",
                "        except ZeroDivisionError as error:\n            reason = "
                "type(error).__name__\n            text",
            ),
        ),
        ("tests/unit/adapters/test_message_files.py",),
    ),
    Guard(
        "workers: a process that replaces an ended one takes its jobs over at its start",
        "X4",
        (
            Edit(
                "src/goald/workers/worker.py",
                "        while True:\n            for action in self._providers:\n",
                "        while True:\n            await self._clock.sleep(15)\n"
                "            for action in self._providers:\n",
            ),
        ),
        ("tests/unit/workers/test_metrics.py",),
    ),
    Guard(
        "workers: the templates of many jobs do not stop the event loop",
        "D8",
        (
            Edit(
                "src/goald/workers/worker.py",
                "                if started % _STARTS == 0:\n",
                "                if started < 0:\n",
            ),
        ),
        (WORKER,),
    ),
    Guard(
        "workers: a process that has ended is replaced",
        "X4",
        (
            Edit(
                "src/goald/runtime/daemon/workers/supervisor.py",
                "            if reason is None:\n                continue\n",
                "            if reason is None or reason:\n                return\n",
            ),
        ),
        ("tests/integration/daemon/test_api_process.py",),
    ),
    Guard(
        "workers: the API of the instance is refused to webhooks",
        "SSRF",
        (
            Edit(
                "src/goald/runtime/daemon/daemon.py",
                "own_urls(self._settings, urls.api, urls.metrics)",
                "own_urls(self._settings)",
            ),
        ),
        ("tests/integration/daemon/test_api_process.py",),
    ),
)
