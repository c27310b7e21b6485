"""Generates the cache rules of an app's VCL."""

from __future__ import annotations

from collections.abc import Iterable

from gitship.front.cache_settings import CacheSettings, pattern


def strip_query(cache: CacheSettings) -> str:
    """Parameters that only tell where a visitor comes from are taken out of the URL; the others keep their order."""
    if not cache.strip_query:
        return ""
    named = f"(?:{_any(cache.strip_query, '[^=&]*')})(?:=[^&]*)?(?:&|$)"
    return "\n".join(
        [
            f'    if (req.url ~ "[?&]{named}") {{',
            f'        set req.url = regsub(regsuball(req.url, "(?<=[?&]){named}", ""), "[?&]+$", "");',
            "    }",
        ]
    )


def ignore_cookies(cache: CacheSettings) -> str:
    """The owner's cookies are put aside; when none is left, the request may be answered from the cache."""
    if cache.ignores_all_cookies:
        return "        unset req.http.cookie;"
    if not cache.ignore_cookies:
        return ""
    named = f";(?:{_any(cache.ignore_cookies, '[^=;]*')})(?:=[^;]*)?(?=;|$)"
    return "\n".join(
        [
            '        set req.http.cookie = ";" + regsuball(req.http.cookie, "; *", ";");',
            f'        set req.http.cookie = regsub(regsuball(req.http.cookie, "{named}", ""), "^;+", "");',
            '        if (req.http.cookie == "") {',
            "            unset req.http.cookie;",
            "        }",
        ]
    )


def own_ttl(cache: CacheSettings) -> str:
    """For how long a page is kept of which the app does not say it; what it says otherwise is heeded below."""
    if not cache.ttl_s:
        return ""
    return (
        "\n".join(
            [
                "if (beresp.status == 200 && !beresp.http.expires"
                ' && beresp.http.cache-control !~ "(?i)(^|[, ])(s-maxage|max-age)=") {',
                f"        set beresp.ttl = {cache.ttl_s}s;",
                "    } else",
            ]
        )
        + " "
    )


def _any(names: Iterable[str], anything: str) -> str:
    return "|".join(pattern(name, anything) for name in names)
