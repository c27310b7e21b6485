"""VCL that answers HTTP-01 challenges of certificate authorities (RFC 8555, section 8.3).

The table of hosts leads the path there before any app is asked: it works for an app that is down, in maintenance, or
behind passwords, and without gitship running.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

PATH = "/.well-known/acme-challenge/"
LABEL = "challenges"
EMPTY = "challenge_none"  # what the label leads to while nothing is asked
PREFIX = "challenge_"

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,300}")
_ANSWER = re.compile(r"[A-Za-z0-9._-]{1,600}")


def vcl(name: str, answers: Mapping[str, str]) -> str:
    """The VCL ``name`` that answers each token in ``answers``, and 404 to every other.

    Raises ValueError for what could end a VCL string.
    """
    lines = [
        "vcl 4.1;",
        f"# {name}: challenges of certificate authorities. Written by gitship.",
        "",
        "backend default none;",
        "",
        "sub vcl_recv {",
        "    return (synth(404));",
        "}",
        "",
        "sub vcl_synth {",
        "    unset resp.http.x-varnish;",
        '    set resp.http.cache-control = "no-store";',
        '    set resp.http.content-type = "text/plain";',
        '    synthetic("");',
    ]
    for token, answer in sorted(answers.items()):
        if not _TOKEN.fullmatch(token) or not _ANSWER.fullmatch(answer):
            raise ValueError("not a token of a challenge")
        lines += [
            f'    if (req.url == "{PATH}{token}") {{',
            "        set resp.status = 200;",
            f'        synthetic("{answer}");',
            "    }",
        ]
    return "\n".join([*lines, "    return (deliver);", "}", ""])
