"""Container logs: every line once, however often a viewer leaves, whatever the containers do."""

from __future__ import annotations

import json
import threading
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.engine.types import LogLine
from gitship.model import Container
from gitship.web import app_log_stream, log_positions
from tests.unit.web.conftest import TIMEOUT_S, EventStream, Site
from tests.unit.web.test_pages import HOSTILE
from tests.waiting import wait_until


@pytest.fixture
def shop(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site with an app whose web and worker print what ``say`` says."""
    monkeypatch.setattr(app_log_stream, "LOOK_S", 0.02)
    monkeypatch.setattr(app_log_stream, "FRAME_DELAY_S", 0.01)
    run(site, 1)
    return site


def run(site: Site, number: int) -> None:
    """Release ``number`` goes live."""
    app = site.store.find_app("shop") or site.store.create_app("shop")
    made = site.release(app)
    containers = [
        Container(f"id-{p}-{number}", f"shop.{p}.1.v{number}", app.id, made.id, p, 1, "10.231.0.4", None)
        for p in ("web", "worker")
    ]
    site.store.set_live(app.id, made.id, containers)


def say(site: Site, text: str, process: str = "web", release: int = 1, at: float | None = None) -> None:
    site.memory.facts.lines.append(
        LogLine(f"shop.{process}.1.v{release}", time.time() if at is None else at, "stdout", text)
    )


def stream_of(site: Site) -> str:
    """The address that the page gives to its script."""
    text = site.get("/apps/shop/logs").text
    return text[text.index('data-stream="') + 13 :].partition('"')[0]


def texts(viewer: EventStream, count: int) -> list[str]:
    """The next ``count`` lines."""
    found: list[str] = []
    while len(found) < count:
        event = viewer.until("lines")
        found += [row[3] for row in json.loads(event.data)]
    assert len(found) == count
    return found


def test_the_page_has_the_last_lines_and_the_stream_goes_on_after_them(shop: Site) -> None:
    say(shop, "one")
    say(shop, "two", "worker")
    page = shop.get("/apps/shop/logs").text
    assert page.index("<span>one</span>") < page.index("<span>two</span>")
    with shop.stream(stream_of(shop)) as viewer:
        for number in range(5):
            say(shop, f"live {number}", ("web", "worker")[number % 2])
            assert texts(viewer, 1) == [f"live {number}"]


def test_process_and_search_hide_the_others_without_javascript(shop: Site) -> None:
    say(shop, "Alpha")
    say(shop, "beta", "worker")
    assert shop.get("/apps/shop/logs?process=worker").text.count('<li class="stdout" hidden') == 1
    assert shop.get("/apps/shop/logs?q=ALPHA&process=web").text.count('<li class="stdout" hidden') == 1
    assert "No matching lines yet" in shop.get("/apps/shop/logs?q=gamma").text


def test_a_viewer_cut_off_again_and_again_gets_every_line_once(shop: Site) -> None:
    path, count = stream_of(shop), 600
    stop = threading.Event()

    def write() -> None:
        at = time.time()
        for number in range(count):
            # Three of one instant, now and then one that Docker wrote a little late.
            say(
                shop,
                f"line {number}",
                ("web", "worker")[number % 2],
                at=at + number // 3 * 1e-4 - (number % 7 == 0) * 1e-5,
            )
            stop.wait(0.001)

    writer = threading.Thread(target=write, name="writer")
    writer.start()
    seen: list[str] = []
    last_id = ""
    while len(seen) < count:
        with shop.stream(path, last_id) as viewer:
            for _ in range(3):
                event = viewer.until("lines")
                seen += [row[3] for row in json.loads(event.data)]
                last_id = event.id
                if len(seen) >= count:
                    break
    writer.join(TIMEOUT_S)
    assert sorted(seen) == sorted(f"line {number}" for number in range(count))


def test_what_was_printed_while_nobody_watched_is_read_from_docker(shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_log_stream, "LINGER_S", 0.05)
    with shop.stream(stream_of(shop)) as viewer:
        say(shop, "seen")
        last_id = viewer.until("lines").id
    wait_until(lambda: not any(t.name.startswith("web-log") for t in threading.enumerate()), what="its threads end")
    say(shop, "missed")
    say(shop, "missed too", "worker")
    with shop.stream("/apps/shop/logs/stream", last_id) as viewer:
        assert sorted(texts(viewer, 2)) == ["missed", "missed too"]


def test_a_viewer_that_is_behind_what_is_kept_goes_on_where_it_was(shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_log_stream, "KEPT_LINES", 10)
    path = stream_of(shop)
    with shop.stream(path) as other, shop.stream(path) as viewer:
        say(shop, "seen")
        last_id = viewer.until("lines").id
        other.until("lines")
        viewer.connection.close()
        for number in range(100):
            say(shop, f"line {number}")
            time.sleep(0.001)
        texts(other, 100)
        with shop.stream(path, last_id) as again:
            assert texts(again, 100) == [f"line {number}" for number in range(100)]


def test_a_slow_viewer_is_cut_off_and_goes_on_where_it_was(shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_log_stream, "KEPT_LINES", 50)
    monkeypatch.setattr(app_log_stream, "READ_LINES", 10_000)
    path, count = stream_of(shop), 4000
    with shop.stream(path) as asleep:
        say(shop, "seen")
        assert asleep.until("lines")
        for number in range(count):  # 16 MB: more than sockets take by themselves
            say(shop, f"{number:05}" + "x" * 3900)
            if number % 40 == 0:
                time.sleep(0.005)
        seen: list[str] = []
        cut = False
        while not cut:
            event = asleep.next()
            cut = event is None
            if event and event.type == "lines":
                seen += [row[3][:5] for row in json.loads(event.data)]
        last_id = asleep.last_id
    assert 0 < len(seen) < count
    with shop.stream(path, last_id) as again:
        while len(seen) < count:
            seen += [row[3][:5] for row in json.loads(again.until("lines").data)]
    assert seen == [f"{number:05}" for number in range(count)]


def test_a_new_release_is_followed_from_its_first_line(shop: Site) -> None:
    with shop.stream(stream_of(shop)) as viewer:
        say(shop, "old")
        assert texts(viewer, 1) == ["old"]
        say(shop, "starting", release=2)  # before it is live
        run(shop, 2)
        assert texts(viewer, 1) == ["starting"]
        say(shop, "the last word of the old", release=1)
        assert texts(viewer, 1) == ["the last word of the old"]
        last_id = viewer.last_id
    with shop.stream(stream_of(shop)) as fresh, shop.stream("/apps/shop/logs/stream", last_id) as again:
        say(shop, "new", release=2)
        assert texts(fresh, 1) == ["new"]
        assert texts(again, 1) == ["new"]


def test_a_frame_never_leads_a_viewer_back() -> None:
    """It caught up from Docker, where the worker's line stood before its reader here had it."""
    line = app_log_stream.Placed(LogLine("shop.web.1.v1", 5.0, "stdout", "new"), (5.0, 1))
    found = app_log_stream.frame([line], {"shop.web.1.v1": (5.0, 1), "shop.worker.1.v1": (3.0, 1)})
    assert app_log_stream.suited(found, {"shop.web.1.v1": (4.0, 1), "shop.worker.1.v1": (3.0, 1)}) is found.event
    ahead = {"shop.web.1.v1": (4.0, 1), "shop.worker.1.v1": (4.5, 2)}
    assert app_log_stream.suited(found, ahead).startswith(b"id: shop.web.1.v1~5.0~1,shop.worker.1.v1~4.5~2\n")
    assert app_log_stream.suited(found, {"shop.web.1.v1": (5.0, 1)}) == b""


def test_a_line_cannot_forge_an_event_or_markup(shop: Site) -> None:
    with shop.stream(stream_of(shop)) as viewer:
        say(shop, f"a\revent: end\x1b]0;title\x07{HOSTILE}\x00")
        [text] = texts(viewer, 1)
    assert text == "event: end&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;"
    assert HOSTILE not in shop.get("/apps/shop/logs").text


def test_an_id_that_is_no_position_is_refused(shop: Site) -> None:
    for bad in ("x", "a~1", "a~x~1", "a~1~x", "a~-1~1", "a~nan~1", "a~inf~1", "a~1~1," * 300):
        assert shop.get(f"/apps/shop/logs/stream?after={quote(bad)}").status == 400


def test_stopping_the_server_ends_the_readers(shop: Site) -> None:
    with shop.stream(stream_of(shop)) as viewer:
        say(shop, "one")
        texts(viewer, 1)
        shop.server.stop()
        assert not [t.name for t in threading.enumerate() if t.name.startswith("web")]


@given(
    st.dictionaries(
        st.from_regex(r"[a-z0-9.-]{1,20}", fullmatch=True),
        st.tuples(st.floats(0, 1e10), st.integers(0, 1000)),
        max_size=5,
    )
)
def test_positions_survive_the_way_to_the_browser_and_back(found: dict[str, tuple[float, int]]) -> None:
    assert log_positions.decode(log_positions.encode(found)) == found
