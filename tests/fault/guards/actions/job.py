"""The guards that bound one job: its rendering, its deliveries, its places and its call."""

from tests.fault.guards.guard import Edit, Guard

BACKLOG = "tests/unit/workers/test_backlog.py"
CONTRACT = "tests/contract/actions/test_deliveries.py"
EMAIL = "tests/unit/workers/test_email_files.py"
FAULTS = "tests/unit/workers/test_worker_faults.py"
PAYLOADS = "tests/unit/workers/test_payloads.py"
PAYLOAD_CONTRACT = "tests/contract/actions/test_payloads.py"
RENDERING = "tests/unit/workers/test_rendering.py"
WEBHOOK = "tests/unit/workers/test_webhook.py"
_LIMITS = "src/goald/domain/definitions/readers/limits.py"
_PERFORMING = "src/goald/workers/performing.py"
_WORKER = "src/goald/workers/worker.py"
_BACKLOG = "src/goald/workers/backlog.py"
_JOB = "src/goald/domain/actions/job.py"

JOB_GUARDS = (
    Guard(
        "templates: a result that would be too large is not built",
        "D8",
        (
            Edit(
                _LIMITS,
                "(predict and predict(value, *arguments) > MAX_VALUE_SIZE)",
                "False",
            ),
        ),
        (RENDERING,),
    ),
    Guard(
        "templates: a value of a filter has a limit",
        "D8",
        (
            Edit(_LIMITS, "        if size > MAX_VALUE_SIZE:\n", "        if False:\n"),
            Edit(_LIMITS, "    if size > MAX_VALUE_SIZE or (", "    if ("),
        ),
        (RENDERING,),
    ),
    Guard(
        "templates: variables have a limit together",
        "D8",
        (Edit(_LIMITS, "if sum(self._sizes.values()) > MAX_VALUE_SIZE:", "if False:"),),
        (RENDERING,),
    ),
    Guard(
        "templates: a loop that would read far ahead is refused before",
        "D8",
        (
            Edit(
                _LIMITS,
                "if index is not None and index > MAX_LOOP_POSITION:",
                "if False:",
            ),
        ),
        (RENDERING,),
    ),
    Guard(
        "templates: rendering has a limit of processor time",
        "D8",
        (Edit(_LIMITS, "if self._clock() > self._end:", "if False:"),),
        (RENDERING,),
    ),
    Guard(
        "rendering: the error of a filter is a failed rendering, without its message",
        "X2, X15",
        (
            Edit(
                "src/goald/workers/rendering.py",
                "        except Exception as error:\n            # The message",
                "        except RecursionError as error:\n            # The message",
            ),
        ),
        (RENDERING,),
    ),
    Guard(
        "jobs: a job that was delivered too often is not performed",
        "X4",
        (
            Edit(
                _WORKER,
                "received.deliveries > self._settings.max_deliveries",
                "False",
            ),
        ),
        (FAULTS,),
    ),
    Guard(
        "jobs: a job that may end its worker is taken over alone",
        "X4",
        (Edit(_WORKER, "each.deliveries >= _SUSPECT_DELIVERIES", "False"),),
        (FAULTS,),
    ),
    Guard(
        "jobs: a job that waits in a worker is renewed",
        "X4",
        (
            Edit(
                _WORKER,
                "await self._queue.renew(action, [entry_id for _, entry_id in entries])",
                "pass",
            ),
        ),
        (FAULTS,),
    ),
    Guard(
        "jobs: a renewal does not count as a delivery",
        "X4",
        (Edit("src/goald/redis_jobs/queue.py", ', *batch, "JUSTID")', ", *batch)"),),
        (CONTRACT,),
    ),
    Guard(
        "jobs: a cancellation by a provider is an outcome",
        "X2",
        (
            Edit(
                _PERFORMING,
                "if task is not None and task.cancelling():",
                "if task is not None:",
            ),
        ),
        (FAULTS,),
    ),
    Guard(
        "jobs: a result that is refused fails no other one",
        "X2",
        (
            Edit(
                "src/goald/workers/batcher.py",
                "if len(batch) == 1 or isinstance(error, ServiceUnavailable):",
                "if True:",
            ),
        ),
        (FAULTS,),
    ),
    Guard(
        "jobs: the gate of an unreadable job is closed",
        "X2",
        (
            Edit(
                "src/goald/redis_jobs/worker_scripts.py",
                "    ended[1] = ARGV[2]\n    mark(2, 1)\n",
                "",
            ),
        ),
        (CONTRACT,),
    ),
    Guard(
        "jobs: a rate limit has a least delay",
        "X5",
        (
            Edit(
                "src/goald/domain/actions/outcomes.py",
                "max(delay_s, min(2.0**doublings, _MAX_LEAST_DELAY_S))",
                "delay_s",
            ),
        ),
        (FAULTS,),
    ),
    Guard(
        "webhooks: the age of the gate is checked when the request is written",
        "X2",
        (
            Edit(
                "src/goald/adapters/providers/http/connections.py",
                "        protocol.transport.before_write = enter.check\n",
                "",
            ),
        ),
        (WEBHOOK,),
    ),
    Guard(
        "e-mail files: the age of the gate is checked before the file appears",
        "X2",
        (
            Edit(
                "src/goald/adapters/providers/message_files.py",
                "        check()\n",
                "",
            ),
        ),
        (EMAIL,),
    ),
    Guard(
        "places: a job that waits for the rate of its receiver has no place",
        "X16",
        (Edit(_BACKLOG, "            if until > now:\n", "            if False:\n"),),
        (BACKLOG,),
    ),
    Guard(
        "templates: now is the time of rendering",
        "X3",
        (Edit(_LIMITS, 'value = self._now if value in ("now", "today") else value', "pass"),),
        (RENDERING,),
    ),
    Guard(
        "payloads: a further attempt sends the payload of the first",
        "X3",
        (
            Edit(
                _PERFORMING,
                "if found is None else found",
                "if True else found",
            ),
        ),
        (PAYLOADS,),
    ),
    Guard(
        "payloads: the first payload is not replaced",
        "X3",
        (
            Edit(
                "src/goald/redis_jobs/worker_scripts.py",
                "redis.call('HSETNX', payloads,",
                "redis.call('HSET', payloads,",
            ),
        ),
        (PAYLOAD_CONTRACT,),
    ),
    Guard(
        "payloads: a payload is erased when its step is done",
        "X3",
        (
            Edit(
                "src/goald/workers/payloads.py",
                'return self._changed(job, b"") if is_kept else None',
                "return None",
            ),
        ),
        (PAYLOADS,),
    ),
    Guard(
        "places: one receiver leaves half of the places free",
        "D8, X16",
        (
            Edit(
                _BACKLOG,
                "            if self._running.get(receiver, 0) >= most:\n",
                "            if False:\n",
            ),
        ),
        (BACKLOG,),
    ),
    Guard(
        "places: one tenant leaves a third of the places free",
        "D8, X16",
        (
            Edit(
                _BACKLOG,
                "            if self._running.get(tenant, 0) >= 2 * free:\n",
                "            if False:\n",
            ),
        ),
        (BACKLOG,),
    ),
)
