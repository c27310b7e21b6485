"""From one release to the next without a failed request."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from gitship.config_values import Address
from gitship.errors import FrontError
from gitship.front.front import Front
from gitship.front.varnish_cli import Reply
from tests.e2e.front.asking import TIMEOUT_S, app, ask, raw, until_closed
from tests.e2e.front.conftest import LOOPBACK, MEMORY_BYTES, switch
from tests.e2e.front.origin import Origin
from tests.waiting import wait_to_be, wait_until

pytestmark = pytest.mark.e2e

HOST = "shop.localhost"


@pytest.fixture
def shop(front: Front) -> Front:
    front.set_hosts({HOST: "shop"})
    return front


def test_a_switch_asks_for_nothing_that_grows_with_the_number_of_apps(
    shop: Front, monkeypatch: pytest.MonkeyPatch, base: Path
) -> None:
    with Origin("v1") as origin:
        shop.reload([app("shop", origin)], {HOST: "shop"})
        asked, ask_varnish = [], shop._control.ask

        def noted(line: str, *timeout_s: float) -> Reply:
            asked.append(line.split()[0])
            return ask_varnish(line, *timeout_s)

        monkeypatch.setattr(shop._control, "ask", noted)
        new = shop.load(app("shop", origin, release="v2"))
        before = shop.label("shop", new)
        assert before is not None
        shop.discard(before)
        assert not {"vcl.list", "vcl.deps"} & set(asked)
        assert shop.apps() == {"shop": new} and shop.unlabelled("shop") == []
    assert f"-vcl.label z_shop {new}\n" in (base / "varnish/boot.cli").read_text()
    assert {p.stem for p in (base / "varnish/apps").glob("app_*")} == {new}


def test_what_serves_or_is_gone_is_not_discarded(shop: Front) -> None:
    with Origin("v1") as origin:
        now = switch(shop, app("shop", origin))
        shop.discard(now)
        assert shop.apps() == {"shop": now}
        shop.discard("app_shop_v9_9")


def test_a_switch_that_could_not_be_written_down_is_with_the_next(shop: Front, base: Path) -> None:
    with Origin("v1") as origin:
        shop.reload([app("shop", origin), app("other", origin)], {HOST: "shop", "other.localhost": "other"})
        new = shop.load(app("shop", origin, release="v2"))
        apps = base / "varnish/apps"
        apps.rename(base / "elsewhere")
        with pytest.raises(OSError):
            shop.label("shop", new)
        (base / "elsewhere").rename(apps)
        switch(shop, app("other", origin, release="v2"))
        assert f"-vcl.label z_shop {new}\n" in (base / "varnish/boot.cli").read_text()


def _until(front: Front, vcl: str, busy: int) -> None:
    wait_to_be(lambda: front.busy(vcl), busy)


@dataclass
class Visitors:
    """GET and POST without end on kept connections, from a thread."""

    address: Address
    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Visitors:
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()), name="visitors", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join(TIMEOUT_S)

    async def _all(self) -> None:
        await asyncio.gather(*[self._one(method) for method in ("GET", "POST") * 6])

    async def _one(self, method: str) -> None:
        async with aiohttp.ClientSession() as session:
            session._retry_connection = False  # aiohttp would repeat a GET by itself
            while not self._over.is_set():
                try:
                    async with session.request(
                        method,
                        f"http://{self.address}/",
                        headers={"Host": HOST},
                        data=b"x" if method == "POST" else None,
                    ) as answer:
                        text = await answer.text()
                        if answer.status == 200:
                            self.answers[text.split()[0]] += 1
                        else:
                            self.failures.append(f"{method} {answer.status} {text[:200]}")
                except (aiohttp.ClientError, OSError) as error:
                    self.failures.append(f"{method} {error!r}")
                await asyncio.sleep(0.005)


def test_ten_switches_under_load_fail_no_request(shop: Front) -> None:
    with contextlib.ExitStack() as stack:
        old = stack.enter_context(Origin("r0"))
        serving = switch(shop, app("shop", old, release="r0"))
        visitors = stack.enter_context(Visitors(shop.address))
        while not visitors.answers and not visitors.failures:
            time.sleep(0.01)
        for n in range(1, 11):
            new = stack.enter_context(Origin(f"r{n}"))
            name = shop.load(app("shop", new, release=f"r{n}"))
            assert shop.label("shop", name) == serving
            _until(shop, serving, 0)
            shop.discard(serving)
            old.stop()
            before = visitors.answers.total()
            while visitors.answers.total() < before + 100 and not visitors.failures:
                time.sleep(0.01)
            old, serving = new, name
        visitors.__exit__()
    print(f"{visitors.answers.total()} answers, {len(visitors.failures)} failed")
    assert not visitors.failures
    assert set(visitors.answers) == {f"r{n}" for n in range(11)}


def test_a_request_in_flight_ends_with_the_release_it_began_with(shop: Front) -> None:
    with Origin("v1") as one, Origin("v2") as two, ThreadPoolExecutor(1) as pool:
        old = switch(shop, app("shop", one))
        slow = pool.submit(ask, shop.address, HOST, "/wait")
        assert one.arrived.wait(TIMEOUT_S)
        assert shop.busy(old) > 0
        new = shop.load(app("shop", two, release="v2"))
        assert shop.label("shop", new) == old
        assert ask(shop.address, HOST).text == "v2 0"
        shop.discard(old)  # even so it ends well
        assert shop.busy(old) > 0
        one.go_on.set()
        answer = slow.result(TIMEOUT_S)
        assert (answer.status, answer.text) == (200, "v1")
        _until(shop, old, 0)


def test_an_open_websocket_keeps_the_old_release_busy_until_it_closes(shop: Front) -> None:
    opening = (
        f"GET /ws HTTP/1.1\nHost: {HOST}\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n\n"
    )
    with Origin("v1") as one, Origin("v2") as two:
        old = switch(shop, app("shop", one))
        with raw(shop.address, opening) as websocket:
            assert websocket.recv(4096).startswith(b"HTTP/1.1 101")
            switch(shop, app("shop", two, release="v2"))
            assert shop.busy(old) > 0
            shop.discard(old)
            one.stop()
            until_closed(websocket)  # the end of its container is the end of the websocket
        _until(shop, old, 0)


def test_a_rollback_is_a_label_that_returns(shop: Front) -> None:
    with Origin("v1") as one, Origin("v2") as two:
        first = switch(shop, app("shop", one))
        second = switch(shop, app("shop", two, release="v2"))
        assert shop.label("shop", first) == second
        assert ask(shop.address, HOST).text == "v1 0"
        assert shop.labelled("shop") == first


def test_a_loaded_release_gets_no_visitor_before_it_is_labelled(shop: Front) -> None:
    with Origin("v1") as one, Origin("v2") as two:
        first = switch(shop, app("shop", one))
        second = shop.load(app("shop", two, release="v2"))
        assert shop.labelled("shop") == first
        assert {ask(shop.address, HOST).text for _ in range(5)} == {"v1 0"}
        shop.discard(second)
        with pytest.raises(FrontError, match="No VCL named"):
            shop.label("shop", second)
        assert ask(shop.address, HOST).text == "v1 0"


def test_what_is_on_trial_is_for_gitship_alone_and_what_it_leaves_in_the_cache_is_there_after_the_switch(
    shop: Front,
) -> None:
    path = "/?cache-control=public,max-age=60"
    with Origin("v1") as one, Origin("v2") as two:
        first = switch(shop, app("shop", one))
        second = shop.load(app("shop", two, release="v2"))
        with shop.trial(second) as headers:
            assert ask(shop.address, HOST, path, headers=headers).text == "v2 0"
            assert ask(shop.address, HOST, path).text == "v1 0"
            assert ask(shop.address, HOST, path, headers={"X-Gitship-Trial": "0" * 32}).text == "v1 0"
            assert not [h for h in two.seen[-1].headers if h.startswith("x-gitship")]
            assert shop.apps() == {"shop": first}
            shop.reload([app("shop", one)], {HOST: "shop", "b.localhost": "shop"})
            assert ask(shop.address, HOST, path, headers=headers).text == "v2 0"
        assert ask(shop.address, HOST, path, headers=headers).status == 503
        shop.label("shop", second)
        answer = ask(shop.address, HOST, path)
        assert (answer.text, answer.headers["x-cache"], two.count("/")) == ("v2 0", "hit", 1)


def test_a_trial_that_a_killed_gitship_left_is_over(shop: Front, base: Path) -> None:
    with Origin("v1") as one, Origin("v2") as two:
        first = switch(shop, app("shop", one))
        second = shop.load(app("shop", two, release="v2"))
        shop._trial.lead_to(second)
        shop.close()
        other = Front(LOOPBACK, base / "varnish", MEMORY_BYTES)
        other.ensure_running()
        other.reload([app("shop", one)], {HOST: "shop"})
        assert other.busy(second) == 0
        assert {v.name for v in other._control.loaded() if v.name.startswith("app_")} == {first}
        other.stop()
        other.ensure_running()
        assert ask(other.address, HOST).text == "v1 0"


def test_an_app_that_does_not_hang_up_holds_nothing_up(shop: Front) -> None:
    """Before Varnish unloads a VCL, it half closes its idle connections and waits for the app to close them too."""
    with socket.create_server(("127.0.0.1", 0)) as listener, Origin("v2") as two, ThreadPoolExecutor(1) as pool:
        one = Origin("v1", port=listener.getsockname()[1])
        old = switch(shop, app("shop", one))
        answer = pool.submit(ask, shop.address, HOST)
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nv1")
            assert answer.result(TIMEOUT_S).text == "v1"
            switch(shop, app("shop", two, release="v2"))
            shop.discard(old)
            shop.apps()  # after the idle time-out of 1 s; by default it is 60 s, longer than gitship waits


def test_what_serves_cannot_be_discarded(shop: Front) -> None:
    with Origin("v1") as one:
        name = switch(shop, app("shop", one))
        shop.discard(name)
        assert ask(shop.address, HOST).text == "v1 0"


def test_discarding_twice_is_quiet(shop: Front) -> None:
    with Origin("v1") as one:
        name = shop.load(app("shop", one))
        shop.discard(name)
        shop.discard(name)
        assert shop.busy(name) == 0


def test_an_address_that_has_just_refused_is_tried_at_once_for_the_next_release(shop: Front) -> None:
    """Hold-down: by default Varnish avoids it for 0.25 s, and Docker gives it to the next container."""
    with Origin("v1") as one:
        switch(shop, app("shop", one))
    port = one.port
    for n in range(2, 12):
        assert ask(shop.address, HOST, f"/{n}").status == 503  # refused
        with Origin(f"v{n}", port=port) as again:
            switch(shop, app("shop", again, release=f"v{n}"))
            assert ask(shop.address, HOST, f"/{n}").text == f"v{n} 0"


def test_a_release_with_a_probe_serves_from_its_first_request_on(shop: Front) -> None:
    with Origin("v1") as one:
        one.probe_pause_s = 1.0  # whoever waits for the first probe is late
        switch(shop, app("shop", one, probe="/probe"))
        assert "healthy" in shop._control.command("backend.list", "*.b0_*")
        assert [ask(shop.address, HOST, f"/{n}").status for n in range(10)] == [200] * 10


def test_a_container_whose_probe_fails_gets_no_visitors(shop: Front) -> None:
    with Origin("sick") as sick, Origin("well") as well:
        sick.status = 500
        switch(shop, app("shop", sick, well, probe="/health"))
        wait_until(lambda: all(ask(shop.address, HOST, f"/{n}", "POST", body=b"").status == 200 for n in range(8)))


def test_a_vcl_that_does_not_compile_is_refused_with_the_compilers_words(
    shop: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Origin("v1") as one:
        switch(shop, app("shop", one))
        nonsense = "vcl 4.1;\nbackend default none;\nnonsense {}\n"
        monkeypatch.setattr("gitship.front.loaded_vcls.app_vcl", lambda *_: nonsense)
        with pytest.raises(FrontError, match=r"cannot load app_shop_v2_\d+: .*(?s:.*)nonsense"):
            shop.load(app("shop", one, release="v2"))
        assert ask(shop.address, HOST).text == "v1 0"


def test_discarded_releases_leave_nothing_on_disk(shop: Front, base: Path) -> None:
    with Origin("v1") as one:
        workdir = base / "varnish/workdir"
        switch(shop, app("shop", one))
        before = {p.name for p in workdir.iterdir()}
        for n in range(3):
            old = shop.labelled("shop")
            assert old is not None
            switch(shop, app("shop", one, release=f"v{n}"))
            _until(shop, old, 0)
            shop.discard(old)
        assert len({p.name for p in workdir.iterdir()}) == len(before)
