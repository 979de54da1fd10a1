"""`goald worker`: a worker alone."""

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Final

import uvloop

from goald.domain.actions.gates import ActionType
from goald.domain.connection_failure import explained
from goald.domain.errors import SettingsError
from goald.domain.suggestions import nearest
from goald.runtime.daemon.signals import STOP_SIGNALS
from goald.runtime.embedded.secret import with_key_of_data_dir
from goald.runtime.garbage_collection import collect_garbage_rarely
from goald.runtime.instance import find
from goald.runtime.open_files import raise_limit
from goald.runtime.processes.worker import WorkerProcess
from goald.runtime.wiring.daemon import check_redis
from goald.runtime.wiring.workers import (
    ACTIONS,
    WorkerPlan,
    addresses_in,
    create_message_directories,
    free_index,
    own_urls,
    worker_process,
)
from goald.settings import Settings

DRAIN_SECONDS: Final = 20.0
"""How long a stop waits for calls in flight."""
GC_THRESHOLD: Final = 50_000


def serve_worker(
    settings: Settings,
    only: Sequence[str],
    excluded: Sequence[str],
    *,
    ready: Callable[[int, Sequence[str], str], None],
) -> int:
    """Perform jobs until SIGTERM or SIGINT, then finish those in progress and return 0, within
    25 s; a second signal ends the process immediately. `only`: the actions to perform, all if it is
    empty, without those in `excluded`. Calls `ready` with the worker's index, its actions and the
    URL of Redis when it begins.

    Blocks, on the main thread. Raises GoaldError if it cannot start: SettingsError if an action is
    unknown or a setting is missing, ServiceUnavailable if Redis cannot be reached, StartError if
    the data directory cannot be used.
    """
    actions = _chosen(only, excluded)
    redis_url, others = settings.redis_url, []
    if redis_url is None:
        instance = find(settings)
        redis_url = instance.redis_url
        others = [instance.postgres_dsn]
        settings = with_key_of_data_dir(settings)
    with explained("Redis", redis_url, "GOALD_REDIS_URL"):
        check_redis(redis_url)
        others += asyncio.run(addresses_in(redis_url))
    create_message_directories(settings, actions)
    return uvloop.run(_run(settings, actions, redis_url, others, ready))


async def _run(
    settings: Settings,
    actions: Sequence[ActionType],
    redis_url: str,
    others: Sequence[str],
    ready: Callable[[int, Sequence[str], str], None],
) -> int:
    index = await free_index(redis_url)
    urls = own_urls(settings, redis_url, *others)
    worker = worker_process(settings, WorkerPlan(index, redis_url, urls, DRAIN_SECONDS, actions))
    _stop_on_signals(worker)
    collect_garbage_rarely(GC_THRESHOLD)
    raise_limit()  # a call takes a connection
    ready(index, actions, redis_url)
    await worker.run()
    return 0


def _stop_on_signals(worker: WorkerProcess) -> None:
    loop = asyncio.get_running_loop()
    is_stopping = False

    def on_signal(number: int) -> None:
        nonlocal is_stopping
        if is_stopping:
            os._exit(128 + number)
        is_stopping = True
        worker.stop()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal, number)


def _chosen(only: Sequence[str], excluded: Sequence[str]) -> tuple[ActionType, ...]:
    for name in (*only, *excluded):
        if name not in ACTIONS:
            near = nearest(name, ACTIONS)
            advice = f"Did you mean {near}?" if near else f"It performs {', '.join(ACTIONS)}."
            raise SettingsError(
                f"`goald worker` does not perform {name!r}. {advice} Custom actions need a worker "
                "of your own: see goald.client.ActionWorker."
            )
    chosen = tuple(each for each in ACTIONS if (not only or each in only) and each not in excluded)
    if not chosen:
        raise SettingsError("--only and --except leave no action to perform.")
    return chosen
