"""Varnish is brought to a given state, whatever it had before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gitship.errors import FrontError
from gitship.front import app_vcl as vcl
from gitship.front import host_table_vcl, vcl_labels
from gitship.front.app_vcl import AppFront, app_vcl
from gitship.front.front import Front
from tests.e2e.front.asking import app, ask
from tests.e2e.front.conftest import LOOPBACK, MEMORY_BYTES, switch
from tests.e2e.front.origin import Origin
from tests.waiting import wait_until

pytestmark = pytest.mark.e2e

TABLE = {"a.localhost": "a", "b.localhost": "b"}


def _ours(front: Front) -> set[str]:
    return {v.name for v in front._control.loaded() if v.name.startswith(("app_", "top_", "z_")) and not v.discarded}


def test_everything_is_there_after_varnish_has_lost_it(front: Front, base: Path) -> None:
    with Origin("v1") as one, Origin("v2") as two:
        apps = [app("a", one), app("b", two, release="v2")]
        front.reload(apps, TABLE)
        assert ask(front.address, "a.localhost").text == "v1 0"
        assert ask(front.address, "b.localhost").text == "v2 0"
        front.stop()
        (base / "varnish/boot.cli").unlink()
        front.ensure_running()
        assert ask(front.address, "a.localhost").status == 404
        front.reload(apps, TABLE)
        assert ask(front.address, "a.localhost").text == "v1 0"
        assert ask(front.address, "b.localhost").text == "v2 0"


def test_what_is_right_already_is_not_touched(front: Front) -> None:
    with Origin("v1") as one, Origin("v2") as two:
        apps = [app("a", one), app("b", two)]
        front.reload(apps, TABLE)
        before = _ours(front)
        front.reload([replace(a, verify_token="another-token-of-another-start") for a in apps], TABLE)
        assert _ours(front) == before


def test_labels_of_an_earlier_gitship_are_led_on_without_compiling_anew(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Origin("v1") as one, Origin("v2") as two, monkeypatch.context() as earlier:
        for module in (vcl, host_table_vcl, vcl_labels):
            earlier.setattr(module, "LABEL_PREFIX", vcl.FORMER_PREFIX)
        apps = [app("a", one), app("b", one)]
        front.reload(apps, TABLE)
        before = front.apps()
        earlier.undo()
        front.reload(apps, TABLE)
        assert front.apps() == before
        switch(front, app("b", two, release="v2"))
        assert ask(front.address, "a.localhost").text == "v1 0"
        assert ask(front.address, "b.localhost").text == "v2 0"

        def let_go() -> bool:
            ask(front.address, "a.localhost")  # an idle thread holds the former table until its next request
            return not any(v.discarded for v in front._control.loaded())

        wait_until(let_go, 20, "the former table is let go")
        front.reload([app("a", one), app("b", two, release="v2")], TABLE)
        assert {v.name for v in front._control.loaded() if v.name.startswith(vcl.FORMER_PREFIX)} == set()
        assert len([name for name in _ours(front) if name.startswith("app_")]) == 2


def test_only_the_app_that_differs_is_switched(front: Front) -> None:
    with Origin("v1") as one, Origin("v2") as two:
        front.reload([app("a", one), app("b", one)], TABLE)
        before = front.apps()
        front.reload([app("a", one), app("b", two)], TABLE)
        assert front.apps()["a"] == before["a"]
        assert front.apps()["b"] != before["b"]
        assert ask(front.address, "b.localhost").text == "v2 0"
        assert before["b"] not in _ours(front)


def test_what_an_earlier_gitship_left_behind_is_discarded(front: Front, base: Path) -> None:
    with Origin("v1") as one:
        apps = [app("a", one), app("b", one)]
        front.reload(apps, TABLE)
        left = front.load(app("a", one, release="v2"))  # and then it was killed
        front.reload(apps, TABLE)
        assert left in _ours(front)  # this gitship may be about to switch to it
        later = Front(LOOPBACK, base / "varnish", MEMORY_BYTES)
        later.reload(apps, TABLE)
        assert left not in _ours(later)
        later.close()


def test_an_app_that_is_no_longer_wanted_goes(front: Front) -> None:
    with Origin("v1") as one:
        front.reload([app("a", one), app("b", one)], TABLE)
        front.reload([app("a", one)], {"a.localhost": "a"})
        assert set(front.apps()) == {"a"}
        assert len(_ours(front)) == 3
        assert ask(front.address, "b.localhost").status == 404


def test_an_app_without_a_release_gets_its_page(front: Front) -> None:
    with Origin("v1") as one:
        front.reload([app("a", one), app("b")], TABLE)
        before = front.apps()
        assert ask(front.address, "b.localhost").status == 503
        front.reload([app("a", one)], TABLE)
        assert front.apps() == before


def test_one_app_that_cannot_be_loaded_does_not_keep_the_others_out(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(wanted: AppFront, name: str, largest: int) -> str:
        return "nonsense" if wanted.app == "a" else app_vcl(wanted, name, largest)

    monkeypatch.setattr("gitship.front.loaded_vcls.app_vcl", broken)
    with Origin("v1") as one:
        with pytest.raises(FrontError, match="cannot load app_a_v1"):
            front.reload([app("a", one), app("b", one)], {"b.localhost": "b"})
        assert ask(front.address, "b.localhost").text == "v1 0"


def test_what_was_reloaded_is_what_the_next_varnishd_starts_with(front: Front) -> None:
    with Origin("v1") as one:
        front.reload([app("a", one), app("b", one)], TABLE)
        before = front.apps()
        front.stop()
        front.ensure_running()
        assert front.apps() == before
        assert ask(front.address, "b.localhost").text == "v1 0"
