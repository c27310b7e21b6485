"""Logs that were kept by an app's name come to its id: all of its own, none of another's, whenever it is killed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.appsettings import RENAMING
from gitship.logs import directories
from gitship.logs.directories import bring_over, directory
from gitship.model import App, DeployKind
from gitship.store import Store


class Place:
    """``billing`` has the id 2: the first app of that name is gone, and has left its logs."""

    def __init__(self, base: Path) -> None:
        self.logs = base / "logs"
        self.store = Store(base / "gitship.db")
        gone = self.store.create_app("billing")
        before = self.store.create_deploy(gone.id, DeployKind.PUSH, "eve").id
        self.store.delete_app(gone.id)
        self.app = self.store.create_app("billing")
        deploy = self.store.create_deploy(self.app.id, DeployKind.PUSH, "ada").id
        self.own = {
            f"{deploy}.log", "billing.run.3.v2.log", "cron/nightly/billing.run.cron-1.v2.log",
            f"releases/v2.web.1.{self.app.id}-00aa.log.gz",
        }  # fmt: skip
        self.others = {
            f"{before}.log", "billing.run.1.v1.log", "cron/weekly/billing.run.cron-9.v1.log",
            f"releases/v1.web.1.{gone.id}-00bb.log.gz",
        }  # fmt: skip

    def fill(self, name: str) -> None:
        for path in self.own | self.others:
            file = self.logs / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(path)
            if "run" in path and path in self.others:
                os.utime(file, (self.app.created_at - 60,) * 2)

    def files(self, place: Path) -> set[str]:
        return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}

    @property
    def brought(self) -> set[str]:
        return self.files(directory(self.logs, self.app.id))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.store.close()


def test_an_app_gets_its_own_and_nothing_of_an_earlier_one_of_its_name(place: Place) -> None:
    place.fill("billing")
    bring_over(place.logs, place.store)
    assert place.brought == place.own
    assert place.files(place.logs / "billing") == place.others
    bring_over(place.logs, place.store)
    assert place.brought == place.own
    for path in place.others:
        (place.logs / "billing" / path).unlink()
    bring_over(place.logs, place.store)
    assert [path.name for path in place.logs.iterdir()] == [f"app_{place.app.id}"]


@pytest.mark.parametrize("moved", range(5))
def test_killed_after_any_file_the_next_start_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    class Killed(BaseException):
        pass

    rename, left = Path.rename, [moved]

    def counted(self: Path, target: Path) -> Path:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return rename(self, target)

    place.fill("billing")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", counted)
        if moved < len(place.own):
            with pytest.raises(Killed):
                bring_over(place.logs, place.store)
    assert place.brought | place.files(place.logs / "billing") == place.own | place.others
    bring_over(place.logs, place.store)
    assert (place.brought, place.files(place.logs / "billing")) == (place.own, place.others)


def test_what_a_rename_that_was_killed_had_moved_already_is_found(place: Place) -> None:
    place.store.set_setting(place.app.id, RENAMING, "invoices")
    place.fill("invoices")
    bring_over(place.logs, place.store)
    assert place.brought == place.own


def test_an_app_whose_name_is_a_number_is_not_taken_for_an_id(place: Place) -> None:
    named = place.store.create_app(str(place.app.id))
    log = f"{place.store.create_deploy(named.id, DeployKind.PUSH, 'ada').id}.log"
    (place.logs / named.name).mkdir(parents=True)
    (place.logs / named.name / log).write_text("its own")
    bring_over(place.logs, place.store)
    assert (place.files(directory(place.logs, named.id)), place.brought) == ({log}, set())


def test_one_app_whose_logs_cannot_be_moved_holds_up_no_other_and_no_start(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.fill("billing")
    other: App = place.store.create_app("zebra")
    (place.logs / "zebra").mkdir()
    (place.logs / "zebra" / "zebra.run.1.v1.log").write_text("x")
    directory(place.logs, place.app.id).write_text("in the way")
    bring_over(place.logs, place.store)
    assert place.files(directory(place.logs, other.id)) == {"zebra.run.1.v1.log"}
    assert "billing: logs of an earlier version stay where they are" in caplog.text
    assert [app.name if app else None for _, app in directories.all_of(place.logs, place.store)] == ["zebra", "billing"]


def test_an_id_that_is_given_again_after_a_copy_was_brought_back_comes_without_logs(place: Place) -> None:
    later = place.app.id + 1
    directory(place.logs, later).mkdir(parents=True)
    (directory(place.logs, later) / "shop.run.1.v1.log").write_text("of an app that the copy knows nothing of")
    bring_over(place.logs, place.store)
    assert place.store.create_app("shop").id == later
    assert not directory(place.logs, later).exists()
    [aside] = place.logs.iterdir()
    assert aside.name.startswith(f"left_{later}_") and [
        app for _, app in directories.all_of(place.logs, place.store)
    ] == [None]
    bring_over(place.logs, place.store)
    assert list(place.logs.iterdir()) == [aside]


def test_clearing_one_apps_logs_leaves_all_others(place: Place) -> None:
    place.fill("billing")
    bring_over(place.logs, place.store)
    place.fill(f"app_{place.app.id}0")
    directories.clear(place.logs, place.app.id)
    directories.clear(place.logs, place.app.id)
    assert sorted(path.name for path in place.logs.iterdir()) == [f"app_{place.app.id}0", "billing"]


def test_without_logs_there_is_nothing_to_do(place: Place) -> None:
    bring_over(place.logs, place.store)
    assert not place.logs.exists()
