"""The parameters of a build request."""

from __future__ import annotations

import json

from gitship.engine.build_api import query
from gitship.engine.types import CACHE_NAMESPACE, BuildOptions


def test_a_build_asks_for_buildkit_with_all_its_options() -> None:
    options = BuildOptions(
        tag="shop:1",
        dockerfile="deploy/Dockerfile",
        target="web",
        build_args={"A": "b c"},
        labels={"gitship.app": "shop"},
        no_cache=True,
        network="none",
    )
    asked = query(options, "buildkit", "id1")
    assert json.loads(asked.pop("labels")) == {"gitship.app": "shop"}
    assert json.loads(asked.pop("buildargs")) == {"A": "b c"}
    assert asked == {
        "version": "2", "t": "shop:1", "dockerfile": "deploy/Dockerfile", "target": "web", "nocache": "1",
        "networkmode": "none",
        "buildid": "id1", "rm": "1", "forcerm": "1",
    }  # fmt: skip


def test_no_argument_of_the_apps_chooses_whose_cache_its_build_mounts() -> None:
    options = BuildOptions("shop:1", build_args={CACHE_NAMESPACE: "theirs", "A": "b"}, cache="mine")
    assert json.loads(query(options, "buildkit", "id1")["buildargs"]) == {CACHE_NAMESPACE: "mine", "A": "b"}


def test_a_build_that_shares_no_layers_has_a_host_of_its_own() -> None:
    options = BuildOptions("shop:1", layers="word")
    assert query(options, "buildkit", "id1")["extrahosts"] == "word.invalid:192.0.2.1"
    assert "extrahosts" not in query(BuildOptions("shop:1"), "buildkit", "id1")


def test_the_classic_builder_is_asked_for_by_leaving_the_version_out() -> None:
    asked = query(BuildOptions("shop:1"), "classic", "id1")
    assert not {"version", "target", "nocache", "networkmode"} & set(asked)


def test_only_the_classic_builder_is_asked_to_limit_one_build() -> None:
    options = BuildOptions("shop:1", memory_bytes=64 << 20, cpus=0.5)
    asked = query(options, "classic", "id1")
    assert (asked["memory"], asked["memswap"]) == (str(64 << 20), str(64 << 20))
    assert (asked["cpuperiod"], asked["cpuquota"]) == ("100000", "50000")
    assert not {"memory", "memswap", "cpuquota"} & set(query(options, "buildkit", "id1"))
