"""A Python app and a fast static one, behind Varnish as gitship sets it up, nginx and haproxy, in the same run.

The Python app is Flask behind gunicorn, with a page of a few KB; the fast one is nginx answering a constant. Needs wrk,
nginx and haproxy (Debian: wrk, nginx-light, haproxy); Flask and gunicorn are installed into a directory of their own.
`python -m tests.bench.front [--seconds S] [--rounds N]`. The figures to hold, of the Python app and against nginx
before the same app: a cached page at least 10 x, an uncached one at least 0.8 x.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gitship.config_values import Address
from gitship.front.front import AppFront, Backend, Front
from gitship.front.tcp_ports import free_port
from tests.bench.table import median, paired_ratio, show, spread
from tests.e2e.front.asking import ask
from tests.waiting import wait_until

HOST = "127.0.0.1"
CONNECTIONS = 32
# As Flask's documentation starts it. With 2 workers of 8 threads most kept connections may be one worker's, which has
# one processor: the same way then answers 350 or 850 requests/s, by chance.
GUNICORN = ["-w", "4"]
NEEDED = {"wrk": "wrk", "nginx": "nginx-light", "haproxy": "haproxy"}
CACHED_TARGET, UNCACHED_TARGET = ">= 10", ">= 0.8"

FLASK_APP = """
from flask import Flask, make_response, render_template_string

app = Flask(__name__)
PAGE = "<!doctype html><title>Shop</title>{% for n in range(60) %}<p>{{ n }}: {{ n * 17 % 101 }} left</p>{% endfor %}"

@app.get("/")
def uncached():
    return render_template_string(PAGE)

@app.get("/cached")
def cached():
    response = make_response(render_template_string(PAGE))
    response.headers["Cache-Control"] = "public, max-age=600"
    return response
"""
NGINX = """
daemon off; worker_processes 2; pid {directory}/nginx.pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_body_temp_path {directory}; proxy_temp_path {directory}; fastcgi_temp_path {directory};
  uwsgi_temp_path {directory}; scgi_temp_path {directory};
  {body}
}}
"""
STATIC = """server {{ listen {port} reuseport; keepalive_requests 1000000;
  location / {{ return 200 "a constant answer of forty-nine bytes, more or less"; }}
  location /cached {{ add_header Cache-Control "public, max-age=600"; return 200 "the same, but for the cache"; }}
}}"""
PROXY = """upstream app {{ server 127.0.0.1:{app}; keepalive 64; }}
server {{ listen {port} reuseport; keepalive_requests 1000000;
  location / {{ proxy_pass http://app; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_set_header Host $host; }}
}}"""
HAPROXY = """
global
  nbthread 2
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend in
  bind 127.0.0.1:{port}
  default_backend app
backend app
  server app 127.0.0.1:{app}
"""


@dataclass
class Figures:
    """Of each round: requests in a second, and milliseconds."""

    rate: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    failed: int = 0


@contextmanager
def process(*command: str, port: int, directory: Path) -> Iterator[None]:
    """A server that answers on ``port``."""
    with (directory / f"{Path(command[0]).name}-{port}.log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log, cwd=directory)
    try:
        wait_until(lambda: _answers(port), 20, f"{' '.join(command)} answers")
        yield
    finally:
        child.terminate()
        child.wait(20)


def _answers(port: int) -> bool:
    try:
        return ask(Address(HOST, port), "bench.localhost").status == 200
    except OSError:
        return False


@contextmanager
def flask(directory: Path) -> Iterator[int]:
    """The Python app's port."""
    site, port = directory / "site", free_port(HOST)
    install = [sys.executable, "-m", "pip", "install", "-q", "--target", str(site), "flask", "gunicorn"]
    subprocess.run(install, check=True, timeout=300, stderr=subprocess.DEVNULL)
    (directory / "shop.py").write_text(FLASK_APP)
    server = f"import sys; sys.path.insert(0, {str(site)!r}); from gunicorn.app.wsgiapp import run; run()"
    words = [*GUNICORN, "-b", f"{HOST}:{port}", "shop:app"]
    with process(sys.executable, "-c", server, *words, port=port, directory=directory):
        yield port


@contextmanager
def nginx(directory: Path, body: str, port: int) -> Iterator[None]:
    own = Path(tempfile.mkdtemp(dir=directory))
    own.chmod(0o777)  # its workers are another user's
    config = own / "nginx.conf"
    config.write_text(NGINX.format(directory=own, body=body))
    with process(shutil.which("nginx") or "nginx", "-c", str(config), "-p", str(own), port=port, directory=own):
        yield


@contextmanager
def haproxy(directory: Path, app: int, port: int) -> Iterator[None]:
    config = directory / f"haproxy-{port}.cfg"
    config.write_text(HAPROXY.format(port=port, app=app))
    with process(shutil.which("haproxy") or "haproxy", "-db", "-f", str(config), port=port, directory=directory):
        yield


def measure(port: int, path: str, seconds: int, figures: Figures) -> None:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--latency", "-H", "Host: bench.localhost"]
    done = subprocess.run(
        [*command, f"http://{HOST}:{port}{path}"], capture_output=True, text=True, timeout=seconds + 30, check=True
    )
    figures.rate.append(float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)[1]))  # type: ignore[index]
    for percent, values in (("50%", figures.p50), ("99%", figures.p99)):
        value, unit = re.search(rf"{percent}\s+([\d.]+)(us|ms|s)", done.stdout).groups()  # type: ignore[union-attr]
        values.append(float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit])
    for found in re.findall(r"Non-2xx or 3xx responses: (\d+)", done.stdout):
        figures.failed += int(found)


