"""The guards of gates, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

MACHINE = "tests/property/test_gates.py"
GATES = tuple(
    f"tests/contract/actions/test_{name}.py" for name in ("gates", "holders", "takeovers")
)
ON_REDIS = "tests/integration/redis/test_gates_on_redis.py"
_SCRIPTS = "src/goald/redis_jobs/gate_scripts.py"
_HOLDER = "src/goald/adapters/redis/actions/holder_scripts.py"
_WORKER = "src/goald/redis_jobs/worker_scripts.py"
_MEMORY_GATES = "src/goald/adapters/memory/actions/gates.py"
_MEMORY_JOBS = "src/goald/adapters/memory/actions/jobs.py"

GATE_GUARDS = (
    Guard(
        "gates: closing an unknown gate stores that it is closed",
        "X2",
        (
            Edit(_HOLDER, "      mark(at, state == 2 and 2 or 1)\n", ""),
            Edit(
                _MEMORY_GATES,
                "        elif before.status is GateStatus.UNKNOWN:\n"
                "            actions.end(gate, GateStatus.CLOSED)\n",
                "",
            ),
        ),
        (*GATES, MACHINE),
    ),
    Guard(
        "gates: registering creates a gate only if there is none",
        "X2",
        (
            Edit(_HOLDER, "{'OVERFLOW', 'FAIL'}, {}", "{'OVERFLOW', 'WRAP'}, {}"),
            Edit(
                _MEMORY_GATES,
                "if actions.state(job.gate).status is not GateStatus.UNKNOWN:",
                "if actions.state(job.gate).status is GateStatus.OPEN:",
            ),
        ),
        (*GATES, MACHINE),
    ),
    Guard(
        "gates: an earlier holder may not register or close",
        "X2, D3",
        (
            Edit(
                _HOLDER,
                "  if found == string.rep(own .. run, count) then return nil end\n",
                "  if found ~= '' then return nil end\n",
            ),
            Edit(
                _MEMORY_GATES,
                "        if not self._holds(lease) or any(",
                "        if any(",
            ),
        ),
        GATES,
    ),
    Guard(
        "gates: a gate passes once",
        "X2",
        (
            Edit(
                _WORKER,
                "      if is_due(value, ARGV[at + 6]) and string.sub(value, 28, 43) ~= "
                "ARGV[at + 5] then\n",
                "      if true then\n",
            ),
            Edit(
                _MEMORY_JOBS,
                "    if after is None or gate.token == request.token or passed_ms < after:\n"
                "        return Passed.REFUSED_PASSED\n",
                "",
            ),
        ),
        (*GATES, MACHINE),
    ),
    Guard(
        "gates: a gate that was taken over is not opened again",
        "X3, X4",
        (
            Edit(
                _WORKER, "        and string.sub(value, 2, 14) ~= TAKEN_OVER then\n", "      then\n"
            ),
            Edit(
                _MEMORY_JOBS,
                "            elif live.is_taken_over:\n"
                "                continue  # the worker before may have called the provider\n",
                "",
            ),
        ),
        GATES,
    ),
    Guard(
        "gates: a gate that is returned after it was closed stays closed",
        "X2",
        (
            Edit(_WORKER, "if string.byte(value) == 112 then  -- passed", "if true then"),
            Edit(
                _MEMORY_JOBS,
                "            elif live.token == token and live.is_closing:\n"
                "                self._actions.end(gate, GateStatus.CLOSED)\n",
                "",
            ),
        ),
        (*GATES, MACHINE),
    ),
    Guard(
        "gates: no worker calls the provider again after the gate was closed",
        "X2, X4",
        (
            Edit(_WORKER, "string.byte(value) == 112 and 't' or 'd', true", "'t', true"),
            Edit(
                _MEMORY_JOBS,
                "return Passed.TAKEN_OVER_CLOSED if gate.is_closing else Passed.TAKEN_OVER",
                "return Passed.TAKEN_OVER",
            ),
        ),
        (*GATES, MACHINE),
    ),
    Guard(
        "gates: a request that arrives after its token was returned does not pass",
        "X2",
        (
            Edit(
                _WORKER,
                "      elseif string.sub(value, 28, 43) == ARGV[at + 5] then\n"
                "        answers[i] = 'c'\n",
                "",
            ),
            Edit(
                _MEMORY_JOBS,
                "Passed.REFUSED_CLOSED if gate.token == request.token else Passed.PASSED",
                "Passed.PASSED",
            ),
        ),
        GATES,
    ),
    Guard(
        "gates: no gate passes before the holder has compared its jobs",
        "X2, D10",
        (
            Edit(
                _WORKER,
                "    if string.sub(records, slot * 35 + 20, slot * 35 + 35) ~= run then\n",
                "    if records == '' then\n",
            ),
            Edit(
                _MEMORY_JOBS,
                "if shared.admitted.get(request.slot) != shared.streams.run_id:",
                "if request.slot not in shared.holders:",
            ),
        ),
        GATES,
    ),
    Guard(
        "gates: a gate of another run of Redis never passes",
        "X2, D10",
        (
            Edit(
                _WORKER,
                "        and string.sub(ARGV[at], 1, 10) <= string.sub(floor, 1, 10) then\n",
                "        and floor == '' then\n",
            ),
            Edit(
                _MEMORY_JOBS,
                "        if is_before(request.gate, shared.floors[request.slot]):\n"
                "            return self._end_lost(request, gate, now)\n",
                "",
            ),
        ),
        (*GATES, MACHINE),
    ),
    Guard(
        "gates: a result needs the token of the call",
        "X13",
        (
            Edit(
                _WORKER,
                "    elseif token == (string.byte(value) == 111 and '' or "
                "string.sub(value, 28, 43)) then\n",
                "    elseif token ~= '' or string.byte(value) == 111 then\n",
            ),
            Edit(
                _MEMORY_JOBS,
                "            if token != result.token:\n                return Finished.REFUSED\n",
                "",
            ),
        ),
        GATES,
    ),
    Guard(
        "gates: a job is granted again only if its earlier attempt is closed",
        "X2",
        (
            Edit(
                _HOLDER,
                "do live[at - 7] = state > 1 end",
                "do live[at - 7] = false end",
            ),
            Edit(
                _MEMORY_GATES,
                "            return Registration.REPLACED_IS_LIVE\n",
                "            pass\n",
            ),
        ),
        GATES,
    ),
    Guard(
        "gates: a gate of an inactive workflow does not pass",
        "X11",
        (
            Edit(_WORKER, "      if inactive[i] == 1 then\n", "      if false then\n"),
            Edit(
                _MEMORY_JOBS,
                "            return Passed.REFUSED_INACTIVE\n",
                "            pass\n",
            ),
        ),
        GATES,
    ),
    Guard(
        "gates: an expired gate does not pass",
        "X2",
        (
            Edit(
                _WORKER,
                "elseif expires ~= '0000000000000' and now > tonumber(expires) then",
                "elseif false then",
            ),
            Edit(
                _MEMORY_JOBS,
                "            return Passed.REFUSED_EXPIRED\n",
                "            pass\n",
            ),
        ),
        GATES,
    ),
    Guard(
        "gates: closing a gate removes its job",
        "X16",
        (
            Edit(_HOLDER, "      remove(ARGV[5] .. action, entry)\n", ""),
            Edit(
                _MEMORY_GATES,
                "            actions.remove_entry(live.stream, live.entry_id)\n",
                "",
            ),
        ),
        GATES,
    ),
    Guard(
        "gates: a server that was a replica meanwhile is another run",
        "X2, D10",
        (Edit(_SCRIPTS, "redis.sha1hex(id .. (history or ''))", "id"),),
        GATES,
    ),
    Guard(
        "gates: a gate is known by its field when its bits have expired",
        "X2",
        (
            Edit(
                _HOLDER, "    elseif fields[(at - 6) / step + 1] then\n", "    elseif false then\n"
            ),
        ),
        GATES,
    ),
    Guard(
        "gates: a job is not granted again while a gate whose bits have expired is live",
        "X2",
        (Edit(_HOLDER, "      if value then live[replaced[i] - 7] = true end\n", ""),),
        GATES,
    ),
    Guard(
        "gates: a close that is repeated writes, so that WAIT waits for it",
        "X2",
        (
            Edit(
                _HOLDER,
                "      mark(at, state == 2 and 2 or 1)\n",
                "      if state == 0 then mark(at, 1) end\n",
            ),
        ),
        (ON_REDIS,),
    ),
    Guard(
        "gates: closing a gate acknowledges its job",
        "X16",
        (Edit(_HOLDER, "  write(KEYS[2], ARGV[4], ARGV[6])\n", "  write(KEYS[2], ARGV[4])\n"),),
        (ON_REDIS,),
    ),
)
