"""A lease is taken only from a holder that has ended or that this process replaces (D3)."""

import subprocess
import sys
from dataclasses import replace

import pytest

from goald.adapters.memory.clock import ManualClock
from goald.domain.leases import LEASE_SECONDS, CurrentLease, LeaseHolder, describe_holder
from goald.runtime.leadership.takeover import (
    INSTANCE_ROLE,
    ProcessTakeover,
    has_ended,
    this_process,
)

US = LeaseHolder(7, "shard-0", "host", 10, "boot-100", "ns")
ELSEWHERE = replace(US, host="other")


def has_never_ended(process: LeaseHolder, ours: LeaseHolder) -> bool:
    return False


def takeover(holder: LeaseHolder = US) -> ProcessTakeover:
    return ProcessTakeover(holder, ManualClock(), has_never_ended)


def current(holder: object, *, renewed: float = 1.0, is_expired: bool = False) -> CurrentLease:
    return CurrentLease(3, str(holder), renewed, is_expired)


def test_a_parsed_holder_equals_the_written_one() -> None:
    assert LeaseHolder.parse(str(US)) == US
    assert describe_holder(str(US)) == "shard-0, process 10 of host"


@pytest.mark.parametrize("text", ["", "host:71", "x/shard-0@host:1:a:b", "1/shard-0@host:1:a"])
def test_a_holder_that_cannot_be_parsed_keeps_its_lease_until_expiry(text: str) -> None:
    assert LeaseHolder.parse(text) is None
    assert describe_holder(text) == text
    assert not takeover()(current(text))
    assert takeover()(current(text, is_expired=True))


def test_a_restarted_shard_takes_its_slots_immediately() -> None:
    assert takeover()(current(replace(US, pid=11)))


def test_another_shard_of_the_same_instance_keeps_its_lease() -> None:
    assert not takeover()(current(replace(US, role="shard-1")))


def test_the_lease_of_an_earlier_instance_is_taken_and_of_a_later_one_is_not() -> None:
    policy = takeover()
    assert policy(current(replace(ELSEWHERE, instance=6)))
    assert not policy.is_superseded
    assert not policy(current(replace(ELSEWHERE, instance=8)))
    assert policy.is_superseded


async def test_the_lease_of_a_lost_later_instance_expires() -> None:
    clock = ManualClock()
    policy, owner = ProcessTakeover(US, clock, has_never_ended), replace(ELSEWHERE, instance=8)
    assert not policy(current(owner))
    await clock.advance(LEASE_SECONDS)
    assert policy(current(owner)), "it was not renewed"
    assert not policy.is_superseded
    assert takeover()(current(owner, is_expired=True))


def test_another_instance_that_may_be_alive_keeps_its_lease_until_expiry() -> None:
    policy = takeover(replace(US, instance=0, role=INSTANCE_ROLE))
    owner = replace(US, instance=0, role=INSTANCE_ROLE, pid=11)
    assert not policy(current(owner))
    assert policy(current(owner, is_expired=True))
    assert policy(current(policy.holder)), "the lease that this process held before"


async def test_a_lease_that_was_not_renewed_by_the_local_clock_is_taken() -> None:
    clock = ManualClock()
    policy = ProcessTakeover(US, clock, has_never_ended)
    owner = replace(US, role="shard-1")
    assert not policy(current(owner, renewed=1))
    await clock.advance(LEASE_SECONDS - 1)
    assert not policy(current(owner, renewed=2)), "it was renewed"
    await clock.advance(LEASE_SECONDS - 1)
    assert not policy(current(owner, renewed=2))
    await clock.advance(1)
    assert policy(current(owner, renewed=2))


def test_only_an_ended_process_of_this_host_and_namespace_has_ended() -> None:
    us = this_process(7, "shard-0")
    assert not has_ended(us, us)
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        other.wait()
    ended = replace(us, pid=other.pid)
    assert has_ended(ended, us)
    assert has_ended(replace(us, started="boot-before"), us), "another process has its id"
    assert not has_ended(replace(ended, host="elsewhere"), us)
    assert not has_ended(replace(ended, namespace="another"), us)
    assert not has_ended(replace(ended, namespace=""), replace(us, namespace=""))


def test_the_holder_of_a_refused_lease_is_named() -> None:
    policy = takeover(replace(US, instance=0, role=INSTANCE_ROLE))
    assert not policy(current(replace(ELSEWHERE, instance=0, role=INSTANCE_ROLE)))
    assert policy.refused_holder == "instance other:10 is active"
