"""Loads and fills the VCL templates and error pages of the top-level varnish/ directory."""

from __future__ import annotations

import html
import re
from functools import cache

from gitship.assets import asset

# A request's own id, as VCL: the second in which it came (epoch), and Varnish's number for it, which varnishlog knows.
# The empty string makes text of what some releases of Varnish take for a number.
REQUEST_ID = '"" + std.time2integer(now, 0) + "-" + req.xid'


@cache
def template(name: str) -> str:
    """The text of ``varnish/<name>``."""
    return asset(f"varnish/{name}").read_text(encoding="utf-8")


def fill(text: str, **values: str) -> str:
    """``text`` with each ``@NAME@`` replaced by ``values["name"]``; a line whose gaps leave nothing is dropped.

    Raises ValueError when a gap has no value, or a value no gap: both mean that template and code have parted.
    """
    seen: set[str] = set()

    def replacement(match: re.Match[str]) -> str:
        name = match[1].lower()
        if name not in values:
            raise ValueError(f"no value for @{match[1]}@")
        seen.add(name)
        return values[name]

    lines = []
    for line in text.splitlines():
        filled = re.sub(r"@([A-Z0-9_]+)@", replacement, line)
        if filled.strip() or filled == line:
            lines.append(filled)
    if unused := values.keys() - seen:
        raise ValueError(f"no gap for {', '.join(sorted(unused))}")
    return "\n".join(lines) + "\n"


def page(name: str, *, request: str = "req", **names: str) -> str:
    """The error page ``varnish/pages/<name>.html`` as a VCL string expression.

    ``names`` fill its ``{{gaps}}``, HTML-escaped; ``{{host}}`` and ``{{request}}`` stay for Varnish, which puts in the
    host and the id of ``request`` (``bereq``: the one that the app was sent).
    """
    text = template(f"pages/{name}.html").replace("{{style}}", template("pages/style.css"))
    for gap, value in names.items():
        text = text.replace("{{" + gap + "}}", html.escape(value))
    parts = re.split(r"\{\{(host|request)\}\}", text)
    headers = {"host": f"{request}.http.host", "request": f"{request}.http.x-request-id"}
    return " + ".join(headers[part] if odd % 2 else _long_string(part) for odd, part in enumerate(parts))


def literal(text: str) -> str:
    """Any text as a VCL string expression; a long string ends at its first ``"}``, so none of its parts has one."""
    return " + ".join(f'{{"{part}"}}' for part in re.split(r'(?<=")(?=\})', text))


def exactly(text: str) -> str:
    """A regular expression for the text itself."""
    return re.sub(r"([^A-Za-z0-9/_-])", r"\\\1", text)


def _long_string(text: str) -> str:
    if '"""' in text:
        raise ValueError('a page cannot contain """')
    return f'"""{text}"""'
