"""Answers the questions of an evaluation about executions: contacts, starts, used events."""

import json
from collections.abc import Mapping
from functools import partial

from goald import _native
from goald.domain.contacts.merging import ContactKey, StoredContact
from goald.domain.contacts.projection import Contact
from goald.domain.leases import SlotLease
from goald.pipeline.context import ShardContext
from goald.pipeline.shard.group import Group
from goald.pipeline.shard.known.contacts import replays
from goald.ports.executions.store import EntryCheck, EntryFacts, WaitCheck
from goald.ports.shard_store import ShardStore


class ExecutionFacts:
    """The answers to the questions of the evaluations of a group. Postgres is asked for each fact
    once; the group is evaluated again as long as an evaluation asks something new."""

    def __init__(
        self,
        context: ShardContext,
        store: ShardStore,
        lease: SlotLease,
        options: Mapping[str, object],
    ) -> None:
        """`options`: those of the evaluation that are no facts."""
        self._context = context
        self._store = store
        self._lease = lease
        self._options = options
        self._contacts: dict[tuple[str, str, int], Contact] = {}
        """By tenant, contact and position: the contact there."""
        self._starts: dict[EntryCheck, EntryFacts] = {}
        self._used: dict[WaitCheck, bool] = {}

    def options(self, group: Group) -> dict[str, object]:
        """The argument `executions` of `_native.Matcher.evaluate`, for this group."""
        return {
            **self._options,
            "only_events": group.only_events,
            "contacts": [(*key, _described(each)) for key, each in self._contacts.items()],
            "starts": [
                (check.tenant_id, check.execution_id, facts.exists, facts.last_started_ms)
                for check, facts in self._starts.items()
            ],
            "excluded": [tuple(check) for check, is_used in self._used.items() if is_used],
        }

    async def answer(self, proposal: _native.Proposal) -> bool:
        """Answer what an evaluation asks. Returns whether it must be repeated."""
        asked = proposal.executions
        if asked is None:
            return False
        ids = asked.transitions
        waits = [
            WaitCheck(ids.tenant_id[number], ids.execution_id[number], event)
            for number, event in asked.event_checks
        ]
        is_described = await self._describe(proposal, asked)
        is_started = await self._find_starts(asked)
        return await self._find_used(waits) or is_described or is_started

    async def _describe(self, proposal: _native.Proposal, asked: _native.ExecutionProposal) -> bool:
        checks = [each for each in asked.contact_checks if each[:3] not in self._contacts]
        if not checks:
            return False
        keys: list[ContactKey] = sorted({(tenant, contact) for tenant, contact, *_ in checks})
        find = partial(self._store.contacts, self._lease, keys)
        stored = await self._context.retry("Postgres: load", "contacts", find)
        found: Mapping[ContactKey, StoredContact] = {
            key: stored.get(key) or StoredContact(Contact(), None) for key in keys
        }
        applied = replays(proposal, found)
        for tenant, contact, position, events, deletions in sorted(
            checks, key=lambda check: check[3:]
        ):
            at = applied[tenant, contact].until(events, deletions)
            self._contacts[tenant, contact, position] = _copied(at)
        return True

    async def _find_starts(self, asked: _native.ExecutionProposal) -> bool:
        checks = [
            check
            for check in (EntryCheck(*row) for row in asked.start_checks)
            if check not in self._starts
        ]
        if not checks:
            return False
        find = partial(self._store.executions.starts, self._lease, checks)
        facts = await self._context.retry("Postgres: load", "starts", find)
        self._starts |= dict(zip(checks, facts, strict=True))
        return True

    async def _find_used(self, waits: list[WaitCheck]) -> bool:
        checks = [check for check in waits if check not in self._used]
        if not checks:
            return False
        find = partial(self._store.executions.used, self._lease, checks)
        used = await self._context.retry("Postgres: load", "used", find)
        self._used |= {check: check in used for check in checks}
        return bool(used)


def _copied(contact: Contact) -> Contact:
    """The fields of a contact that steps see. The replay of the contact continues."""
    return Contact(
        timezone=contact.timezone,
        opted_in=contact.opted_in,
        attributes=dict(contact.attributes),
        tags=list(contact.tags),
    )


def _described(contact: Contact) -> dict[str, object]:
    return {
        "opted_in": contact.opted_in,
        "timezone": contact.timezone,
        "tags": [(tag.id, tag.name) for tag in contact.tags],
        "attributes": json.dumps(contact.attributes, ensure_ascii=False),
    }
