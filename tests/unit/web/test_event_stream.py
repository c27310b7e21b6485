"""Streams as a browser sees them: order, resume, ends, and what they cost the one who publishes."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing

import pytest

from gitship.deploy import output
from gitship.deploy.journal import DeployJournal
from gitship.events import Event
from gitship.model import DeployState
from gitship.web import event_stream, live_updates
from tests.unit.web.conftest import TIMEOUT_S, EventStream, Site
from tests.waiting import wait_until


@pytest.fixture
def journal(site: Site) -> DeployJournal:
    return site.deploy(site.store.create_app("shop"))


def stream_path(journal: DeployJournal) -> str:
    return f"/apps/shop/deploys/{journal.deploy.id}/stream"


def finish(journal: DeployJournal) -> None:
    journal.update(state=DeployState.LIVE, finished_at=time.time())
    journal.close()


def drain(viewer: EventStream) -> list[str]:
    """Every line up to the end of the stream."""
    found: list[str] = []
    while (event := viewer.next()) is not None and event.type != "end":
        if event.type != "state":
            found.append(event.data)
    return found


def test_lines_arrive_in_order_while_they_are_written(
    site: Site, journal: DeployJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_updates, "TICK_S", 3600)  # they come by the bus alone
    time.sleep(0.2)  # the last tick of the old length
    journal.line("before 1")
    with site.stream(stream_path(journal)) as viewer:
        assert [e.data for e in viewer.lines(1)] == ["before 1"]
        for number in range(2, 20):  # each is only written once the one before it was seen
            journal.line(f"live {number}")
            (event,) = viewer.lines(1)
            assert (event.data, event.id) == (f"live {number}", str(number))
    journal.close()


def test_a_line_is_announced_by_its_look(site: Site, journal: DeployJournal) -> None:
    for line in ("-----> Building", "=====> http://x", " !     failed: y", output.raw("raw"), "plain"):
        journal.line(line)
    with site.stream(stream_path(journal)) as viewer:
        assert [e.type for e in viewer.lines(5)] == ["headline", "result", "error", "raw", "plain"]
    journal.close()


def test_a_viewer_cut_off_again_and_again_gets_every_line_once(site: Site, journal: DeployJournal) -> None:
    count = 3000

    def write() -> None:
        for number in range(count):
            journal.line(f"line {number}")
        finish(journal)

    writer = threading.Thread(target=write, name="writer")
    writer.start()
    seen: list[str] = []
    last_id = ""
    while len(seen) < count:
        with site.stream(stream_path(journal), last_id) as viewer:
            events = viewer.lines(min(137, count - len(seen)))
        seen += [e.data for e in events]
        last_id = events[-1].id
    writer.join(TIMEOUT_S)
    assert seen == [f"line {number}" for number in range(count)]


def test_a_page_goes_on_where_it_ends(site: Site, journal: DeployJournal) -> None:
    for number in range(10):
        journal.line(f"line {number}")
    text = site.get(f"/apps/shop/deploys/{journal.deploy.id}").text
    path = text[text.index('data-stream="') + len('data-stream="') :].partition('"')[0]
    journal.line("after the page")
    with site.stream(path) as viewer:
        (event,) = viewer.lines(1)
        assert (event.data, event.id) == ("after the page", "11")
    journal.close()


def test_a_viewer_resumes_after_the_server_was_restarted(site: Site, journal: DeployJournal) -> None:
    journal.line("one")
    with site.stream(stream_path(journal)) as viewer:
        (event,) = viewer.lines(1)
        port = site.server.address
        site.server.stop()
        assert viewer.next() is None  # no "end": the browser comes back
    journal.line("two")
    site.server = site.new_server(port)
    site.server.start()
    with site.stream(stream_path(journal), event.id) as viewer:
        assert [e.data for e in viewer.lines(1)] == ["two"]
    journal.close()


def test_state_changes_bring_the_head_of_the_page(site: Site, journal: DeployJournal) -> None:
    with site.stream(stream_path(journal)) as viewer:
        assert json.loads(viewer.until("state").data)["state"] == "received"
        journal.update(state=DeployState.BUILDING)
        assert json.loads(viewer.until("state").data)["state"] == "building"
        journal.update(
            state=DeployState.FAILED, failed_stage=DeployState.BUILDING, reason="no Dockerfile", finished_at=time.time()
        )
        state = json.loads(viewer.until("state").data)
        assert state["state"] == "failed"
        assert "no Dockerfile" in state["head"]
        assert '<li class="failed building">building failed</li>' in state["head"]
        assert viewer.until("end")
    journal.close()


def test_lines_written_after_the_end_was_recorded_still_arrive(
    site: Site, journal: DeployJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "LATE_LINES_S", 2.0)
    with site.stream(stream_path(journal)) as viewer:
        journal.update(state=DeployState.FAILED, reason="exited 1", finished_at=time.time())
        while json.loads(viewer.until("state").data)["state"] != "failed":
            pass
        journal.line(" !     the last word")
        assert drain(viewer) == [" !     the last word"]
    journal.close()


def test_what_was_written_without_an_event_arrives_too(site: Site, journal: DeployJournal) -> None:
    with site.stream(stream_path(journal)) as viewer:
        viewer.until("state")
        with journal.path.open("a") as file:
            file.write("nobody was told\n")
        assert [e.data for e in viewer.lines(1)] == ["nobody was told"]
    journal.close()


def test_the_stream_of_a_deploy_that_ended_gives_its_log_and_ends(site: Site, journal: DeployJournal) -> None:
    journal.line("one")
    journal.update(state=DeployState.LIVE, finished_at=time.time() - 60)
    journal.close()
    with journal.path.open("a") as file:
        file.write("cut off in mid-line")
    with site.stream(stream_path(journal)) as viewer:
        assert drain(viewer) == ["one", "cut off in mid-line"]
        assert viewer.next() is None


def test_a_clock_that_is_set_back_does_not_hold_up_the_end(site: Site, journal: DeployJournal) -> None:
    journal.line("one")
    journal.update(state=DeployState.LIVE, finished_at=time.time() + 3600)
    journal.close()
    with site.stream(stream_path(journal)) as viewer:
        assert drain(viewer) == ["one"]


def test_a_line_cannot_forge_an_event(site: Site, journal: DeployJournal) -> None:
    journal.raw("a\rid: 999\revent: end\rdata: b")
    journal.raw("\x1b[31mred\x1b[0m \x1b]0;title\x07<script>\x00")
    with site.stream(stream_path(journal)) as viewer:
        first, second = viewer.lines(2)
        assert (first.type, first.data, first.id) == ("plain", "data: b", "1")
        assert second.id == "2"
        assert second.data == '<span class="c1">red</span> &lt;script&gt;'
    journal.close()


def test_a_viewer_that_never_reads_holds_up_neither_publisher_nor_other_viewers(
    site: Site, journal: DeployJournal
) -> None:
    lines = [f"{number:06} " + "x" * 3900 for number in range(5_000)]  # 20 MB: more than sockets take by themselves
    with site.stream(stream_path(journal)) as asleep:
        asleep.until("state")
        for line in lines:
            journal.line(line)
        finish(journal)
        with site.stream(stream_path(journal)) as awake:
            assert drain(awake) == lines
        assert drain(asleep) == lines  # and it missed nothing by sleeping


def test_a_viewer_that_leaves_is_no_error_in_the_log(
    site: Site, journal: DeployJournal, caplog: pytest.LogCaptureFixture
) -> None:
    with journal.path.open("a") as file:
        file.write(("x" * 1000 + "\n") * 20_000)  # more than sockets take, so that it leaves in the middle
    for _ in range(3):
        with site.stream(stream_path(journal)) as viewer:
            viewer.lines(1)
    site.server.stop()
    assert [r.getMessage() for r in caplog.records if r.levelname in ("WARNING", "ERROR")] == []
    journal.close()


def test_any_number_of_viewers_costs_the_bus_one_subscription_and_no_thread(site: Site, journal: DeployJournal) -> None:
    assert len(site.bus._subscriptions) == 1
    viewers = [site.connect() for _ in range(50)]
    try:
        for connection in viewers:
            connection.request("GET", stream_path(journal), headers={"Cookie": site.cookie})
        streams = [EventStream(connection) for connection in viewers]
        assert len(site.bus._subscriptions) == 1
        names = [t.name for t in threading.enumerate() if t.name.startswith("web") and "-work" not in t.name]
        assert sorted(names) == ["web", "web-live"]
        journal.line("for all")
        assert [s.lines(1)[0].data for s in streams] == ["for all"] * 50
    finally:
        for connection in viewers:
            connection.close()
    journal.close()


def test_more_viewers_than_the_server_takes_are_told_so(
    site: Site, journal: DeployJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_updates, "MAX_WATCHES", 1)
    with site.stream(stream_path(journal)) as viewer:
        viewer.until("state")
        answer = site.get(stream_path(journal))
        assert answer.status == 503
        assert "Too many live viewers" in answer.text

    def is_taken() -> bool:
        with closing(site.connect()) as connection:
            connection.request("GET", stream_path(journal), headers={"Cookie": site.cookie})
            return connection.getresponse().status == 200

    wait_until(is_taken, what="the place of the viewer that left is free again")
    journal.close()


@pytest.mark.parametrize("bad", ["x", "-1", "1.5", "٣"])
def test_an_event_id_that_is_no_number_is_refused(site: Site, journal: DeployJournal, bad: str) -> None:
    connection = site.connect()
    connection.request("GET", stream_path(journal), headers={"Cookie": site.cookie, "Last-Event-ID": bad.encode()})
    assert connection.getresponse().status == 400
    connection.close()
    journal.close()


def test_the_stream_ends_when_the_app_is_destroyed(site: Site, journal: DeployJournal) -> None:
    with site.stream(stream_path(journal)) as viewer:
        viewer.until("state")
        site.store.delete_app(journal.deploy.app_id)
        assert viewer.until("end")
    journal.close()


def test_silence_is_broken_so_that_proxies_keep_the_stream(
    site: Site, journal: DeployJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "KEEPALIVE_S", 0.1)
    with site.stream(stream_path(journal)) as viewer:
        viewer.until("state")
        assert viewer.answer.readline() == b":\n"
    journal.close()


def test_the_overview_is_told_of_a_change_since_it_was_made(site: Site, journal: DeployJournal) -> None:
    page = site.get("/").text
    path = page[page.index("/changes?after=") :].partition('"')[0]
    journal.update(state=DeployState.BUILDING)
    with site.stream(path) as viewer:
        first = viewer.until("changed")
        site.bus.publish(Event("app", "shop"))
        second = viewer.until("changed")
        assert int(second.id) > int(first.id)
    journal.close()


def test_a_line_alone_does_not_make_the_overview_fetch_itself_anew(site: Site, journal: DeployJournal) -> None:
    def version() -> str:
        page = site.get("/").text
        return page[page.index("/changes?after=") :].partition('"')[0]

    before = version()
    with site.stream(stream_path(journal)) as viewer:
        journal.line("chatter")
        viewer.lines(1)
    assert version() == before
    journal.close()


def test_stopping_the_server_ends_its_threads_and_subscription(site: Site, journal: DeployJournal) -> None:
    with site.stream(stream_path(journal)) as viewer:
        viewer.until("state")
        site.server.stop()
        assert not [t.name for t in threading.enumerate() if t.name.startswith("web")]
        assert site.bus._subscriptions == []
        with pytest.raises(ConnectionRefusedError):
            site.get("/healthz")
    site.server.stop()  # a second time does no harm
    journal.close()


def test_figures_are_told_anew_while_no_state_changes(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "FIGURES_S", 0.2)
    site.store.create_app("shop")
    page = site.get("/").text
    with site.stream(page[page.index("/changes?after=") :].partition('"')[0]) as viewer:
        first, second = viewer.until("figures"), viewer.until("figures")
        assert first.id == second.id == ""  # who comes back has missed nothing by it
