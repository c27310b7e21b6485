"""The machine's clock is set by an hour or a day: what was to last so many seconds does. By a clock of the tests'."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitship.model import CertificateAttempt, WebAccessKind
from gitship.model.services import KEPT_S, ServiceVolume, VolumeUse
from gitship.reconcile import clock_watch
from gitship.reconcile.clock_watch import ClockWatch, ahead_s
from gitship.store import Store
from gitship.store.web_access import KEPT_PER_KEY
from tests.waiting import wait_until

HOUR_S, DAY_S, YEARS_S = 3600.0, 86_400.0, 56 * 365 * 86_400.0
STEPS = pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S, DAY_S, -DAY_S])


class Clock:
    """``time.time`` of all of gitship."""

    def __init__(self) -> None:
        self.set_s = 0.0
        self._real = time.time

    def __call__(self) -> float:
        return self._real() + self.set_s

    def ahead(self) -> float:
        return self.set_s


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "time", made)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "gitship.db")
    yield made
    made.close()


def watch(store: Store, machine: Clock, boot: str = "this") -> ClockWatch:
    """One that has begun; its thread does nothing here."""
    made = ClockWatch(store, machine.ahead, boot)
    made.start()
    made.stop()
    return made


def session(store: Store, name: str, lasts_s: float) -> None:
    store.add_web_access(WebAccessKind.SESSION, name, "SHA256:x", lasts_s=lasts_s)


def holds(store: Store, name: str) -> bool:
    return store.web_access(WebAccessKind.SESSION, name) is not None


@STEPS
def test_sessions_neither_end_at_once_nor_last_longer(store: Store, machine: Clock, step_s: float) -> None:
    watching = watch(store, machine)
    session(store, "ended", -5)
    session(store, "short", 60)
    session(store, "long", 12 * HOUR_S)
    machine.set_s += step_s
    watching.look()
    assert [holds(store, name) for name in ("ended", "short", "long")] == [False, True, True]
    machine.set_s += 61  # a minute goes by, of which the watch is not told
    assert [holds(store, name) for name in ("short", "long")] == [False, True]


@STEPS
def test_a_message_is_sent_again_when_it_was_to_be(store: Store, machine: Clock, step_s: float) -> None:
    watching = watch(store, machine)
    webhook = store.add_webhook(
        "chat",
        "http://x.example",
        format="json",
        events=("deploy.live",),
        secret="s",
        apps=None,
        anywhere=False,
        created_by="ada",
    )
    delivery = store.add_delivery(webhook, "deploy.live")
    store.update_delivery(replace(delivery, next_at=time.time() + 60))
    machine.set_s += step_s
    watching.look()
    assert not store.due_deliveries(time.time())
    assert store.due_deliveries(time.time() + 61)


@STEPS
def test_an_authority_is_asked_again_when_it_was_to_be(store: Store, machine: Clock, step_s: float) -> None:
    watching = watch(store, machine)
    app = store.create_app("shop")
    store.put_certificate_attempt(app.id, CertificateAttempt(1, time.time() + 900, ("x.example",), "refused"))
    store.hold_authority(time.time() + 600)
    machine.set_s += step_s
    watching.look()
    attempt = store.certificate_attempt(app.id)
    assert attempt is not None
    assert attempt.next_at - time.time() == pytest.approx(900, abs=30)
    assert store.authority_hold() - time.time() == pytest.approx(600, abs=30)


@STEPS
def test_an_address_rests_as_long_as_it_was_to(store: Store, machine: Clock, step_s: float) -> None:
    watching = watch(store, machine)
    app = store.create_app("shop")
    assert store.take_address(app.id, ["10.0.0.2"], "web.1", 60)
    store.release_address(app.id, "web.1")
    machine.set_s += step_s
    watching.look()
    assert store.take_address(app.id, ["10.0.0.2"], "web.2", 60) is None
    machine.set_s += 61
    assert store.take_address(app.id, ["10.0.0.2"], "web.2", 60)


def test_a_machine_that_begins_in_1970_makes_no_session_last_for_ever(store: Store, machine: Clock) -> None:
    session(store, "of before", 12 * HOUR_S)
    app = store.create_app("shop")
    store.put_certificate_attempt(app.id, CertificateAttempt(1, time.time() + 900, ("x.example",), "refused"))
    machine.set_s = -YEARS_S
    watching = watch(store, machine, "another")
    session(store, "of 1970", 60)
    machine.set_s = 0.0
    watching.look()
    assert [holds(store, name) for name in ("of before", "of 1970")] == [True, True]
    attempt = store.certificate_attempt(app.id)
    assert attempt is not None
    assert attempt.next_at - time.time() == pytest.approx(900, abs=30)
    machine.set_s = 13 * HOUR_S
    assert [holds(store, name) for name in ("of before", "of 1970")] == [False, False]


def test_that_it_was_set_while_no_gitship_ran_is_noticed_unless_the_machine_was_started_since(
    store: Store, machine: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    watch(store, machine)
    session(store, "short", 60)
    machine.set_s += DAY_S
    with caplog.at_level(logging.WARNING):
        watch(store, machine)
    assert holds(store, "short") and "the clock was set forward by 86400 s" in caplog.text
    machine.set_s += DAY_S
    watch(store, machine, "after a reboot")
    assert not holds(store, "short")


def test_a_clock_that_is_only_slewed_changes_nothing(store: Store, machine: Clock) -> None:
    watching = watch(store, machine)
    session(store, "short", 60)
    machine.set_s += clock_watch.STEP_S / 2
    watching.look()
    machine.set_s += 60
    assert not holds(store, "short")


def test_it_looks_by_itself_at_the_machines_own_clock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_watch, "LOOK_S", 0.01)
    assert ahead_s() == pytest.approx(ahead_s(), abs=clock_watch.SURE_S + 0.1)
    steps = iter([0.0, 0.0])
    watching = ClockWatch(store, lambda: next(steps, HOUR_S))
    watching.start()
    try:
        wait_until(
            lambda: (store.server_setting(clock_watch.CLOCK) or {}).get("ahead_s") == HOUR_S, 20, "it has noticed"
        )
    finally:
        watching.stop()


def test_of_many_sessions_the_newest_stay_though_the_clock_was_set_back(store: Store, machine: Clock) -> None:
    for number in range(KEPT_PER_KEY):
        session(store, f"old {number}", 10 * DAY_S)
    machine.set_s -= HOUR_S
    session(store, "new", 60)
    assert holds(store, "new") and not holds(store, "old 0")


@pytest.mark.parametrize("step_s", [30 * DAY_S, -DAY_S])
def test_old_data_of_a_service_are_kept_for_as_long(store: Store, machine: Clock, step_s: float) -> None:
    service = store.create_service("db", "postgres", "17", "postgres:17", 1 << 28, "db", "pw", None)
    until = time.time() + KEPT_S
    store.note_volume(ServiceVolume("old", service.id, VolumeUse.KEPT, "16", "postgres:16", "", time.time(), until))
    watching = watch(store, machine)

    machine.set_s = step_s
    watching.look()

    (kept,) = store.service_volumes(service.id)
    assert kept.until == pytest.approx(until + step_s)
