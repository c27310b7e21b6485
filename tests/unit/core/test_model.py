from __future__ import annotations

import pytest

from gitship.errors import GitshipError
from gitship.model import Deploy, DeployKind, DeployState, Role, app_name


@pytest.mark.parametrize("name", ["a", "shop", "my-app", "api.v2", "0", "x" * 63])
def test_valid_app_names(name: str) -> None:
    assert app_name(name) == name


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("TestApp", "'testapp'"), ("a/b", "'a-b'"), ("a;id", "'a-id'"), ("a:latest", "'a-latest'"),
        ("x" * 64, "x" * 63), ("-a", "'a'"), ("../etc", "'etc'"), ("", "lower-case"), ("a\n", "'a'"),
    ],
)  # fmt: skip
def test_bad_app_names_are_told_a_good_one(name: str, near: str) -> None:
    with pytest.raises(GitshipError) as caught:
        app_name(name)
    assert near in caught.value.hint


@pytest.mark.parametrize(("finished_at", "seconds"), [(None, 7.0), (1004.0, 4.0), (900.0, 0.0)])
def test_no_deploy_has_lasted_less_than_nothing(finished_at: float | None, seconds: float) -> None:
    deploy = Deploy(1, 1, DeployKind.PUSH, DeployState.LIVE, "ada", 1000.0, finished_at=finished_at)
    assert deploy.lasted_s(1007.0) == seconds


def test_roles_include_the_lower_ones() -> None:
    assert Role.ADMIN.allows(Role.VIEWER)
    assert Role.DEPLOYER.allows(Role.DEPLOYER)
    assert not Role.VIEWER.allows(Role.DEPLOYER)


def test_only_live_and_draining_have_switched() -> None:
    assert [s for s in DeployState if s.switched] == [DeployState.DRAINING, DeployState.LIVE]
