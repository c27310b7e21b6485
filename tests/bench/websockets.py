"""What the proxy of websockets costs: the way straight from Varnish to the app beside it, in the same run.

`python -m tests.bench.websockets [--rounds N]` takes turns, and prints how long it takes to set one up and for an echo
there and back, and the memory of the proxy without and with 1000 idle websockets.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from gitship.config_values import Address
from gitship.front.app_vcl import AppFront, app_vcl
from gitship.front.front import Front
from tests.bench.table import median, paired_ratio, show, spread
from tests.e2e.front.asking import app
from tests.e2e.front.conftest import MEMORY_BYTES, switch
from tests.e2e.front.origin import Origin
from tests.e2e.front.socketing import said, websocket

ECHOES = 100
IDLE = 1000
STRAIGHT, THROUGH = "straight", "through"


def straight_vcl(wanted: AppFront, name: str, proxy: Path) -> str:
    """The app's VCL as it is, but Varnish pipes its websockets to the container by itself."""
    text = app_vcl(replace(wanted, proxy=proxy), name, 1 << 20)
    backend = re.search(r"backend (b0_\w+)", text)
    assert backend is not None
    text = re.sub(
        r"(?s)(sub gitship_websocket \{\n).*?\n\}\n",
        r"\g<1>    set req.backend_hint = socket_proxy;\n"  # else Varnish complains that nothing does
        rf"    set req.backend_hint = {backend[1]};\n    return (pipe);\n}}\n",
        text,
    )
    pipe = r"(?s)    set bereq\.http\.x-gitship-address.*?(        set bereq\.http\.upgrade.*?)\n    \}"
    return re.sub(pipe, r"\g<1>", text)


def measured(front: Front, host: str) -> tuple[float, float]:
    """Milliseconds to set one up, and of an echo."""
    began = time.perf_counter()
    with websocket(front.address, host) as connection:
        opened = time.perf_counter()
        for _ in range(ECHOES):
            said(connection, b"sixteen bytes, 16")
        return (opened - began) * 1e3, (time.perf_counter() - opened) / ECHOES * 1e3


def memory_mb(pid: int) -> float:
    found = re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="gs-") as place, Origin("v1") as origin, ExitStack() as stack:
        Path(place).chmod(0o711)
        front = Front(Address("127.0.0.1", 0), Path(place, "varnish"), MEMORY_BYTES)
        stack.callback(front.stop)
        front.ensure_running()
        front.set_hosts({f"{way}.localhost": way for way in (STRAIGHT, THROUGH)})
        switch(front, app(THROUGH, origin))
        name = "app_straight_v1_1"
        proxy = Path(place, "varnish/websockets/in.sock")
        front._control.inline(name, straight_vcl(app(STRAIGHT, origin), name, proxy))
        front.label(STRAIGHT, name)
        figures: dict[str, list[tuple[float, float]]] = {STRAIGHT: [], THROUGH: []}
        for _ in range(rounds):
            for way, found in figures.items():
                found.append(measured(front, f"{way}.localhost"))
        rows = []
        for number, what in enumerate(("set up, ms", "echo, ms")):
            ways = {way: [row[number] for row in found] for way, found in figures.items()}
            ratio = f"{paired_ratio(ways[THROUGH], ways[STRAIGHT]):.2f}"
            rows.append([what, *(f"{median(v):.3f}, {spread(v)}" for v in ways.values()), ratio])
        show("websockets", ["", "straight (before)", "through the proxy", "ratio"], rows)
        pid = int(Path(place, "varnish/websockets/haproxy.pid").read_text())
        alone = memory_mb(pid)
        for _ in range(IDLE):
            stack.enter_context(websocket(front.address, f"{THROUGH}.localhost"))
        show(
            "memory of the proxy",
            ["alone, MB", f"with {IDLE} websockets, MB"],
            [[f"{alone:.1f}", f"{memory_mb(pid):.1f}"]],
        )


if __name__ == "__main__":
    main()
