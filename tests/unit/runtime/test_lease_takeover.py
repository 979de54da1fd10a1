"""Whom a lease may be taken from: whoever cannot be alive, and no other (3.3)."""

import subprocess
import sys
from dataclasses import replace

import pytest

from goald.adapters.memory.clock import ManualClock
from goald.domain.leases import LEASE_SECONDS, CurrentLease, LeaseHolder, describe_holder
from goald.runtime.leadership.takeover import INSTANCE_ROLE, ProcessTakeover, is_gone, this_process

US = LeaseHolder(7, "shard-0", "host", 10, "boot-100", "ns")
ELSEWHERE = replace(US, host="other")


def lives(process: LeaseHolder, ours: LeaseHolder) -> bool:
    return False


def claim(holder: LeaseHolder = US) -> ProcessTakeover:
    return ProcessTakeover(holder, ManualClock(), lives)


def held(holder: object, *, renewed: float = 1.0, is_expired: bool = False) -> CurrentLease:
    return CurrentLease(3, str(holder), renewed, is_expired)


def test_a_holder_comes_back_from_its_text_as_it_was() -> None:
    assert LeaseHolder.parse(str(US)) == US
    assert describe_holder(str(US)) == "shard-0, process 10 of host"


@pytest.mark.parametrize("text", ["", "host:71", "x/shard-0@host:1:a:b", "1/shard-0@host:1:a"])
def test_a_holder_of_another_release_is_waited_for(text: str) -> None:
    assert LeaseHolder.parse(text) is None
    assert describe_holder(text) == text
    assert not claim()(held(text))
    assert claim()(held(text, is_expired=True))


def test_a_shard_that_was_started_anew_takes_its_slots_at_once() -> None:
    assert claim()(held(replace(US, pid=11)))


def test_another_shard_of_the_instance_is_waited_for() -> None:
    assert not claim()(held(replace(US, role="shard-1")))


def test_what_an_earlier_instance_holds_is_taken_and_what_a_later_one_keeps_is_not() -> None:
    ours = claim()
    assert ours(held(replace(ELSEWHERE, instance=6)))
    assert not ours.outranked
    assert not ours(held(replace(ELSEWHERE, instance=8)))
    assert ours.outranked


async def test_what_a_lost_later_instance_held_is_not_waited_for_for_ever() -> None:
    clock = ManualClock()
    ours, theirs = ProcessTakeover(US, clock, lives), replace(ELSEWHERE, instance=8)
    assert not ours(held(theirs))
    await clock.advance(LEASE_SECONDS)
    assert ours(held(theirs)), "nobody renews it"
    assert not ours.outranked
    assert claim()(held(theirs, is_expired=True))


def test_another_instance_that_may_be_alive_is_waited_for_until_it_has_run_out() -> None:
    ours = claim(replace(US, instance=0, role=INSTANCE_ROLE))
    theirs = replace(US, instance=0, role=INSTANCE_ROLE, pid=11)
    assert not ours(held(theirs))
    assert ours(held(theirs, is_expired=True))
    assert ours(held(ours.holder)), "what this very process held before"


async def test_who_is_silent_for_the_time_of_a_lease_is_replaced_by_our_own_clock() -> None:
    clock = ManualClock()
    ours = ProcessTakeover(US, clock, lives)
    theirs = replace(US, role="shard-1")
    assert not ours(held(theirs, renewed=1))
    await clock.advance(LEASE_SECONDS - 1)
    assert not ours(held(theirs, renewed=2)), "it was renewed meanwhile"
    await clock.advance(LEASE_SECONDS - 1)
    assert not ours(held(theirs, renewed=2))
    await clock.advance(1)
    assert ours(held(theirs, renewed=2))


def test_a_process_is_gone_when_it_has_ended_and_its_id_means_the_same_here() -> None:
    us = this_process(7, "shard-0")
    assert not is_gone(us, us)
    with subprocess.Popen([sys.executable, "-c", ""]) as other:
        other.wait()
    ended = replace(us, pid=other.pid)
    assert is_gone(ended, us)
    assert is_gone(replace(us, started="boot-before"), us), "its id was given to another"
    assert not is_gone(replace(ended, host="elsewhere"), us)
    assert not is_gone(replace(ended, namespace="another container's"), us)
    assert not is_gone(replace(ended, namespace=""), replace(us, namespace=""))
