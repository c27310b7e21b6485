"""Who may come in, by a clock that the test moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.ssh.connection_limits import Admission, ConnectionLimiter, ConnectionLimits, network


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_full_address_gives_the_place_of_its_oldest_silent_connection_to_a_newcomer() -> None:
    clock = Clock()
    door: ConnectionLimiter[str] = ConnectionLimiter(
        ConnectionLimits(unauthenticated_per_address=2, eviction_age_s=1.0), clock
    )
    assert door.admit("a", "1.1.1.1") == Admission()
    assert door.admit("b", "1.1.1.1") == Admission()
    assert door.admit("c", "1.1.1.1").refused == "too many connections"
    clock.now += 1.0
    assert door.admit("d", "1.1.1.1") == Admission(evicted="a")
    assert door.admit("e", "2.2.2.2") == Admission()


def test_whoever_speaks_takes_the_place_of_the_longest_silent_one_at_once() -> None:
    clock = Clock()
    silent = {"s1", "s2"}
    door: ConnectionLimiter[str] = ConnectionLimiter(
        ConnectionLimits(unauthenticated=3), clock, lambda visitor: visitor in silent
    )
    for visitor, address in (("busy", "1.1.1.1"), ("s1", "2.2.2.2"), ("s2", "3.3.3.3")):
        assert door.admit(visitor, address) == Admission()
    assert door.admit("mute", "4.4.4.4").refused == "too many connections"
    assert door.admit("new", "4.4.4.4", speaks=True) == Admission(evicted="s1")
    assert door.admit("newer", "5.5.5.5", speaks=True) == Admission(evicted="s2")
    assert door.admit("newest", "6.6.6.6", speaks=True).refused  # all that are there speak, and are young
    clock.now += 1.0
    assert door.admit("newest", "6.6.6.6", speaks=True).evicted == "busy"


def test_a_full_house_makes_the_busiest_address_give_way() -> None:
    clock = Clock()
    door: ConnectionLimiter[str] = ConnectionLimiter(ConnectionLimits(unauthenticated=4), clock)
    for visitor, address in (("quiet", "9.9.9.9"), ("a", "1.1.1.1"), ("b", "1.1.1.1"), ("c", "1.1.1.1")):
        assert door.admit(visitor, address) == Admission()
    clock.now += 1.0
    assert door.admit("new", "2.2.2.2") == Admission(evicted="a")


def test_logged_in_connections_are_never_evicted_and_count_against_the_total() -> None:
    clock = Clock()
    door: ConnectionLimiter[str] = ConnectionLimiter(ConnectionLimits(connections=2), clock)
    for visitor in ("a", "b"):
        door.admit(visitor, "1.1.1.1")
        assert door.logged_in(visitor)
    clock.now += 100.0
    assert door.admit("c", "2.2.2.2") == Admission(refused="too many connections")
    door.leave("a")
    assert door.admit("c", "2.2.2.2") == Admission()


def test_an_evicted_connection_cannot_log_in_any_more() -> None:
    clock = Clock()
    door: ConnectionLimiter[str] = ConnectionLimiter(ConnectionLimits(unauthenticated_per_address=1), clock)
    door.admit("a", "1.1.1.1")
    clock.now += 1.0
    assert door.admit("b", "1.1.1.1").evicted == "a"
    assert not door.logged_in("a")


def test_login_grace_counts_from_the_connection_and_ends_with_the_login() -> None:
    clock = Clock()
    door: ConnectionLimiter[str] = ConnectionLimiter(
        ConnectionLimits(login_grace_s=20.0, passphrase_grace_s=120.0), clock
    )
    for visitor in ("silent", "typing", "inside"):
        door.admit(visitor, "1.1.1.1")
    door.key_known("typing")
    door.logged_in("inside")
    clock.now += 20.1
    assert door.overdue() == ["silent"]
    clock.now += 100.0
    assert door.overdue() == ["silent", "typing"]


def test_failed_logins_refuse_their_address_until_the_window_has_passed() -> None:
    clock = Clock()
    door: ConnectionLimiter[str] = ConnectionLimiter(
        ConnectionLimits(failed_logins_per_address=2, failed_logins_window_s=60.0), clock
    )
    door.login_failed("1.1.1.1")
    clock.now += 59.0
    door.login_failed("1.1.1.1")
    assert door.admit("a", "1.1.1.1").refused == "too many failed logins"
    assert door.admit("b", "2.2.2.2").refused == ""
    clock.now += 1.1
    assert door.admit("c", "1.1.1.1").refused == ""


def test_failures_from_ever_new_addresses_are_remembered_only_so_far() -> None:
    door: ConnectionLimiter[str] = ConnectionLimiter(ConnectionLimits(addresses_remembered=10))
    for number in range(1000):
        door.login_failed(f"10.0.{number // 250}.{number % 250}")
    assert len(door._failures) == 10


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_what_counts_as_one_address(address: str, counted_as: str) -> None:
    assert network(address) == counted_as


@given(st.lists(st.tuples(st.sampled_from("ailx"), st.integers(0, 9), st.integers(0, 3), st.floats(0, 2))))
def test_whatever_happens_the_limits_hold(events: list[tuple[str, int, int, float]]) -> None:
    clock = Clock()
    limits = ConnectionLimits(connections=6, unauthenticated=4, unauthenticated_per_address=2)
    door: ConnectionLimiter[int] = ConnectionLimiter(limits, clock)
    waiting: dict[int, int] = {}
    inside: set[int] = set()
    for kind, visitor, address, later in events:
        clock.now += later
        if kind == "a" and visitor not in waiting and visitor not in inside:
            admission = door.admit(visitor, f"1.1.1.{address}")
            if not admission.refused:
                waiting.pop(admission.evicted if admission.evicted is not None else -1, None)
                waiting[visitor] = address
        elif kind == "i":
            assert door.logged_in(visitor) == (visitor in waiting)
            if waiting.pop(visitor, None) is not None:
                inside.add(visitor)
        elif kind == "l":
            door.leave(visitor)
            waiting.pop(visitor, None)
            inside.discard(visitor)
        assert len(waiting) <= limits.unauthenticated
        assert len(waiting) + len(inside) <= limits.connections
        assert all(list(waiting.values()).count(a) <= limits.unauthenticated_per_address for a in waiting.values())
