"""Which refs a push may touch: the policy alone; whole pushes stand in the end-to-end tests."""

from __future__ import annotations

import pytest

from gitship.appfiles.canary_rules import CanaryPlan
from gitship.git.refs import RefUpdate
from gitship.model import App
from gitship.operations.push import canary_of, deploy_branch, option_error, refusal, unstorable

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
    assert "HEAD:refs/heads/main;" in refusal(update("refs/heads/feature"), "main", False)
    assert "apps:destroy" in refusal(update("refs/heads/main", None), "main", False)


def test_a_tag_goes_with_a_deploy_and_never_alone() -> None:
    assert refusal(update("refs/tags/v1"), "main", True) == ""
    assert refusal(update("refs/tags/v1"), "main", False).endswith("git push deploy v1^{}:refs/heads/main")


@pytest.mark.parametrize("ref", ["refs/heads/feature", "refs/tags/feature"])
def test_who_would_remove_a_stored_ref_is_told_how_and_not_how_to_deploy_it(ref: str) -> None:
    told = refusal(update(ref, None), "main", False)
    assert told.endswith("to delete it: git push -o no-deploy deploy --delete feature")
    assert "HEAD" not in told and "^{}" not in told
    assert unstorable(update(ref, None), "main") == ""


def test_any_ref_but_the_deploy_branch_may_be_stored_only() -> None:
    assert "no-deploy" in refusal(update("refs/heads/feature"), "main", False)
    for ref, new in (("refs/heads/feature", NEW), ("refs/heads/feature", None), ("refs/tags/v1", NEW)):
        assert unstorable(update(ref, new), "main") == ""
    assert "moves only with its deploy" in unstorable(update("refs/heads/main"), "main")
    assert "the deploy branch cannot be deleted" in unstorable(update("refs/heads/main", None), "main")


@pytest.mark.parametrize("option", ["detach", "no-cache", "canary=5%", "canary=0.5% for 90s", "canary=off"])
def test_a_known_push_option_is_taken(option: str) -> None:
    assert option_error(option) == ""


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("detatch", "did you mean 'detach'"), ("canary", "did you mean 'canary=5%'"), ("canary=5", "must be a share"),
        ("canary=100%", "must be from"), ("canary=", "must be a share"),
        ("zzz", "known: detach, no-cache, no-deploy, canary=5%"),
    ],
)  # fmt: skip
def test_any_other_is_refused_with_what_it_could_be(option: str, told: str) -> None:
    assert told in option_error(option)


def test_the_last_canary_that_a_push_asks_for_counts() -> None:
    assert canary_of(["detach", "canary=5%", "canary=10% for 60s"]) == CanaryPlan(10, 60)
    assert canary_of(["canary=off"]) is None
