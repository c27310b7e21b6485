"""What a rename that was killed half-way leaves, and how the next start settles it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitship.appsettings import RENAMING
from gitship.config import Settings
from gitship.deploy.rename import AppRename
from gitship.errors import Conflict
from gitship.front.front import Front
from gitship.git.repository import Repositories
from gitship.model import GITSHIP, DeployKind
from gitship.routing.switch import hosts
from gitship.store import Store


class Bench:
    def __init__(self, directory: Path) -> None:
        self.settings = Settings(data_dir=directory, domain="example.com")
        self.store = Store(self.settings.database)
        self.repositories = Repositories(self.settings.repositories, None)
        front = Front(self.settings.http.listen, self.settings.varnish_dir, self.settings.varnish.cache_bytes)
        self.renaming = AppRename(self.settings, self.store, front, self.repositories)
        self.app = self.store.create_app("old")
        self.repositories.create("old")

    def names(self) -> tuple[str, list[str]]:
        """What the store and the repositories call the app."""
        return self.store.app_by_id(self.app.id).name, [p.name for p in self.settings.repositories.glob("*.git")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.store.close()


def test_while_it_goes_on_both_hosts_lead_somewhere_and_the_name_is_taken(bench: Bench) -> None:
    assert bench.renaming.begin(bench.app, "new").slug == "new"
    assert hosts(bench.store, "example.com") == {"old.example.com": "old", "new.example.com": "new"}
    with pytest.raises(Conflict, match="old is being renamed to new"):
        bench.renaming.ensure_free("new")


def test_a_commit_renames_store_and_repository(bench: Bench) -> None:
    bench.renaming.begin(bench.app, "new")
    with bench.store.transaction():
        bench.renaming.commit(bench.app, "new")
    assert bench.names() == ("new", ["new.git"])
    bench.renaming.settle()
    assert bench.names() == ("new", ["new.git"])
    assert hosts(bench.store, "example.com") == {"new.example.com": "new"}


def test_a_name_that_was_lost_meanwhile_ends_the_rename(bench: Bench) -> None:
    """As it could be with a domain from before names directly below the server's belonged to apps."""
    bench.renaming.begin(bench.app, "new")
    other = bench.store.create_app("other")
    bench.store.add_domain(other.id, "new.example.com")
    with pytest.raises(Conflict, match=r"another app has the domain new\.example\.com"), bench.store.transaction():
        bench.renaming.commit(bench.app, "new")
    assert bench.names() == ("old", ["old.git"])
    bench.renaming.settle()
    bench.store.remove_domain(other.id, "new.example.com")
    bench.renaming.begin(bench.app, "new")
    bench.store.set_setting(bench.app.id, RENAMING, "newer")
    with pytest.raises(Conflict, match="is no longer being renamed to new"):
        bench.renaming.ensure_begun(bench.app, "new")
    assert bench.names() == ("old", ["old.git"])


def test_an_app_takes_a_name_that_is_its_own_domain_from_before(bench: Bench) -> None:
    bench.store.add_domain(bench.app.id, "new.example.com")
    bench.renaming.begin(bench.app, "new")
    with bench.store.transaction():
        bench.renaming.commit(bench.app, "new")
    assert (bench.names()[0], bench.store.domains()) == ("new", [])


def test_an_apps_own_name_leads_to_it_even_if_it_is_somebodys_domain(bench: Bench) -> None:
    other = bench.store.create_app("other")
    bench.store.add_domain(other.id, "old.example.com")
    bench.store.add_domain(other.id, "free.example.com")  # from before, and no app has that name
    assert hosts(bench.store, "example.com") == {
        "old.example.com": "old", "other.example.com": "other", "free.example.com": "other",
    }  # fmt: skip


def test_killed_before_the_repository_moved(bench: Bench) -> None:
    bench.renaming.begin(bench.app, "new")
    bench.renaming.settle()
    assert bench.names() == ("old", ["old.git"])
    assert bench.store.setting(bench.app.id, RENAMING) is None


def test_killed_between_the_repository_s_move_and_the_store_s_commit(bench: Bench) -> None:
    class Killed(Exception):
        pass

    bench.renaming.begin(bench.app, "new")
    with pytest.raises(Killed), bench.store.transaction():
        bench.renaming.commit(bench.app, "new")
        raise Killed
    assert bench.names() == ("old", ["new.git"])
    bench.renaming.settle()
    assert bench.names() == ("old", ["old.git"])
    assert bench.store.setting(bench.app.id, RENAMING) is None


def test_an_app_whose_first_deploy_has_just_begun_keeps_its_name(bench: Bench) -> None:
    """The deploy would go on under the old name, and by then that may be another app's."""
    bench.store.create_deploy(bench.app.id, DeployKind.PUSH, "ada")
    with pytest.raises(Conflict, match="the first deploy of old is in progress"):
        bench.renaming.at_once(bench.app, "new", GITSHIP)
    assert bench.names() == ("old", ["old.git"])
