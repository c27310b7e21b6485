"""The public suite of tests for HTTP caches (http-tests/cache-tests), run as it is against gitship's Varnish.

`python -m tests.bench.conformance DIRECTORY`, a checkout of the suite; needs Node.js, and `npm install` there. The
suite's own server is the app. It is run twice, the second time without grace: what passes only then fails because
gitship serves a page for some seconds more while it fetches the new one. Every other failure has its reason below, or
is shown as unexplained, and then the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from gitship.config_values import Address
from gitship.front.app_vcl import KEEP_S, app_vcl
from gitship.front.front import AppFront, Backend, Front
from gitship.front.tcp_ports import free_port
from tests.bench.table import show
from tests.waiting import wait_until

HOST = "127.0.0.1"
RUN_S = 600.0
GOOD = ("pass", "yes", "no", "untested")  # a check only asks which of two ways a cache goes
GRACE = (
    "grace: served for up to 10 s more while the new one is fetched; only must- and proxy-revalidate forbid that here"
)

# What the suite's own code makes of its results; it is given paths, and its results on standard input.
JUDGE = """
const [directory] = process.argv.slice(1)
const { default: suites } = await import(directory + '/tests/index.mjs')
const { determineTestResult, resultTypes } = await import(directory + '/test-engine/lib/results.mjs')
let text = ''
for await (const piece of process.stdin) text += piece
const results = JSON.parse(text)
const names = new Map(Object.entries(resultTypes).map(([name, type]) => [type, name]))
const rows = suites.flatMap(suite => suite.tests.filter(test => !test.browser_only).map(test => ({
  suite: suite.name, id: test.id, name: test.name, kind: test.kind || 'required', needs: test.depends_on || [],
  result: names.get(determineTestResult(suites, test.id, results)), said: String((results[test.id] || [])[1] || '')
})))
console.log(JSON.stringify(rows))
"""

# By the test's id, first match: why it does not pass. Each was looked at by itself.
REASONS: tuple[tuple[str, str], ...] = (
    (
        "^cdn-(max-age(-max|-max-plus)?|private|no-cache|no-store-cc-fresh|fresh-cc-nostore)$",
        "CDN-Cache-Control (RFC 9213) is for a CDN in front, and is left to it; Cache-Control decides here",
    ),
    (
        "^vary-normalise-(lang-(order|case|space|select)|space)$",
        "headers that Vary names are compared as they are: a page more is fetched, none is wrong",
    ),
    (
        "^(headers-store-(Content-Range|Transfer-Encoding)|304-etag-update-response-Content-Range)$",
        "the app's answer is broken (a 200 with Content-Range, a coding that does not exist): 503",
    ),
    ("^headers-store-Set-Cookie$", "with Set-Cookie it is not kept, whatever else it says"),
    ("^304-etag-update-response-Set-Cookie$", "with Set-Cookie it is not kept, so there is nothing to ask about"),
    ("^conditional-etag-forward-unquoted$", "the whole page is fetched for the cache: If-None-Match is not sent on"),
    ("^interim-", "an answer 1xx before the real one (103 Early Hints): Varnish takes it for broken (503)"),
    ("^partial-store-partial-complete$", "a part is never kept, and so not completed either"),
    (
        "^partial-store-partial-reuse-partial",
        "the answer says bytes 4-9, which are 6, and has 5: Varnish takes it for broken (503)",
    ),
    ("^age-parse-float$", "an Age that is no whole number: Varnish does not keep the page"),
    ("^status-200-must-understand$", "must-understand is not known, so no-store beside it counts"),
    (
        "^status-(299|303|308|400|499|500|502|503|504|599)-fresh$",
        "Varnish keeps 200, 203, 204, 300, 301, 302, 304, 307, 404, 410 and 414 only",
    ),
    (
        "^freshness-expires-(ansi-c|wrong-case-(weekday|month|tz))$",
        "Varnish takes no date that is written so: not kept",
    ),
    (
        "^freshness-expires-age-fast-date$",
        "a Date up to 10 s off counts as now (clock_skew): 20 s are left by Expires, of which Age takes nothing",
    ),
    ("^heuristic-[0-9]+-cached$", "nothing is kept unless the app says for how long"),
    (
        "^other-(authorization-(public|must-revalidate|smaxage)|cookie)$",
        "Authorization and Cookie are the app's, always",
    ),
    ("^other-set-cookie$", "with Set-Cookie it is not kept, whatever else it says"),
    ("^method-POST$", "no answer to a POST is kept"),
    ("^cc-resp-no-cache-revalidate(-fresh)?$", "no-cache is not kept at all, so there is nothing to ask about"),
    (
        "^conditional-lm-fresh-no-lm$",
        "If-Modified-Since is compared with Last-Modified only, which there is none: sent whole",
    ),
    (
        "^conditional-etag-strong-respond-multiple-(first|second|last)$",
        "of several tags in If-None-Match Varnish compares none: sent whole, never wrong",
    ),
)


@contextmanager
def front_of(directory: Path, port: int, *, grace: bool) -> Iterator[Front]:
    """gitship's Varnish before the suite's server."""

    def without_grace(app: AppFront, name: str, largest: int) -> str:
        # What would be served for some seconds more is still there to be asked about, as in the background otherwise.
        text = re.sub(r"set (be)?re(q|sp)\.grace = [^;]+;", r"set \1re\2.grace = 0s;", app_vcl(app, name, largest))
        return text.replace("set beresp.grace = 0s;", f"set beresp.grace = 0s; set beresp.keep = {KEEP_S}s;")

    directory.mkdir()
    directory.chmod(0o711)  # started by root, varnishd goes on as a user of its own
    front = Front(Address(HOST, 0), directory / "varnish", 64 << 20)
    try:
        front.ensure_running()
        front.set_hosts({"localhost": "suite"})
        backends = (Backend("suite", HOST, port),)
        with patch("gitship.front.loaded_vcls.app_vcl", app_vcl if grace else without_grace):
            name = front.load(AppFront("suite", "suite", "v1", "1/1", backends, "token-of-the-benchmark"))
        front.label("suite", name)
        yield front
    finally:
        front.stop()


@contextmanager
def server(suite: Path, directory: Path) -> Iterator[int]:
    """The suite's own, and its port."""
    port = free_port(HOST)
    settings = {"protocol": "http", "port": str(port), "pidfile": str(directory / "pid")}
    env = {**os.environ, **{f"npm_config_{name}": value for name, value in settings.items()}}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(["node", "test-engine/server/server.mjs"], cwd=suite, env=env, stdout=quiet) as child:
        try:
            wait_until((directory / "pid").exists, 20, "the suite's server runs")
            yield port
        finally:
            child.terminate()


