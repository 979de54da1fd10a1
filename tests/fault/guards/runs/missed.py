"""The guards of the exits of what paused workflows missed, and how each one is removed."""

from tests.fault.guards.guard import Edit, Guard

PIPELINE = "tests/unit/pipeline/shard/test_missed_events.py"
REPLAYS = "tests/unit/pipeline/shard/test_replays_of_missed_events.py"
TURNS = "tests/unit/pipeline/test_turns.py"
_WATCHER = "src/goald/pipeline/shard/config_watcher.py"
_FLOW = "src/goald/pipeline/flow.py"
_MISSED = "src/goald/pipeline/shard/missed/events.py"
_REPLAY = "src/goald/pipeline/shard/missed/pages.py"

MISSED_GUARDS = (
    Guard(
        "paused: a shard exits what was missed before its first event",
        "E19",
        (
            Edit(
                _FLOW,
                "        async with self._evaluator.groups:\n"
                "            await self._missed.start()\n",
                "",
            ),
        ),
        (PIPELINE, REPLAYS),
    ),
    Guard(
        "paused: an activation exits what was missed",
        "E19",
        (Edit(_WATCHER, "            await self._missed.configured(changed)\n", ""),),
        (PIPELINE,),
    ),
    Guard(
        "paused: the tenant's later events wait while it exits what it missed",
        "E19",
        (
            Edit(
                _FLOW,
                "        group = self._admission.turns.without_suspended(group)\n",
                "",
            ),
        ),
        (REPLAYS,),
    ),
    Guard(
        "paused: a tenant is suspended as soon as its workflow is active",
        "E19",
        (Edit(_MISSED, "            self._admission.turns.suspend(key.tenant_id)\n", ""),),
        (REPLAYS,),
    ),
    Guard(
        "paused: events of a suspended tenant have no turn",
        "D8, E19",
        (
            Edit(
                "src/goald/pipeline/shard/turns.py",
                "return not self._suspended.issuperset(self._deferred)",
                "return bool(self._deferred)",
            ),
        ),
        (TURNS,),
    ),
    Guard(
        "paused: a tenant that is suspended again before its turn has none",
        "D8, E19",
        (
            Edit(
                "src/goald/pipeline/shard/turns.py",
                "        while not self._new and not self._has_deferred:",
                "        if not self._new and not self._has_deferred:",
            ),
        ),
        (TURNS,),
    ),
    Guard(
        "paused: other tenants do not wait for exits of missed events",
        "D8, E19",
        (
            Edit(
                _MISSED,
                "            page = await self._pages.read(replay) if exits else None\n",
                "            async with self._evaluator.groups:\n"
                "                page = await self._pages.read(replay) if exits else None\n",
            ),
        ),
        (REPLAYS,),
    ),
    Guard(
        "paused: a page that was read before a deactivation exits nothing",
        "E8, E19",
        (
            Edit(
                _MISSED,
                "        if not self._is_current(replay):\n            return ()\n        exits",
                "        exits",
            ),
        ),
        (REPLAYS,),
    ),
    Guard(
        "paused: a deactivation or deletion ends the exits, and the tenant waits no more",
        "E8, E19",
        (Edit(_MISSED, "            self._end(key)\n", "            pass\n"),),
        (REPLAYS,),
    ),
    Guard(
        "paused: no event is evaluated between an activation and the look for missed events",
        "E19",
        (
            Edit(
                _WATCHER,
                "        async with self._evaluator.groups:  # no event is evaluated between\n"
                "            async with self._evaluator.lock:\n"
                "                self._evaluator.configure(changed)\n"
                "            # Missed exits precede overdue steps (X7).\n"
                "            await self._missed.configured(changed)\n"
                "            if self._executions is not None:\n",
                "        async with self._evaluator.lock:\n"
                "            self._evaluator.configure(changed)\n"
                "        if True:\n"
                "            await self._missed.configured(changed)\n"
                "            if self._executions is not None:\n",
            ),
        ),
        (PIPELINE,),
    ),
    Guard(
        "paused: what a merged contact missed exits its runs after they have moved",
        "E19, E21",
        (
            Edit(
                "src/goald/pipeline/shard/transfers.py",
                "        await self._missed.moved(transfer.tenant_id)\n",
                "",
            ),
        ),
        (REPLAYS,),
    ),
    Guard(
        "paused: a missed event that Postgres refuses delays no other",
        "E19, D4",
        (
            Edit(
                _MISSED,
                "                await self._pages.dead_letter(replay, page, str(refused))\n",
                "                replay.after = None\n",
            ),
        ),
        (PIPELINE,),
    ),
    Guard(
        "paused: a missed event that Postgres refuses is found in its page",
        "E19, D4",
        (
            Edit(
                _REPLAY,
                "            if len(page.entries) == 1:\n                raise\n",
                "            raise\n",
            ),
        ),
        (PIPELINE,),
    ),
    Guard(
        "paused: many missed events that Postgres refuses open the breaker",
        "E19, D4",
        (
            Edit(
                _MISSED,
                "self._admission.breaker.record_failure(replay.workflow.tenant_id)\n",
                "pass\n",
            ),
        ),
        (REPLAYS,),
    ),
    Guard(
        "paused: the tags of a missed list are new as when it arrived",
        "E16, E19",
        (
            Edit(
                "src/goald/pipeline/shard/stored_facts.py",
                "KnownContacts(dict(group.old_tags))",
                "KnownContacts()",
            ),
        ),
        (PIPELINE,),
    ),
    Guard(
        "paused: the exits of an activation are shown until they are finished",
        "E19",
        (
            Edit(
                _MISSED,
                "            self._filled.clear()\n        self._report()\n",
                "            self._filled.clear()\n",
            ),
        ),
        (REPLAYS,),
    ),
)
