"""The adapters behind the ports of a worker, and its providers."""

import os
import socket
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import structlog
from prometheus_client import CollectorRegistry

from goald.adapters.clock import SystemClock
from goald.adapters.own_servers import own_servers
from goald.adapters.providers.contact_changes import EVENT_TYPES, ContactChanges
from goald.adapters.providers.email_files import EmailFiles
from goald.adapters.providers.http.webhook import WebhookProvider
from goald.adapters.providers.message_files import create_private
from goald.adapters.providers.noop import NoopProvider
from goald.adapters.providers.text_files import TextFiles, admin_message, text_message
from goald.adapters.redis.process_registry import RedisProcessRegistry
from goald.domain.actions.destinations import DestinationPolicy
from goald.domain.actions.gates import ActionType
from goald.metrics.workers import WorkerMetrics
from goald.ports.process_registry import Readings
from goald.redis_jobs.queue import RedisJobQueue
from goald.runtime.processes.worker import WorkerProcess
from goald.runtime.wiring.secrets import keyring, signing_secrets
from goald.settings import Settings
from goald.workers.provider import Provider
from goald.workers.rendering import render
from goald.workers.worker import Worker, WorkerSettings

WEBHOOK: Final = ActionType("webhook")
NOOP: Final = ActionType("noop")
EMAIL: Final = ActionType("send_email")
TEXT: Final = ActionType("send_sms")
ADMIN: Final = ActionType("notify_admin")
ACTIONS: Final = tuple(sorted((WEBHOOK, NOOP, EMAIL, TEXT, ADMIN, *EVENT_TYPES)))
"""The actions that goald performs itself."""
MESSAGES: Final = {EMAIL: "emails", TEXT: "text-messages", ADMIN: "admin-messages"}
"""The directory of the messages of an action, in the data directory."""
FIRST_INDEX: Final = 100
"""The first index of a worker outside of `goald serve`."""
_SENDER: Final = "goald <goald@goald.invalid>"

_log = structlog.get_logger("goald.worker")


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """The tasks of one worker."""

    index: int
    redis_url: str
    own_urls: Collection[str]
    """The servers of goald, which no webhook may call."""
    drain_s: float
    """How long a stop waits for calls in flight."""
    actions: Collection[ActionType] = ACTIONS
    """A part of ACTIONS."""


def worker_process(settings: Settings, plan: WorkerPlan) -> WorkerProcess:
    """A worker over Redis. Connects when it runs. Blocks while names are resolved. Raises
    SettingsError for an invalid key of GOALD_SECRETS_KEYS."""
    clock, registry = SystemClock(), CollectorRegistry()
    consumer = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex}"
    queue = RedisJobQueue(plan.redis_url, consumer, clock, kept_seconds=settings.republish)
    metrics = WorkerMetrics(registry)
    worker = Worker(
        queue,
        _providers(settings, plan),
        render,
        clock,
        WorkerSettings(
            concurrency=settings.worker_concurrency,
            backlog=2 * settings.worker_concurrency,
            drain_s=plan.drain_s,
        ),
        cipher=keyring(settings) if settings.secrets_keys else None,
        observer=metrics,
    )
    if not settings.secrets_keys:
        _log.warning(
            "GOALD_SECRETS_KEYS is not set: webhooks are not sent, because they cannot be signed, "
            "and each attempt of an action renders its templates again"
        )
    processes = RedisProcessRegistry(plan.redis_url)
    return WorkerProcess(plan.index, worker, queue, processes, clock, registry, metrics)


def create_message_directories(settings: Settings, actions: Iterable[ActionType]) -> None:
    """Create the directories of the messages of these actions, which are otherwise created with the
    first message. Blocks. Raises StartError."""
    for action in actions:
        if action in MESSAGES:
            create_private(settings.data_dir.expanduser() / MESSAGES[action])


async def free_index(redis_url: str) -> int:
    """The index of a further worker outside of `goald serve`. Raises ServiceUnavailable."""
    registry = RedisProcessRegistry(redis_url)
    try:
        return await registry.take_index("worker", FIRST_INDEX)
    finally:
        await registry.close()


async def addresses_in(redis_url: str) -> list[str]:
    """The URLs of the API and the metrics of the `goald serve` that uses this Redis. Raises
    ServiceUnavailable."""
    registry = RedisProcessRegistry(redis_url)
    try:
        readings: Readings = await registry.readings()
    finally:
        await registry.close()
    urls = [url for each in readings.heartbeats for url in (each.api_url, each.metrics_url)]
    return [url for url in urls if url is not None]


def own_urls(settings: Settings, *others: str | None) -> tuple[str, ...]:
    """The URLs of goald's servers: those of the settings, and these."""
    urls = (
        settings.redis_url, settings.postgres_dsn, settings.postgres_owner_dsn,
        settings.postgres_api_dsn, *others,
    )  # fmt: skip
    return tuple(dict.fromkeys(url for url in urls if url))


def _providers(settings: Settings, plan: WorkerPlan) -> Mapping[ActionType, Provider]:
    clock, directory = SystemClock(), settings.data_dir.expanduser()
    policy = DestinationPolicy(settings.webhook_allow_private, own_servers(plan.own_urls))
    webhooks = WebhookProvider(
        policy,
        signing_secrets(keyring(settings)),
        clock,
        connections=max(500, settings.worker_concurrency),
    )
    changes = ContactChanges(clock)
    providers: dict[ActionType, Provider] = {
        WEBHOOK: webhooks,
        NOOP: NoopProvider(),
        EMAIL: EmailFiles(directory / MESSAGES[EMAIL], _SENDER, clock),
        TEXT: TextFiles(directory / MESSAGES[TEXT], text_message, clock),
        ADMIN: TextFiles(directory / MESSAGES[ADMIN], admin_message, clock),
        **dict.fromkeys(EVENT_TYPES, changes),
    }
    return {action: providers[action] for action in plan.actions}
