"""Generates the access checks of an app's VCL, which run before anything else.

Statuses above 1000 are answers of the gate itself; Varnish's own errors never have them.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

from gitship.front import https_vcl
from gitship.front.gate import Gate, Redirect, in_order
from gitship.front.templates import exactly, literal, page

GATE = "gitship_gate"
MAINTENANCE_RETRY_S = 60

_OWN = 1000
_UNAUTHORIZED, _FORBIDDEN, _UNAVAILABLE = 401, 403, 503


def declarations(gate: Gate, app: str) -> str:
    """The networks, ``sub gitship_gate``, and the answers; nothing for an open gate."""
    if gate.open:
        return ""
    parts = [https_vcl.declarations(gate.https)] if gate.https else []
    if gate.allow:
        parts.append(_acl("gitship_allowed", gate.allow))
    if gate.maintenance and gate.maintenance.allow:
        parts.append(_acl("gitship_maintainers", gate.maintenance.allow))
    return "\n\n".join([*parts, _questions(gate), _answers(gate, app)])


def call(gate: Gate, indent: str, unless: str = "") -> str:
    """The statement for vcl_recv; ``unless`` is a request header that passes the gate."""
    if gate.open:
        return ""
    return f"{indent}if (!{unless}) {{\n{indent}    call {GATE};\n{indent}}}" if unless else f"{indent}call {GATE};"


def _questions(gate: Gate) -> str:
    lines = [f"sub {GATE} {{"]
    if gate.https:
        lines += https_vcl.questions(gate.https)
    if gate.allow:
        lines += ["    if (client.ip !~ gitship_allowed) {", f"        {_synth(_FORBIDDEN)}", "    }"]
    if gate.maintenance and gate.maintenance.allow:
        lines += ["    if (client.ip !~ gitship_maintainers) {", f"        {_synth(_UNAVAILABLE)}", "    }"]
    elif gate.maintenance:
        lines.append(f"    {_synth(_UNAVAILABLE)}")
    if gate.redirects:
        lines.append("    unset req.http.x-gitship-location;")
        lines += [line for redirect in in_order(gate.redirects) for line in _redirect(redirect)]
    if gate.logins:
        # Before the cache is looked at; the app, which has its own idea of this header, doesn't get it.
        sent = 'regsub(req.http.authorization, "(?i)^basic +", "Basic ")'
        known = "\n        && ".join(f'{sent} != "Basic {login.credentials}"' for login in gate.logins)
        lines += [f"    if ({known}) {{", f"        {_synth(_UNAUTHORIZED)}", "    }"]
        lines.append("    unset req.http.authorization;")
    return "\n".join([*lines, "}"])


def _redirect(redirect: Redirect) -> list[str]:
    if redirect.is_host:
        # Only a path is appended: "@evil.example" after a host would make that the host.
        condition = f'req.http.host ~ "(?i)^{exactly(redirect.source)}\\.?(:[0-9]+)?$" && req.url ~ "^/"'
        kept = " + req.url"
    elif redirect.is_prefix:
        start = exactly(redirect.source.removesuffix("*"))
        condition = f'req.url ~ "^{start}"'
        # All slashes go: "/old//evil.example" must not become "//evil.example".
        kept = f' + regsub(req.url, "^{start}[/\\\\]*", "")'
    else:
        condition = f'req.url ~ "^{exactly(redirect.source)}(\\?|$)"'
        kept = ' + regsub(req.url, "^[^?]*", "")' if redirect.keeps_query else ""
    return [
        f"    if ({condition}) {{",
        f'        set req.http.x-gitship-location = "{redirect.base}"{kept};',
        f"        {_synth(redirect.code)}",
        "    }",
    ]


def _answers(gate: Gate, app: str) -> str:
    lines = ["sub vcl_synth {"]
    if gate.allow:
        lines += _answer(_FORBIDDEN, page("not-allowed", app=app))
    if gate.maintenance:
        own = gate.maintenance.page
        text = page("maintenance", app=app) if own is None else literal(own)
        lines += _answer(_UNAVAILABLE, text, f'set resp.http.retry-after = "{MAINTENANCE_RETRY_S}";')
    if gate.logins:
        challenge = f'set resp.http.www-authenticate = {{"Basic realm="{app}", charset="UTF-8""}};'
        lines += _answer(_UNAUTHORIZED, page("sign-in", app=app), challenge)
    for code in sorted({redirect.code for redirect in gate.redirects}):
        lines += [
            f"    if (resp.status == {_OWN + code}) {{",
            "        unset resp.http.x-varnish;",
            f"        set resp.status = {code};",
            "        set resp.http.location = req.http.x-gitship-location;",
            '        synthetic("");',
            "        return (deliver);",
            "    }",
        ]
    return "\n".join([*lines, "}"])


def _answer(status: int, text: str, *more: str) -> list[str]:
    return [
        f"    if (resp.status == {_OWN + status}) {{",
        "        unset resp.http.x-varnish;",
        f"        set resp.status = {status};",
        '        set resp.http.content-type = "text/html; charset=utf-8";',
        '        set resp.http.cache-control = "no-store";',
        *(f"        {line}" for line in more),
        f"        synthetic({text});",
        "        return (deliver);",
        "    }",
    ]


def _synth(status: int) -> str:
    return f"return (synth({_OWN + status}));"


def _acl(name: str, networks: Iterable[str]) -> str:
    parsed = [ip_network(n) for n in networks]
    lines = [f'    "{n.network_address}"/{n.prefixlen};' for n in parsed]
    return "\n".join([f"acl {name} {{", *lines, "}"])
