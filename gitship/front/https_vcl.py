"""Generates the redirect from http to https in an app's VCL, before any other check."""

from __future__ import annotations

from gitship.front.gate import HttpsRedirect
from gitship.front.varnishd import HTTPS
from gitship.model import WILDCARD

REDIRECT = 1443  # an answer of the gate's own, as all above 1000
STATUS = 308  # method and body stay


def questions(https: HttpsRedirect) -> list[str]:
    """Statements of the gate: who comes by http to a host with a certificate is sent on."""
    port = "" if https.port == 443 else f":{https.port}"
    return [
        f'    if (local.socket != "{HTTPS}" && req.http.host ~ "{_hosts(https)}" && req.url ~ "^/") {{',
        "        set req.http.x-gitship-location =",
        f'            "https://" + regsub(req.http.host, "\\.?(:[0-9]+)?$", "") + "{port}" + req.url;',
        f"        return (synth({REDIRECT}));",
        "    }",
    ]


def declarations(https: HttpsRedirect) -> str:
    """The answer, and with ``hsts_s`` the header that browsers keep in mind."""
    lines = ["sub vcl_synth {", f"    if (resp.status == {REDIRECT}) {{", "        unset resp.http.x-varnish;"]
    lines += [f"        set resp.status = {STATUS};", "        set resp.http.location = req.http.x-gitship-location;"]
    lines += ['        synthetic("");', "        return (deliver);", "    }"]
    if not https.hsts_s:
        return "\n".join([*lines, "}"])
    header = [f'    if (local.socket == "{HTTPS}" && req.http.host ~ "{_hosts(https)}") {{']
    header += [f'        set resp.http.strict-transport-security = "max-age={https.hsts_s}";', "    }"]
    return "\n".join([*lines, *header, "}", "", "sub vcl_deliver {", *header, "}"])


def _hosts(https: HttpsRedirect) -> str:
    patterns = []
    for host in https.hosts:
        start = "[^.]+[.]" if host.startswith(WILDCARD) else ""
        patterns.append(start + host.removeprefix(WILDCARD).replace(".", "[.]"))
    return f"(?i)^({'|'.join(patterns)})[.]?(:[0-9]+)?$"
