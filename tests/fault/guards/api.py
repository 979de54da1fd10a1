"""The guards of the API: its processes, admission and authentication."""

from tests.fault.guards.guard import Edit, Guard

API_PROCESS = "tests/integration/daemon/test_api_process.py"
_API_SUPERVISOR = "src/goald/runtime/daemon/api/supervisor.py"
_API_LIVENESS = "src/goald/runtime/daemon/children/liveness.py"
_API_SPARE = "src/goald/runtime/daemon/api/spare.py"
SUPERVISOR = "tests/unit/runtime/test_api_supervisor.py"
_API_INSTANCE = "src/goald/runtime/daemon/api/instance.py"
_ACCESS = "src/goald/api/auth/access.py"
_REJECTIONS = "src/goald/api/rejections.py"
_SIGNED = "src/goald/api/signed_bodies.py"
_STREAM = "src/goald/api/body_stream.py"
_MEMORY = "src/goald/api/body_memory.py"
REJECTIONS = "tests/unit/api/test_rejections.py"
MEMORY = "tests/unit/api/test_body_memory.py"
SIGNED_BODIES = "tests/integration/api/auth/test_signed_bodies.py"
BODIES = "tests/integration/api/auth/test_body_limits.py"
_PLACES = "src/goald/api/admission/places.py"
EXPLAIN_BOUNDS = "tests/integration/api/records/test_explain_bounds.py"
LIST_PLACES = "tests/integration/api/records/test_list_places.py"
WEBHOOKS = "tests/integration/api/auth/test_webhooks.py"
PERMISSIONS = "tests/integration/api/auth/test_webhook_permissions.py"
FAIRNESS = "tests/integration/api/auth/test_fairness.py"
_WEBHOOK_SECRETS = "src/goald/adapters/postgres/webhook_secrets.py"
_PUBLISHING = "src/goald/api/publishing.py"

