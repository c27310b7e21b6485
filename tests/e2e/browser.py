"""A real Chromium with a profile of its own, and what the tests ask of pages."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.e2e.harness import Server

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def chromium() -> Iterator[Browser]:
    """Ends with all its processes and its profile."""
    if not Path(CHROMIUM).exists():
        pytest.skip(f"no {CHROMIUM} on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS), timeout=60_000)
        yield browser
        browser.close()


def sign_in(server: Server, page: Page, key: Path | None = None) -> str:
    """By a link from `web`, as people do; the link."""
    done = server.ssh("web", key=key)
    assert done.returncode == 0, done.stderr
    link = done.stdout.strip()
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/")
    return link


def axe_source() -> str:
    """axe-core from npm, in a directory that is gone afterwards. Skips when there is no npm, or no registry."""
    if shutil.which("npm") is None:
        pytest.skip("no npm on this machine: the accessibility check needs axe-core")
    directory = Path(tempfile.mkdtemp(prefix="gs-axe-"))
    try:
        command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "axe-core"]
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=90, check=False)
        if done.returncode:
            pytest.skip(f"npm could not install axe-core: {done.stderr.strip()[-200:]}")
        return (directory / "node_modules" / "axe-core" / "axe.min.js").read_text()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def violations(page: Page, axe: str) -> list[str]:
    """What axe-core has to say against the page, with the elements concerned. Evaluated, so that the CSP stands."""
    page.evaluate(axe)
    found = page.evaluate("async () => (await axe.run()).violations")
    return [f"{v['id']}: {[n['html'][:120] + ' ' + n['failureSummary'][:300] for n in v['nodes'][:3]]}" for v in found]
