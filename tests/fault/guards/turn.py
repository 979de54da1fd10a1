"""The guards of the turns and shares of tenants: in a shard and in Redis."""

from tests.fault.guards.guard import Edit, Guard

MACHINE = "tests/property/test_crash_machine.py"
TURNS = "tests/unit/pipeline/test_turns.py"
DISPATCH = "tests/unit/pipeline/test_dispatch.py"
DEFERRED_POISON = "tests/unit/runtime/test_deferred_poison.py"
_TURNS = "src/goald/pipeline/shard/turns.py"
_DISPATCH = "src/goald/pipeline/ingest/dispatch.py"
_ACTORS = "src/goald/runtime/actors/ray_actors.py"

TURN_GUARDS = (
    Guard(
        "turns: a tenant's new events wait behind its deferred events",
        "D1, D8",
        (
            Edit(
                _TURNS,
                "            frozenset(self._deferred),\n",
                "",
            ),
        ),
        (MACHINE, TURNS),
    ),
    Guard(
        "turns: events that are deferred again go before those deferred later",
        "D1, D8",
        (Edit(_TURNS, ".appendleft(each)", ".append(each)"),),
        (MACHINE, TURNS),
    ),
    Guard(
        "turns: a batch is processed when its deferred events are",
        "D2",
        (
            Edit(
                "src/goald/pipeline/shard/group.py",
                "            completion.add_piece()\n",
                "",
            ),
        ),
        (MACHINE, TURNS),
    ),
    Guard(
        "turns: the turns of deferred events are short while other tenants send events",
        "D8",
        (Edit(_TURNS, "is_short = self._groups_alone < GROUPS_ALONE", "is_short = False"),),
        (TURNS,),
    ),
    Guard(
        "turns: a call does not wait for deferred events",
        "D8",
        (
            Edit(
                "src/goald/pipeline/shard/admission.py",
                "grouped if batch.may_be_deferred else future",
                "future",
            ),
        ),
        (TURNS,),
    ),
    Guard(
        "throttling: a tenant whose deferred events fill a stream is throttled",
        "D8",
        (
            Edit(
                "src/goald/pipeline/shard/throttle.py",
                "if size > self._max_bytes",
                "if size > 1 << 40",
            ),
        ),
        (TURNS,),
    ),
    Guard(
        "turns: a group that is bisected keeps the order of a tenant",
        "D1, D4",
        (
            Edit(
                "src/goald/pipeline/shard/progress.py",
                "        if not self._deferred or not group.completions:\n",
                "        if group.tenants or self._deferred is not None:\n",
            ),
        ),
        (MACHINE, TURNS),
    ),
    Guard(
        "turns: deferred events of several tenants share a group",
        "D8",
        (
            Edit(
                _TURNS,
                "            if taken and len(waiting[0].batch.buffer) > size:\n",
                "            if taken:\n",
            ),
        ),
        (TURNS,),
    ),
    Guard(
        "turns: the tenant that used the work of a group is last in the next",
        "D8",
        (
            Edit(
                _TURNS, "            self._deferred.move_to_end(tenants[0])\n", "            pass\n"
            ),
        ),
        (TURNS,),
    ),
    Guard(
        "turns: a later holder of a stream replaces the events of earlier ones",
        "D6",
        (Edit(_TURNS, "            self._remove_superseded()\n", "            pass\n"),),
        (TURNS,),
    ),
    Guard(
        "turns: deferred events of an earlier holder are not kept again",
        "D6",
        (Edit(_TURNS, "current = self._current(events)", "current = list(events)"),),
        (TURNS,),
    ),
    Guard(
        "turns: a call of an earlier holder does not report its events as processed",
        "D2",
        (
            Edit(
                "src/goald/pipeline/shard/admission.py",
                "if any(future.cancelled() for future in processed):",
                "if not processed:",
            ),
        ),
        (TURNS,),
    ),
    Guard(
        "turns: a repeated batch does not wait for its deferred events",
        "D8",
        (
            Edit(
                "src/goald/pipeline/shard/admission.py",
                "grouped = self._grouped.get(future, future)",
                "grouped = self._grouped[future] if is_next else future",
            ),
        ),
        (TURNS,),
    ),
    Guard(
        "dispatch: a failed call is repeated while events are deferred",
        "D8",
        (Edit(_DISPATCH, "if not call.awaits_deferred or any(map(_died, failed))\n", ""),),
        (DISPATCH,),
    ),
    Guard(
        "dispatch: batches whose events are deferred are not sent again in another call",
        "D1",
        (Edit(_DISPATCH, "list(chain(*sent, *self._deferred.values()))", "()"),),
        (DISPATCH,),
    ),
    Guard(
        "poison: a shard that ended between two calls has died of its deferred events",
        "D4",
        (
            Edit(
                _ACTORS,
                "            raise self._end()\n        running_call",
                '            raise ServiceUnavailable("the shard has ended")\n        running_call',
            ),
        ),
        (DEFERRED_POISON,),
    ),
    Guard(
        "poison: a call to a shard that has ended is no attempt",
        "D4",
        (Edit(_ACTORS, "except (RayActorError, ShardDied) as", "except RayActorError as"),),
        (DEFERRED_POISON,),
    ),
    Guard(
        "client: the processed exits that a group remembers are limited for each tenant",
        "D8",
        (
            Edit(
                "src/goald/client/consumer_group.py",
                "redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[3])\n",
                "",
            ),
        ),
        ("tests/integration/client/test_exit_reader.py",),
    ),
    Guard(
        "client: two groups do not share the marks of processed exits",
        "D1",
        (Edit("src/goald/client/consumer_group.py", "{quote(tenant, safe='')}", "{tenant}"),),
        ("tests/integration/client/test_exit_reader.py",),
    ),
)
