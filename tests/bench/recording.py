"""README's picture: a real terminal session, drawn as SVG. `python -m tests.bench.recording` writes .github/push.svg.

A server, a repository and the stock clients as in the end-to-end tests; what is drawn is what they printed. Only the
test's port leaves the addresses, since README's server listens on 80 and 2222.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.e2e import apps, dockerd, python_image
from tests.e2e.harness import Server, running

TARGET = Path(__file__).parents[2] / ".github/push.svg"
WIDTH = 106
IMAGE = "python:3.12-slim"
SITE = """{first}import http.server, os

class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = {body!r}.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Page).serve_forever()
"""
DOCKERFILE = f'FROM {IMAGE}\nWORKDIR /app\nCOPY . .\nEXPOSE 8000\nCMD ["python3", "site.py"]\n'


class Session:
    """What was typed and what it printed, in the order in which it happened."""

    def __init__(self, server: Server, repository: Path) -> None:
        self._server = server
        self._repository = repository
        self.console = Console(record=True, width=WIDTH, file=open("/dev/null", "w"), force_terminal=True)  # noqa: SIM115

    def typed(self, command: str, run: Callable[[], subprocess.CompletedProcess[str]]) -> None:
        self.console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        done = run()
        for line in (done.stdout + done.stderr).splitlines():
            shown = line.rstrip().replace(f":{self._server.http_port}", "")
            shown = shown.replace(f"127.0.0.1:{self._server.ssh_port}", "localhost:2222")
            if shown != "remote:":
                self.console.print(_painted(shown))
        self.console.print()

    def commit(self, message: str, body: str, first: str = "") -> None:
        apps.commit(self._repository, message, {"site.py": SITE.format(body=body, first=first)})
        self.console.print(Text.assemble(("$ ", "bold green"), (f'git commit -am "{message}"', "bold")))

    def push(self) -> None:
        self.typed("git push deploy main", lambda: self._server.git(self._repository, "push", "deploy", "main"))


def _painted(line: str) -> Text:
    text = Text(line)
    text.highlight_regex(r"^remote:", "dim")
    text.highlight_regex(r"----->|=====>", "bold cyan")
    text.highlight_regex(r"http://\S+", "underline bright_blue")
    text.highlight_regex(r"( !  |error|ModuleNotFound| ! ).*", "red")
    return text


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="gs-") as place,
        dockerd.engine() as host,
        python_image.in_use(host),
        python_image.named(host, IMAGE),
    ):
        base = Path(place)
        base.chmod(0o711)
        with running(base / "server", host, lambda: False) as server:
            files: dict[str, str | bytes] = {"Dockerfile": DOCKERFILE, "site.py": SITE.format(body="One\n", first="")}
            repository = apps.new_repository(base / "shop", files)
            apps.git(repository, "remote", "add", "deploy", server.url("shop"))
            server.push_ok(repository, "shop")
            session = Session(server, repository)
            session.commit("Add basket", "Your basket is empty.\n")
            session.push()
            session.commit("Faster basket", "", "import basket\n")
            session.push()
            session.typed("curl http://shop.localhost", lambda: _curl(server))
    svg = session.console.export_svg(title="git push deploy main", theme=MONOKAI)
    svg = re.sub(r"@font-face \{.*?\}\n?|<!-- .*? -->\n?", "", svg, flags=re.DOTALL)  # fetches no font
    TARGET.write_text("\n".join(line.rstrip() for line in svg.splitlines()) + "\n", encoding="utf-8")
    print(TARGET, file=sys.stderr)


def _curl(server: Server) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], 0, server.get("shop").body, "")


if __name__ == "__main__":
    main()
