"""Which builds share layers with those of other apps."""

from __future__ import annotations

import pytest

from gitship.appfiles.gitship_toml import BuildTable
from gitship.deploy.build_cache import shares_layers

PLAIN = b"FROM debian\nARG X\nRUN apt-get install -y x\nCOPY . .\n"


@pytest.mark.parametrize(
    "dockerfile",
    [
        PLAIN,
        b"# syntax=docker/dockerfile:1\n" + PLAIN,
        b"# syntax = docker.io/docker/dockerfile:1.7-labs\r\n" + PLAIN,
        b"#syntax=docker/dockerfile@sha256:" + b"a" * 64 + b"\n" + PLAIN,
    ],
)
def test_what_the_dockerfile_and_its_files_alone_decide_is_shared(dockerfile: bytes) -> None:
    assert shares_layers(dockerfile, BuildTable(args={"NODE_ENV": "production", "BUILDKIT_SANDBOX_HOSTNAME": "x"}))


@pytest.mark.parametrize(
    "dockerfile",
    [
        None,  # a link, or not there
        b"FROM a\nRUN --mount=type=cache,id=x,target=/x make\n",
        b"FROM a\nRUN --network=none \\\n  --mount=type=secret,id=x make\n",
        b"# syntax=evil/frontend\nFROM a\n",
        b"# syntax=docker/dockerfile-evil\nFROM a\n",
        b"# syntax=docker/dockerfile:1 evil\nFROM a\n",
        b"# syntax=docker/dockerfile.evil.example/x\nFROM a\n",
        b"// Syntax=evil/frontend\nFROM a\n",
        b"#!/x\n# SYNTAX = evil/frontend\nFROM a\n",
        b"# syntax=docker/dockerfile:1\n# syntax=evil/frontend\nFROM a\n",
        b'\xef\xbb\xbf {"\\u0073yntax": "evil/frontend"}\n',
    ],
)
def test_what_something_else_may_decide_is_the_apps_own(dockerfile: bytes | None) -> None:
    assert not shares_layers(dockerfile, BuildTable())


@pytest.mark.parametrize(
    "build",
    [
        BuildTable(secrets={"token": "TOKEN"}, values={"token": "x"}),
        BuildTable(args={"http_proxy": "http://proxy"}),
        BuildTable(args={"Https_Proxy": "http://proxy"}),
        BuildTable(args={"BUILDKIT_SYNTAX": "docker/dockerfile:1"}),
    ],
)
def test_secrets_and_what_no_builder_has_in_its_key_make_it_the_apps_own(build: BuildTable) -> None:
    assert not shares_layers(PLAIN, build)
