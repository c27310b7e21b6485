"""Generates the top VCL: host name -> app's label, as a balanced tree.

A chain of ifs cost the last of 1000 hosts 26 us per request; the tree does not. It is the only place where the table of
hosts is kept, so it can be read back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from gitship.front import canary_vcl
from gitship.front.app_vcl import FORMER_PREFIX, LABEL_PREFIX, TRIAL_LABEL
from gitship.front.canary_vcl import CANARY_PREFIX, CanaryShare
from gitship.front.templates import REQUEST_ID, fill, page, template

TOP_PREFIX = "top_"
LEAF_HOSTS = 4
TRIAL_HEADER = "x-gitship-trial"

_HOST = re.compile(r"(?:\*\.)?[a-z0-9][a-z0-9.-]{0,252}")
_EXACT, _PARENT = "req.http.host", "req.http.x-gitship-parent"
_TOKEN = re.compile(r"[0-9a-f]{32,64}")


_LEAF = re.compile(
    r'req\.http\.[a-z-]+ == "([^"]+)"\) { (?:call [a-z0-9_-]+; )?'
    rf"return \(vcl\((?:{LABEL_PREFIX}|{FORMER_PREFIX})([a-z0-9_-]+)\)\); }}"
)
_CANARY = re.compile(rf"return \(vcl\({CANARY_PREFIX}([a-z0-9_-]+)\)\);")
_NONE: Mapping[str, CanaryShare] = MappingProxyType({})


def top_vcl(hosts: Mapping[str, str], trial_token: str | None = None, shares: Mapping[str, CanaryShare] = _NONE) -> str:
    """The VCL that leads each of ``hosts`` (lower case, without port) to the label of its slug; others get a 404 page.

    ``*.example.com`` stands for each name with one more label, as in certificates, unless that is in the table itself.
    Whoever knows the ``trial_token`` gets to what is on trial, whatever the host. An app with one of ``shares`` (by
    slug) has a canary. Raises ValueError for a host that cannot be one.
    """
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ValueError(f"not a host name: {host!r}")
    exact = sorted((host, slug) for host, slug in hosts.items() if not host.startswith("*"))
    wild = sorted((host, slug) for host, slug in hosts.items() if host.startswith("*"))
    lines = _tree(exact, _EXACT, "    ", shares)
    if wild:
        lines += [f'    set {_PARENT} = regsub({_EXACT}, "^[^.]+", "*");', *_tree(wild, _PARENT, "    ", shares)]
    served = set(hosts.values())
    canaries = ["\n".join([*canary_vcl.leading(slug, shares[slug]), ""]) for slug in sorted(shares) if slug in served]
    return fill(
        template("top.vcl"),
        canaries="\n".join(canaries),
        hosts="\n".join(lines),
        trial=_trial(trial_token),
        request_id=REQUEST_ID,
        page=page("unknown-host"),
    )


def hosts_of(text: str) -> dict[str, str]:
    """The table that a top VCL was made from."""
    return dict(_LEAF.findall(text))


def _trial(token: str | None) -> str:
    if token is None:
        return ""
    if not _TOKEN.fullmatch(token):
        raise ValueError("not a token")
    condition = f'req.http.{TRIAL_HEADER} == "{token}"'
    return f"    if ({condition}) {{ return (vcl({TRIAL_LABEL})); }}  # the release that comes, for gitship alone"


def canaries_of(text: str) -> set[str]:
    """The slugs that the top VCL has a canary of."""
    return set(_CANARY.findall(text))


def _tree(hosts: Sequence[tuple[str, str]], name: str, indent: str, shares: Mapping[str, CanaryShare]) -> list[str]:
    if len(hosts) <= LEAF_HOSTS:
        return [
            f'{indent}if ({name} == "{host}") {{ {canary_vcl.call(slug) if slug in shares else ""}'
            f"return (vcl({LABEL_PREFIX}{slug})); }}"
            for host, slug in hosts
        ]
    middle = len(hosts) // 2
    return [
        f'{indent}if ({name} < "{hosts[middle][0]}") {{',
        *_tree(hosts[:middle], name, indent + "    ", shares),
        f"{indent}}} else {{",
        *_tree(hosts[middle:], name, indent + "    ", shares),
        f"{indent}}}",
    ]
