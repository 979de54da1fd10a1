"""The guards of executions in a shard, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

_FOLDER = "src/goald/pipeline/executions"
_RECOVERY = f"{_FOLDER}/recovery.py"
_WATERMARK = f"{_FOLDER}/watermark.py"
_RELEASES = f"{_FOLDER}/release/releases.py"
_QUEUES = f"{_FOLDER}/release/queues.py"
_TESTS = "tests/unit/pipeline/executions"
RECOVERY = f"{_TESTS}/test_recovery.py"
WATERMARK = f"{_TESTS}/test_watermark.py"
RELEASE = f"{_TESTS}/test_release.py"
REFUSED = f"{_TESTS}/test_refused_transitions.py"
MERGED = f"{_TESTS}/test_merged_contacts.py"
SETTINGS = f"{_TESTS}/test_settings.py"
OVERDUE = f"{_TESTS}/test_overdue_steps.py"
WORKFLOWS = f"{_TESTS}/test_workflows.py"
MARKS = "tests/unit/pipeline/ingest/test_marks.py"
_IN_FLIGHT = f"{_FOLDER}/in_flight.py"
IN_FLIGHT = f"{_TESTS}/test_jobs_in_flight.py"

SHARD_ACTION_GUARDS = (
    Guard(
        "recovery: a gate that was never registered is closed",
        "X2",
        (
            Edit(
                _RECOVERY,
                "    states |= dict(zip(unknown, await gates.close([job.gate for job in unknown]), "
                "strict=True))\n",
                "",
            ),
        ),
        (RECOVERY,),
    ),
    Guard(
        "recovery: after Redis was replaced every job counts as passed",
        "X2, X4, D10",
        (Edit(_RECOVERY, "    if not is_continuous:\n", "    if False:\n"),),
        (RECOVERY,),
    ),
    Guard(
        "recovery: an unknown gate of an old job counts as passed",
        "X4",
        (Edit(_RECOVERY, "if job.age_ms < SURE_MS else", "if True else"),),
        (RECOVERY,),
    ),
    Guard(
        "recovery: a loss that was not committed is found by the next holder",
        "X2, X4, D10",
        (
            Edit(
                _RECOVERY,
                "    if gates.is_lost(job.gate, slot_of(job.tenant_id, job.contact_id)):\n",
                "    if job.age_ms < 0:\n",
            ),
        ),
        (RECOVERY,),
    ),
    Guard(
        "jobs: a lost call counts as in flight after its execution has left the attempt",
        "X2",
        (
            Edit(
                _IN_FLIGHT,
                "        at = self._lost.get(key)\n",
                "        at = self._lost.get(key) if key in self._inputs else None\n",
            ),
        ),
        (IN_FLIGHT,),
    ),
    Guard(
        "timers: a mark waits for the batches before it",
        "X6",
        (Edit(_WATERMARK, "            if self._is_committed(mark):\n", "            if True:\n"),),
        (WATERMARK,),
    ),
    Guard(
        "timers: every stream has a mark before a timer fires",
        "X6",
        (
            Edit(
                _WATERMARK,
                "            if stream.until_ms is None:\n                return None\n",
                "            if stream.until_ms is None:\n                continue\n",
            ),
        ),
        (WATERMARK,),
    ),
    Guard(
        "timers: an earlier holder of a stream does not count",
        "X6, D3",
        (Edit(_WATERMARK, "        return epoch == self.epoch\n", "        return True\n"),),
        (WATERMARK,),
    ),
    Guard(
        "timers: a batch counts when its deferred events are committed too",
        "X6",
        (
            Edit(
                "src/goald/pipeline/shard/admission.py",
                "self._watermark.admit(batch, future)",
                "self._watermark.admit(batch, grouped)",
            ),
        ),
        (f"{_TESTS}/test_late_timers.py",),
    ),
    Guard(
        "timers: a mark precedes no entry that was not dispatched",
        "X6",
        (
            Edit(
                "src/goald/pipeline/flow.py",
                "            routed = self._route(entries)\n            await self._dispatch",
                "            self._mark()\n            routed = self._route(entries)\n"
                "            await self._dispatch",
            ),
        ),
        (f"{_TESTS}/test_late_timers.py",),
    ),
    Guard(
        "timers: a mark is until before the last entry of a read that may not be exhausted",
        "X6",
        (
            Edit(
                "src/goald/pipeline/ingest/read.py",
                "        if len(entries) == count:\n",
                "        if False:\n",
            ),
        ),
        (MARKS,),
    ),
    Guard(
        "timers: the time of a read is that of its beginning",
        "X6",
        (
            Edit(
                "src/goald/adapters/redis/events/stream.py",
                'time, reply = await self._reader.ask(self._epoch(), ("TIME",), command)\n',
                "(reply,) = await self._reader.ask(self._epoch(), command)\n"
                '        (time,) = await self._wire.ask(("TIME",))\n',
            ),
        ),
        ("tests/contract/test_event_stream.py",),
    ),
    Guard(
        "timers: a shard whose timers are held is not ready",
        "X6",
        (
            Edit(
                f"{_FOLDER}/report.py",
                'if reason is None or not self._memory.counts(self._now_ms())["timers_held"]:',
                "if True:",
            ),
        ),
        (f"{_TESTS}/test_late_timers.py",),
    ),
    Guard(
        "timers: a shard without held timers is ready",
        "X6",
        (
            Edit(
                f"{_FOLDER}/report.py",
                ' or not self._memory.counts(self._now_ms())["timers_held"]:',
                ":",
            ),
        ),
        (f"{_TESTS}/test_late_timers.py",),
    ),
    Guard(
        "timers: none fires while the circuit breaker is open",
        "X6, D4",
        (
            Edit(
                "src/goald/pipeline/flow.py",
                "                    self._admission.breaker.check()\n"
                "                    await self._evaluate_commit_apply(self._start_progress(Group(",
                "                    await self._evaluate_commit_apply(self._start_progress(Group(",
            ),
        ),
        (f"{_TESTS}/test_late_timers.py",),
    ),
    Guard(
        "release: each queue has its turn",
        "X16, D8",
        (
            Edit(
                _QUEUES,
                "        return order[first:] + order[:first]\n",
                "        return order\n",
            ),
        ),
        (RELEASE,),
    ),
    Guard(
        "release: a step without a permit is not released",
        "X8",
        (Edit(_RELEASES, "if answer is PermitAnswer.GRANTED:", "if answer:"),),
        (RELEASE,),
    ),
    Guard(
        "release: what has a permit continues in an account without room",
        "X8",
        (Edit(_RELEASES, "                if each.has_permit:\n", "                if False:\n"),),
        (RELEASE,),
    ),
    Guard(
        "jobs: a gate that was closed for a commit is compared until the commit is applied",
        "X2",
        (
            Edit(
                _IN_FLIGHT,
                "            self._closed[job.tenant_id, job.execution_id] = job\n",
                "            pass\n",
            ),
        ),
        (IN_FLIGHT,),
    ),
    Guard(
        "jobs: the answer about an attempt that was replaced is ignored",
        "X3",
        (Edit(_IN_FLIGHT, " and self._jobs.get(key) == each.job:", ":"),),
        (IN_FLIGHT,),
    ),
    Guard(
        "shard: a permit of an execution that ends before its job is returned",
        "X8",
        (
            Edit(
                f"{_FOLDER}/shard.py",
                "if (had or is_granted) and not has:",
                "if had and not has:",
            ),
        ),
        (f"{_TESTS}/test_workflows.py",),
    ),
    Guard(
        "refused: the events of a refused group are committed without later phases first",
        "X1, D4",
        (
            Edit(
                "src/goald/pipeline/shard/progress.py",
                "if proposal.executions is not None and first_phases is not None:",
                "if first_phases is not None and not self._current.buffers:",
            ),
        ),
        (REFUSED,),
    ),
    Guard(
        "refused: an event of another contact is not dead-lettered",
        "D4",
        (
            Edit(
                "src/goald/pipeline/shard/progress.py",
                "if contacts.isdisjoint(concerned) else set()",
                "if contacts.isdisjoint(concerned) and not concerned else set()",
            ),
        ),
        (REFUSED,),
    ),
    Guard(
        "refused: an execution fails when its transition is refused",
        "D4",
        (
            Edit(
                f"{_FOLDER}/shard.py",
                "        self._refused.refuse(refused, reason)\n",
                "",
            ),
        ),
        (REFUSED,),
    ),
    Guard(
        "refused: an execution that cannot fail either is held",
        "D4",
        (
            Edit(
                f"{_FOLDER}/refused.py",
                "(self._stopped if is_repeated else self._failing).add(each)",
                "self._failing.add(each)",
            ),
        ),
        (REFUSED,),
    ),
    Guard(
        "refused: executions in a row open the circuit breaker",
        "D4",
        (
            Edit(
                "src/goald/pipeline/shard/progress.py",
                "        for tenant in tenants:\n"
                "            self._breaker.record_failure(tenant)\n",
                "",
            ),
        ),
        (REFUSED,),
    ),
    Guard(
        "merges: the jobs of a merged contact are compared by the shard of the other",
        "E21, X8",
        (
            Edit(
                "src/goald/pipeline/shard/transfers.py",
                "            await self._executions.adopt(target(transfer))\n",
                "            self._executions.mark([])\n",
            ),
        ),
        (MERGED,),
    ),
    Guard(
        "merges: the permits of executions that moved are returned",
        "E21, X8",
        (
            Edit(
                f"{_FOLDER}/shard.py",
                "            self._publisher.return_permits(self._moved.pop(0)[1])\n",
                "            self._moved.pop(0)\n",
            ),
        ),
        (MERGED,),
    ),
    Guard(
        "deletion: the payloads of a contact are erased before it is committed",
        "X3",
        (
            Edit(
                "src/goald/pipeline/shard/committer.py",
                "            await self._executions.erase(deleted)\n",
                "            del deleted\n",
            ),
        ),
        (WORKFLOWS,),
    ),
    Guard(
        "exits: goald acknowledges those of the workflows that it runs",
        "D10",
        (
            Edit(
                "src/goald/pipeline/shard/commit.py",
                "            *_own_acknowledgements(effects, prepared, now_us),\n",
                "",
            ),
        ),
        (WORKFLOWS,),
    ),
    Guard(
        "settings: a shard follows the limit of a tenant",
        "X8, E10",
        (
            Edit(
                f"{_FOLDER}/memory.py",
                "        return self.rules.concurrent_executions if limit is None else limit\n",
                "        return self.rules.concurrent_executions\n",
            ),
        ),
        (SETTINGS,),
    ),
    Guard(
        "settings: the state machine has the retries of a tenant",
        "X5, E10",
        (
            Edit(
                f"{_FOLDER}/memory.py",
                "            max_retries=settings.max_retry_attempts,\n",
                "            max_retries=3,\n",
            ),
        ),
        (SETTINGS,),
    ),
    Guard(
        "settings: contacts that are not known start nothing if consent is required",
        "X12",
        (
            Edit(
                f"{_FOLDER}/rules.py",
                '"requires_opt_in": self.requires_opt_in,',
                '"requires_opt_in": False,',
            ),
        ),
        (SETTINGS,),
    ),
    Guard(
        "activation: missed exits precede overdue steps",
        "X7, E19",
        (
            Edit(
                "src/goald/pipeline/shard/missed/events.py",
                "            await self._executions.set_waiting(frozenset(pending))\n",
                "            frozenset(pending)\n",
            ),
        ),
        (OVERDUE,),
    ),
    Guard(
        "activation: shards know how overdue steps are treated",
        "X7",
        (
            Edit(
                f"{_FOLDER}/memory.py",
                '            "overdue": overdue,\n',
                '            "overdue": "run",\n',
            ),
        ),
        (OVERDUE,),
    ),
    Guard(
        "activation: it is refused if it does not say how overdue steps are treated",
        "X7",
        (
            Edit(
                "src/goald/domain/configuration/row_rules.py",
                "    if count and overdue is None:\n",
                "    if count < 0:\n",
            ),
        ),
        ("tests/integration/api/configuration/test_missed_events.py",),
    ),
)
