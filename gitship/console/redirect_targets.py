"""Parser of redirects: from a path or host to a path or URL."""

from __future__ import annotations

from urllib.parse import quote

from gitship.console.host_names import domain_name
from gitship.errors import UsageError
from gitship.front.gate import Redirect

KEPT_AS_IT_IS = "!#$%&'()*+,/:;=?@[]~"


def redirect(source: str, target: str, code: int) -> Redirect:
    """What was typed, as browsers write it: other scripts than Latin percent-encoded. Raises GitshipError."""
    name = named(source)
    shown = quote(target.strip(), safe=KEPT_AS_IT_IS)
    try:
        return Redirect(name, shown, code)
    except ValueError:
        pass
    if name.startswith("/"):
        try:
            Redirect(name, "/", code)
        except ValueError:
            hint = "a path without ? and #, for instance /old, or /old/* for all below it"
            raise UsageError(f"'{source[:80]}' is not a path to redirect", hint) from None
    hint = "give /path or https://host/path; with a FROM of a host or /path/*, without ? and #"
    raise UsageError(f"'{target[:80]}' is not a redirect target", hint)


def named(source: str) -> str:
    """FROM in the form in which it is kept. Raises GitshipError for what is no host."""
    source = source.strip()
    return quote(source, safe=KEPT_AS_IT_IS) if source.startswith("/") else domain_name(source)