API_GUARDS = (
    Guard(
        "start: a compiled matcher of another version is refused",
        "D11",
        (
            Edit(
                "src/goald/pipeline/native_build.py",
                'if getattr(_native, "INTERFACE", None) != expected:',
                "if False:",
            ),
        ),
        ("tests/integration/cli/test_native_build.py",),
    ),
    Guard(
        "API: a process that hangs is replaced",
        "D12",
        (
            Edit(
                _API_LIVENESS,
                "        if (silent := self.silent_for(now)) >= self._silence:\n",
                "        if (silent := self.silent_for(now)) >= self._silence * 1e6:\n",
            ),
        ),
        (API_PROCESS, SUPERVISOR),
    ),
    Guard(
        "API: a process that has ended is replaced",
        "D12",
        (
            Edit(
                _API_SUPERVISOR,
                '            self._console.problem(f"Restarting',
                "            await asyncio.Event().wait()\n"
                '            self._console.problem(f"Restarting',
            ),
        ),
        (API_PROCESS,),
    ),
    Guard(
        "API: a spare process is used only if it is alive",
        "D12",
        (
            Edit(
                _API_SPARE,
                " and self._liveness.silent_for(now) < FRESH_SECONDS",
                "",
            ),
            Edit(_API_SUPERVISOR, "TAKEOVER_SECONDS: Final = 3.0", "TAKEOVER_SECONDS = 120.0"),
        ),
        (API_PROCESS, SUPERVISOR),
    ),
    Guard(
        "API: a spare process that still prepares is used",
        "D12",
        (
            Edit(
                _API_SPARE,
                "if not self.has_ended() and",
                "if not self.has_ended() and self._liveness._is_prepared and",
            ),
        ),
        (API_PROCESS, SUPERVISOR),
    ),
    Guard(
        "API: a process that does not finish its preparation is replaced",
        "D12",
        (
            Edit(
                _API_LIVENESS,
                "        if not self._is_prepared and now - self._started_at >= self._preparation:",
                "        if now < self._started_at:",
            ),
        ),
        (SUPERVISOR,),
    ),
    Guard(
        "API: a spare process that hangs is replaced",
        "D12",
        (Edit(_API_SUPERVISOR, "not self._spare.hangs(now)", "now < 1e9"),),
        (SUPERVISOR,),
    ),
    Guard(
        "API: its processes end with the driver",
        "D12",
        (
            Edit(
                "src/goald/runtime/embedded/launch.py",
                "libc.prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0) != 0",
                "False",
            ),
            Edit(
                _API_INSTANCE,
                "        if not line:\n            os._exit(1)",
                "        if not line:\n            await asyncio.Event().wait()",
            ),
            Edit(
                _API_INSTANCE,
                "                await heartbeat.send()\n        os._exit(1)",
                "                await heartbeat.send()\n        await asyncio.Event().wait()",
            ),
        ),
        (API_PROCESS,),
    ),
    Guard(
        "API: the time of a signed request is checked",
        "D8",
        (
            Edit(
                _ACCESS,
                "        if not is_within_window(timestamp, now_s, window_s):\n",
                "        if now_s < 0:\n",
            ),
        ),
        (WEBHOOKS,),
    ),
    Guard(
        "API: further rejections of an address are delayed",
        "D8",
        (Edit(_REJECTIONS, "            await self._delay(disconnected)\n", "            pass\n"),),
        (REJECTIONS, SIGNED_BODIES),
    ),
    Guard(
        "API: many connections do not increase the rate of rejections",
        "D8",
        (Edit(_REJECTIONS, " * (1 + (self._delayed - 1) / DELAYED_PER_SECOND)", ""),),
        (REJECTIONS,),
    ),
    Guard(
        "API: a delay ends with its connection",
        "D8",
        (Edit(_REJECTIONS, "await disconnected()", "await asyncio.Event().wait()"),),
        (REJECTIONS, SIGNED_BODIES),
    ),
    Guard(
        "API: an overload is not a rejection of the caller",
        "D8",
        (Edit(_ACCESS, "BadRequest, TooLarge):", "BadRequest, TooLarge, Unavailable):"),),
        (SIGNED_BODIES,),
    ),
    Guard(
        "API: parts of a rejected body are not kept during the delay",
        "D8",
        (Edit(_SIGNED, "        parts.clear()  # the", "        pass  # the"),),
        (SIGNED_BODIES,),
    ),
    Guard(
        "API: a signed body without memory is not kept",
        "D8",
        (Edit(_SIGNED, "keep and reservation.try_grow(size)", "keep"),),
        (SIGNED_BODIES,),
    ),
    Guard(
        "API: the body of an unknown webhook takes no memory",
        "D8",
        (Edit(_ACCESS, "keep=found is not None", "keep=True"),),
        (SIGNED_BODIES,),
    ),
    Guard(
        "API: a wrong signature without memory for its body gets 401",
        "D8",
        (
            Edit(
                _ACCESS,
                '        if not check.matches(headers["webhook-signature"]) or found is None:\n'
                "            return None\n",
                "        if body is not None and (\n"
                '            not check.matches(headers["webhook-signature"]) or found is None\n'
                "        ):\n"
                "            return None\n"
                "        assert found is not None\n",
            ),
        ),
        (SIGNED_BODIES,),
    ),
    Guard(
        "API: bodies of a tenant with a token take a share of the memory",
        "D8",
        (Edit(_STREAM, "    await reservation.grow(declared or 0)\n", ""),),
        (BODIES,),
    ),
    Guard(
        "API: a body without Content-Length takes a share of the memory",
        "D8",
        (
            Edit(
                _STREAM,
                "                await reservation.grow(MAX_BYTES)\n",
                "                pass\n",
            ),
        ),
        (BODIES,),
    ),
    Guard(
        "API: small bodies take no memory from others",
        "D8",
        (Edit(_MEMORY, "FREE_BYTES: Final = 16 << 10", "FREE_BYTES: Final = 0"),),
        (SIGNED_BODIES, BODIES),
    ),
    Guard(
        "API: the memory of a body is released",
        "D8",
        (
            Edit(
                "src/goald/api/http/routing.py",
                "                release(strict_request)\n",
                "                pass\n",
            ),
        ),
        (BODIES,),
    ),
    Guard(
        "API: a tenant has a share of the memory for bodies",
        "D8",
        (Edit(_MEMORY, "self._limits.per_tenant),\n", "self._limits.total),\n"),),
        (MEMORY, BODIES),
    ),
    Guard(
        "API: requests that wait for memory are limited",
        "D8",
        (Edit(_MEMORY, "if self._is_queue_full(owner):", "if False:"),),
        (MEMORY,),
    ),
    Guard(
        "API: a tenant explains one event at a time",
        "D8",
        (Edit(_PLACES, "await _acquire(own, limits.wait_s, self._refused())", "pass"),),
        ("tests/unit/api/test_places.py",),
    ),
    Guard(
        "API: the requests of a tenant that wait for a place are limited",
        "D8",
        (
            Edit(
                _PLACES,
                "if self._requests[tenant] >= limits.per_tenant + limits.waiting:",
                "if False:",
            ),
        ),
        ("tests/unit/api/test_places.py",),
    ),
    Guard(
        "API: an explanation counts as requests by its size",
        "D8",
        (
            Edit(
                "src/goald/api/routes/events.py",
                "await deps.access.quotas.work(caller.tenant_id, explanation_requests(found) - 1)",
                "explanation_requests(found)",
            ),
        ),
        (EXPLAIN_BOUNDS,),
    ),
    Guard(
        "API: an explanation has a limited number of enrollments",
        "D8",
        (
            Edit(
                "src/goald/runtime/wiring/api.py",
                "EXPLAINED_ACTIVE = 100\n",
                "EXPLAINED_ACTIVE = 10_000\n",
            ),
        ),
        (EXPLAIN_BOUNDS,),
    ),
    Guard(
        "API: lists of the audit log wait for a place of their tenant",
        "D8",
        (
            Edit(
                "src/goald/api/routes/audit.py",
                "    async with deps.readers.places.taken_by(tenant):\n",
                "    if tenant:\n",
            ),
        ),
        (LIST_PLACES,),
    ),
    Guard(
        "API: lists of webhooks wait for a place of their tenant",
        "D8",
        (
            Edit(
                "src/goald/api/routes/webhooks.py",
                "    async with deps.readers.places.taken_by(caller.tenant_id):\n",
                "    if caller:\n",
            ),
        ),
        (LIST_PLACES,),
    ),
    Guard(
        "API: the webhooks of a tenant are limited",
        "D8",
        (Edit(_WEBHOOK_SECRETS, "existing >= MAX_WEBHOOKS", "existing >= 1e9"),),
        (PERMISSIONS,),
    ),
    Guard(
        "API: the types and sources of a webhook are limited in size",
        "D8",
        (
            Edit(
                "src/goald/api/models/webhooks.py",
                "if self.grant.size > MAX_GRANT_BYTES:",
                "if self.grant.size > 1e9:",
            ),
        ),
        (PERMISSIONS,),
    ),
    Guard(
        "API: events behind many others of their tenant get 429",
        "D8",
        (
            Edit(
                _PUBLISHING,
                "if not is_reserved and share.sent > sent_before:",
                "if not is_reserved and share.sent < 0:",
            ),
        ),
        (FAIRNESS,),
    ),
    Guard(
        "API: events that wait while Redis fails get 503",
        "D6",
        (
            Edit(
                _PUBLISHING,
                "if not is_reserved and share.sent > sent_before:",
                "if not is_reserved:",
            ),
        ),
        (FAIRNESS,),
    ),
)
