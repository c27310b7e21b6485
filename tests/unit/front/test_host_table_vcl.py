"""The table of hosts as text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitship.front.canary_vcl import CanaryShare
from gitship.front.host_table_vcl import LEAF_HOSTS, canaries_of, hosts_of, top_vcl
from tests.unit.front.golden import check

NAME = st.text("ab0-.", min_size=1, max_size=6).filter(lambda text: text[0] not in "-.")
HOST = NAME | NAME.map("*.{}".format)
SLUG = st.text("ab0_-", min_size=1, max_size=4)


def test_no_hosts() -> None:
    check("top-0.vcl", top_vcl({}))


def test_a_few_hosts() -> None:
    check("top-3.vcl", top_vcl({"shop.example.com": "shop", "a.localhost": "a", "my.app.localhost": "my_app"}))


def test_more_hosts_than_one_leaf_holds() -> None:
    check("top-11.vcl", top_vcl({f"h{n:02}.localhost": f"app-{n % 3}" for n in range(11)}))


def test_wildcards_come_after_the_names_themselves() -> None:
    check("top-wild.vcl", top_vcl({"*.example.com": "wild", "shop.example.com": "shop", "*.example.net": "wild"}))


def test_who_knows_the_token_gets_to_what_is_on_trial() -> None:
    check("top-trial.vcl", top_vcl({"a.localhost": "a"}, "0123456789abcdef" * 2))
    for token in ("", "short", '0" || "1' * 6):
        with pytest.raises(ValueError, match="not a token"):
            top_vcl({}, token)


def test_no_vmod_is_called_for_each_host() -> None:
    """1,000 calls in one sub took 95 KB of a thread's 80 KB stack, and the worker died of it."""
    few, many = (top_vcl({f"h{n}.example.com": "a" for n in range(count)}) for count in (3, 1000))
    assert few.count("std.") == many.count("std.")


def test_a_thousand_hosts_are_nowhere_deeper_than_the_logarithm() -> None:
    text = top_vcl({f"host-{n}.example.com": "app" for n in range(1000)})
    depth = max(len(line) - len(line.lstrip()) for line in text.splitlines() if "return (vcl(" in line) // 4
    assert depth <= 9  # 1000 / 4 hosts in a leaf, halved 8 times, and one for the sub itself


@given(st.dictionaries(HOST, SLUG, max_size=60))
def test_the_table_can_be_read_back(hosts: dict[str, str]) -> None:
    assert hosts_of(top_vcl(hosts)) == hosts


@given(st.dictionaries(HOST, SLUG, max_size=60), HOST)
def test_the_tree_leads_each_host_to_its_app_and_no_other(hosts: dict[str, str], other: str) -> None:
    lines = top_vcl(hosts).splitlines()
    for host in [name for name in [*hosts, other] if not name.startswith("*")]:
        parent = "*." + host.partition(".")[2] if "." in host else "*"
        assert _walk(lines, host) == hosts.get(host, hosts.get(parent))


def _walk(lines: list[str], host: str) -> str | None:
    """Runs the trees as Varnish does: an if, its else, and leaves of equality."""
    skip_until: str | None = None
    leaves = 0
    name = host
    for line in lines:
        if skip_until is not None:
            if line == skip_until or line == skip_until.removesuffix(" else {"):
                skip_until = None
            continue
        indent = line[: len(line) - len(line.lstrip())]
        if "set req.http.x-gitship-parent" in line:
            assert leaves <= LEAF_HOSTS
            name, leaves = re.sub("^[^.]+", "*", host), 0
        elif found := re.search(r' < "([^"]+)"', line):
            if not name < found[1]:
                skip_until = f"{indent}}} else {{"
        elif line.strip() == "} else {":
            skip_until = f"{indent}}}"
        elif found := re.search(r' == "([^"]+)"\) \{ return \(vcl\(z_([^)]+)\)\)', line):
            leaves += 1
            if name == found[1]:
                return found[2]
    assert leaves <= LEAF_HOSTS
    return None


@pytest.mark.parametrize(
    "host", ["", "*", "*.", "a.*.b", "**.a", "A.example", 'a" || true', "a b", "a:80", "-a", "a\n"]
)
def test_what_cannot_be_a_host_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="not a host name"):
        top_vcl({host: "app"})


def test_a_canary_is_asked_about_before_the_apps_own_label() -> None:
    hosts = {"shop.localhost": "shop", "*.example.com": "shop", "blog.localhost": "blog"}
    text = top_vcl(hosts, shares={"shop": CanaryShare("12", 5), "gone": CanaryShare("13", 50)})
    check("top-canary.vcl", text)
    assert hosts_of(text) == hosts
    assert canaries_of(text) == {"shop"}, "an app without a host has no canary"
    assert canaries_of(top_vcl(hosts)) == set()


@pytest.mark.parametrize(("mark", "percent"), [("12", 0), ("12", 100), ('1"', 5), ("", 5), ("x", 5)])
def test_a_share_that_cannot_be_one_is_refused(mark: str, percent: float) -> None:
    with pytest.raises(ValueError, match="not a canary's share"):
        CanaryShare(mark, percent)