def compare(name: str, app: int, directory: Path, seconds: int, rounds: int) -> dict[str, Figures]:
    """Each way in turn, ``rounds`` times."""
    with ExitStack() as stack:
        port = free_port(HOST)
        stack.enter_context(nginx(directory, PROXY.format(app=app, port=port), port))
        other = free_port(HOST)
        stack.enter_context(haproxy(directory, app, other))
        front = stack.enter_context(varnish(Path(tempfile.mkdtemp(dir=directory)), app))
        ways = {
            "direct": (app, "/"),
            "nginx": (port, "/"),
            "haproxy": (other, "/"),
            "varnish, uncached": (front.address.port, "/"),
            "varnish, cached": (front.address.port, "/cached"),
        }
        figures = {way: Figures() for way in ways}
        for number in range(rounds + 1):
            for way, (where, path) in ways.items():  # the first round warms all
                measure(where, path, seconds if number else 1, figures[way] if number else Figures())
    rows = []
    for way, found in figures.items():
        ratio = paired_ratio(found.rate, figures["nginx"].rate)
        target = {"varnish, uncached": UNCACHED_TARGET, "varnish, cached": CACHED_TARGET}.get(way, "")
        cells = [way, spread(found.rate), f"{ratio:.2f}", target if name.startswith("Python") else ""]
        rows.append([*cells, f"{median(found.p50):.2f}", f"{median(found.p99):.2f}", str(found.failed)])
    header = ["way", "requests/s", "ratio to nginx", "target", "p50 ms", "p99 ms", "failed"]
    show(f"{name}, {CONNECTIONS} connections, {rounds} rounds of {seconds} s in turn", header, rows)
    return figures


@contextmanager
def varnish(directory: Path, app: int) -> Iterator[Front]:
    directory.chmod(0o711)
    front = Front(Address(HOST, 0), directory / "varnish", 64 << 20)
    try:
        front.ensure_running()
        front.set_hosts({"bench.localhost": "bench"})
        backends = (Backend("bench", HOST, app),)
        front.label("bench", front.load(AppFront("bench", "bench", "v1", "1/1", backends, "token-of-the-benchmark")))
        yield front
    finally:
        front.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    missing = [package for program, package in NEEDED.items() if shutil.which(program) is None]
    if missing:
        print(f"error: these are missing: {' '.join(missing)}\nhint: apt-get install {' '.join(missing)}")
        return 1
    with tempfile.TemporaryDirectory(prefix="gs-front-") as name, ExitStack() as stack:
        directory = Path(name)
        directory.chmod(0o711)  # started by root, varnishd goes on as a user of its own
        app = stack.enter_context(flask(directory))
        compare("Python app (Flask behind gunicorn)", app, directory, given.seconds, given.rounds)
        static = free_port(HOST)
        stack.enter_context(nginx(directory, STATIC.format(port=static), static))
        compare("Fast static app (nginx)", static, directory, given.seconds, given.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
