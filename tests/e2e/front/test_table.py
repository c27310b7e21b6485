"""Which host leads where."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from gitship.front.app_vcl import TRIAL_LABEL
from gitship.front.front import Front
from tests.e2e.front.asking import TIMEOUT_S, app, ask
from tests.e2e.front.conftest import switch
from tests.e2e.front.origin import Origin

pytestmark = pytest.mark.e2e


def _top(front: Front) -> str:
    return next(v.name for v in front._control.loaded() if v.active)


def test_each_of_a_thousand_hosts_leads_to_its_app(front: Front) -> None:
    table = {f"host-{n}.example.com": f"app-{n % 7}" for n in range(1000)}
    front.set_hosts(table)
    for host, slug in table.items():
        assert f"{slug} is not running yet" in ask(front.address, host).text
    assert ask(front.address, "host-1000.example.com").status == 404


def test_a_wildcard_leads_one_more_label_to_its_app_and_names_by_themselves_come_first(front: Front) -> None:
    with Origin("wild") as wild, Origin("exact") as exact, Origin("deep") as deep:
        table = {"*.example.com": "wild", "www.example.com": "exact", "*.a.example.com": "deep"}
        front.set_hosts(table)
        for slug, origin in (("wild", wild), ("exact", exact), ("deep", deep)):
            switch(front, app(slug, origin))
        for host, answers in (("x.example.com", "wild"), ("www.example.com", "exact"), ("b.a.EXAMPLE.com:80", "deep")):
            assert ask(front.address, host).text == f"{answers} 0"
        for host in ("example.com", "c.b.a.example.com", ".example.com", "com"):
            assert ask(front.address, host).status == 404
        before = _top(front)
        front.set_hosts(table)
        assert _top(front) == before, "the table is read back with its wildcards"


def test_the_table_is_compiled_only_when_it_changes(front: Front) -> None:
    front.set_hosts({"a.localhost": "a", "b.localhost": "b"})
    before = _top(front)
    with Origin("v1") as origin:
        switch(front, app("a", origin))
        front.set_hosts({"b.localhost": "b", "a.localhost": "a"})
        assert _top(front) == before
    front.set_hosts({"b.localhost": "b"})
    assert _top(front) != before
    assert len([v for v in front._control.loaded() if v.name.startswith("top_") and not v.discarded]) == 1


def test_a_table_that_was_there_before_does_no_harm_while_the_first_one_is_still_in_use(front: Front) -> None:
    """One file for both makes Varnish's worker panic; idle workers hold the table of their last request."""
    tables = [{"a.localhost": "a", "b.localhost": "b"}, {"b.localhost": "b"}]
    with ThreadPoolExecutor(8) as pool:
        for table in tables * 3:
            front.set_hosts(table)
            list(pool.map(lambda _: ask(front.address, "b.localhost"), range(40)))
    assert "Child has not panicked" in front._control.ask("panic.show").text
    assert ask(front.address, "a.localhost").status == 404


def test_a_host_that_is_taken_out_gets_the_404_page_and_its_app_is_still_there(front: Front) -> None:
    with Origin("v1") as origin:
        front.set_hosts({"a.localhost": "a", "b.localhost": "a"})
        switch(front, app("a", origin))
        assert ask(front.address, "b.localhost").text == "v1 0"
        front.set_hosts({"a.localhost": "a"})
        assert ask(front.address, "b.localhost").status == 404
        assert ask(front.address, "a.localhost").text == "v1 0"


def test_a_removed_app_is_gone_from_varnish_and_from_the_disk(front: Front, base: Path) -> None:
    with Origin("v1") as origin:
        front.set_hosts({"a.localhost": "a", "b.localhost": "b"})
        name = switch(front, app("a", origin))
        switch(front, app("b", origin))
        front.remove("a")
        front.remove("a")
        assert ask(front.address, "a.localhost").status == 404
        assert ask(front.address, "b.localhost").text == "v1 0"
        assert set(front.apps()) == {"b"}
        assert name not in [v.name for v in front._control.loaded() if not v.discarded]
        assert name not in (base / "varnish/boot.cli").read_text()


def test_an_app_can_go_while_a_request_still_holds_the_old_table(front: Front, base: Path) -> None:
    """Varnish writes into each label that a table named when it lets go of the table, even if the label is freed."""
    gone = [f"gone-{n}" for n in range(20)]
    with Origin("v1", address="0.0.0.0") as origin, ThreadPoolExecutor(1) as pool:
        front.set_hosts({"stays.localhost": "stays", **{f"{slug}.localhost": slug for slug in gone}})
        switch(front, app("stays", replace(origin, address="127.0.0.1")))
        worker = front._control.command("pid")
        slow = pool.submit(ask, front.address, "stays.localhost", "/wait")
        assert origin.arrived.wait(TIMEOUT_S)
        front.set_hosts({"stays.localhost": "stays"})
        for slug in gone:
            front.remove(slug)
        assert "gone-" not in (base / "varnish/boot.cli").read_text()
        # several connection pools per VCL take the place of what was freed
        pools = [[replace(origin, address=f"127.0.{n}.{i}") for i in range(1, 4)] for n in range(15)]
        new = [front.load(app("new", *three)) for three in pools]
        origin.go_on.set()
        assert slow.result(TIMEOUT_S).status == 200
        deadline = time.monotonic() + TIMEOUT_S
        while any(v.discarded for v in front._control.loaded()):  # until the idle worker thread has another request
            assert time.monotonic() < deadline
            ask(front.address, "stays.localhost")
        for name in new:
            front.discard(name)
        front.remove(gone[0])
        labels = [v.name for v in front._control.loaded() if v.target and v.name != TRIAL_LABEL]
        assert sorted(labels) == ["challenges", "z_stays"]
        assert front._control.command("pid") == worker


def test_apps_come_and_go_while_visitors_are_there(front: Front) -> None:
    """Labels and tables are discarded under requests that have just read them."""
    with Origin("v1") as origin, ThreadPoolExecutor(4) as pool:
        front.set_hosts({"stays.localhost": "stays"})
        switch(front, app("stays", origin))
        over = threading.Event()

        def visit(host: str) -> set[int]:
            seen = set()
            while not over.is_set():
                seen.add(ask(front.address, host).status)
            return seen

        staying = [pool.submit(visit, "stays.localhost") for _ in range(2)]
        coming = [pool.submit(visit, "comes.localhost") for _ in range(2)]
        for _ in range(15):
            front.set_hosts({"stays.localhost": "stays", "comes.localhost": "comes"})
            switch(front, app("comes", origin))
            front.remove("comes")
        over.set()
        assert [s.result(30) for s in staying] == [{200}] * 2
        assert all(s.result(30) <= {200, 404, 503} for s in coming)
        assert front._control.ask("panic.show").text == "Child has not panicked or panic has been cleared"
