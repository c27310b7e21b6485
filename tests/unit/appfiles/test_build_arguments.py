"""Build arguments by which an app would reach beyond its own image, wherever they come from."""

from __future__ import annotations

import pytest

from gitship.appfiles import build_arguments, gitship_toml, overrides
from gitship.appfiles.gitship_toml import BuildTable
from gitship.appfiles.manifest import Manifest
from gitship.errors import ConfigError, GitshipError, UsageError
from gitship.store.settings import AppSettings

REFUSED = [
    "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", "experimental_x", "BUILDX_GIT_INFO", "BUILDKIT_CACHE_MOUNT_NS",
    "BUILDKIT_ATTEST_SBOM", "BUILDKIT_DISABLE_FILEOP", "buildkit_syntax", "BUILDKIT_TOMORROW",
]  # fmt: skip
ALLOWED = ["NODE_ENV", "HTTP_PROXY", "no_proxy", "SOURCE_DATE_EPOCH", "BUILDKIT_SYNTAX", "MY_BUILDKIT_X", "TARGETARCH"]


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_the_file_at_the_command_and_when_it_was_set_by_an_earlier_gitship(name: str) -> None:
    with pytest.raises(UsageError, match=name):
        build_arguments.ensure_allowed(name)
    with pytest.raises(ConfigError, match=rf"build\.args\.{name}"):
        gitship_toml.parse(f'[build.args]\n{name} = "/etc/shadow"\n'.encode())
    for stored in ({f"build.arg.{name}": "/etc/shadow"}, {f"build.arg-from-config.{name}": True}):
        with pytest.raises(GitshipError, match=name):
            overrides.building(Manifest(), overrides.parse(AppSettings(1, {}).changed(stored)), {name: "x"})
    with pytest.raises(GitshipError, match=name):
        overrides.building(Manifest(build=BuildTable(args={name: "x"})), overrides.Overrides(), {})


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed(name: str) -> None:
    build_arguments.ensure_allowed(name)
    assert gitship_toml.parse(f'[build.args]\n{name} = "x"\n'.encode()).build.args == {name: "x"}


def test_proxies_are_told_in_every_case_of_letters() -> None:
    assert all(map(build_arguments.is_proxy, ("HTTP_PROXY", "https_proxy", "No_Proxy", "ALL_PROXY", "ftp_proxy")))
    assert not any(map(build_arguments.is_proxy, ("PROXY", "HTTP_PROXY_", "X_HTTP_PROXY")))
