"""Which refs a push may touch: the policy alone; whole pushes stand in the end-to-end tests."""

from __future__ import annotations

import pytest

from gitship.deploy.push import deploy_branch, refusal, unstorable
from gitship.git.refs import RefUpdate
from gitship.model import App

pytestmark = pytest.mark.unit

NEW = "1" * 40
APP = App(1, "shop", 0.0)


def update(ref: str, new: str | None = NEW) -> RefUpdate:
    return RefUpdate(ref, None, new)


@pytest.mark.parametrize(
    ("pushed", "branch"), [(["main"], "main"), (["master"], "master"), (["master", "main"], "main"), (["x"], "main")]
)
def test_the_first_push_decides_between_main_and_master(pushed: list[str], branch: str) -> None:
    assert deploy_branch(APP, [update(f"refs/heads/{b}") for b in pushed]) == branch


def test_afterwards_the_branch_stays() -> None:
    app = App(1, "shop", 0.0, deploy_branch="master")
    assert deploy_branch(app, [update("refs/heads/main")]) == "master"


def test_the_deploy_branch_may_be_pushed_and_nothing_else() -> None:
    assert refusal(update("refs/heads/main"), "main", True) == ""
    assert "HEAD:main" in refusal(update("refs/heads/feature"), "main", False)
    assert "apps:destroy" in refusal(update("refs/heads/main", None), "main", False)


def test_a_tag_goes_with_a_deploy_and_never_alone() -> None:
    assert refusal(update("refs/tags/v1"), "main", True) == ""
    assert "v1^{}:main" in refusal(update("refs/tags/v1"), "main", False)


def test_any_ref_but_the_deploy_branch_may_be_stored_only() -> None:
    assert "no-deploy" in refusal(update("refs/heads/feature"), "main", False)
    for ref, new in (("refs/heads/feature", NEW), ("refs/heads/feature", None), ("refs/tags/v1", NEW)):
        assert unstorable(update(ref, new), "main") == ""
    assert "moves only with its deploy" in unstorable(update("refs/heads/main"), "main")
    assert "moves only with its deploy" in unstorable(update("refs/heads/main", None), "main")
