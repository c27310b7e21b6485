"""The bus: what a subscription gets, and its end."""

from __future__ import annotations

import threading

from gitship.events import Bus, Event

FAR_S = 1e6  # whoever waited for that would wait in vain


def test_a_subscription_gets_what_it_wants_in_its_order() -> None:
    bus = Bus()
    with bus.subscribe(lambda event: event.topic == "app") as news:
        for topic, app in (("app", "one"), ("deploy.line", "two"), ("app", "three")):
            bus.publish(Event(topic, app))
        assert [event.app for event in (news.get(0), news.get(0)) if event] == ["one", "three"]
        assert news.get(0) is None


def test_whoever_waits_is_woken_by_the_end() -> None:
    """`gitship serve` ends at once on SIGTERM, whatever its threads wait for."""
    news = Bus().subscribe()
    timer = threading.Timer(0.1, news.close)
    timer.start()
    assert news.get(FAR_S) is None
    timer.join()
    assert news.get(FAR_S) is None