@dataclass(frozen=True)
class Row:
    """A test and what came of it; without the tests that it ``needs`` the suite does not judge it."""

    suite: str
    id: str
    name: str
    kind: str
    needs: list[str]
    result: str
    said: str


def run(suite: Path, directory: Path, *, grace: bool) -> dict[str, Row]:
    """The suite's results by test id."""
    directory.mkdir()
    with server(suite, directory) as port, front_of(directory / "front", port, grace=grace) as front:
        env = {**os.environ, "npm_config_base": f"http://localhost:{front.address.port}", "npm_package_config_id": ""}
        results = _node("--no-warnings", "test-engine/cli.mjs", cwd=suite, env=env)
        judged = _node("--input-type=module", "-e", JUDGE, str(suite), cwd=suite, env=env, stdin=results)
    return {row["id"]: Row(**row) for row in json.loads(judged)}


def _node(*words: str, cwd: Path, env: Mapping[str, str], stdin: str = "") -> str:
    done = subprocess.run(
        ["node", *words], cwd=cwd, env=env, input=stdin, capture_output=True, text=True, timeout=RUN_S, check=True
    )
    return done.stdout


def reason(row: Row, rows: dict[str, Row], without_grace: dict[str, Row]) -> str | None:
    """Why the test does not pass; None: nobody knows yet."""
    if without_grace[row.id].result in GOOD:
        return GRACE
    if row.result == "dependency_fail" and any(rows[needed].result not in GOOD for needed in row.needs):
        return "not judged by the suite, because a test that it needs does not pass"
    return next((text for pattern, text in REASONS if re.search(pattern, row.id)), None)


def report(rows: dict[str, Row], without_grace: dict[str, Row]) -> int:
    counts: Counter[tuple[str, str]] = Counter((row.kind, row.result) for row in rows.values())
    kinds, results = ("required", "optimal", "check"), sorted({result for _, result in counts})
    table = [[kind, *(str(counts[kind, result]) for result in results)] for kind in kinds]
    show(f"{len(rows)} tests of the suite", ["kind", *results], table)
    why: dict[str, list[Row]] = {}
    for row in rows.values():
        if row.result not in GOOD:
            why.setdefault(reason(row, rows, without_grace) or "UNEXPLAINED", []).append(row)
    for text, of in sorted(why.items(), key=lambda item: -len(item[1])):
        print(f"\n{text} ({len(of)}):")
        for row in of:
            said = f"needs {', '.join(row.needs)}" if row.result == "dependency_fail" else row.said[:90]
            print(f"  {row.kind:<9} {row.result:<16} {row.id:<52} {said}")
    return 1 if "UNEXPLAINED" in why else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", type=Path, help="a checkout of http-tests/cache-tests")
    suite = parser.parse_args().suite.resolve()
    if not (suite / "test-engine/cli.mjs").is_file():
        print(f"error: {suite} is not the suite\nhint: git clone it from its public repository, http-tests/cache-tests")
        return 1
    with tempfile.TemporaryDirectory(prefix="gs-suite-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        rows = run(suite, directory / "one", grace=True)
        return report(rows, run(suite, directory / "two", grace=False))


if __name__ == "__main__":
    sys.exit(main())
