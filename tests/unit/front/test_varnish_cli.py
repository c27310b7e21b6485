"""Discarding with a Varnish 6.6: a model of how mgt_vcl.c of 6.6.2 treats its list of VCLs. None is needed here."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest

from gitship.config_values import Address
from gitship.errors import FrontError
from gitship.front.varnish_cli import VarnishCli


@dataclass
class Old(socketserver.ThreadingTCPServer):
    """``loaded``: what was loaded, in its order; ``labels``: label -> VCL, ``named``: labels that the table names."""

    loaded: list[str]
    labels: dict[str, str]
    named: set[str] = field(default_factory=set)
    late: str = ""  # what somebody else's label leads to, between two commands

    def __post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)

    def answer(self, line: str) -> tuple[int, str]:
        verb, *words = line.split()
        if verb == "vcl.inline":
            self.loaded.append(words[0])
            if self.late:
                self.loaded += [vcl for vcl in (self.late, "z_late") if vcl not in self.loaded]
                self.labels["z_late"], self.late = self.late, ""
            return 200, "VCL compiled."
        if verb == "vcl.list":
            return 200, json.dumps([2, ["vcl.list", "-j"], 1.0, *map(self.entry, self.loaded)])
        assert verb == "vcl.discard", line
        for vcl in self.loaded[self.loaded.index(words[0]) :]:  # not only those that are to be discarded
            leading = [label for label, target in self.labels.items() if target == vcl and label not in words]
            if leading:
                return 300, f"Cannot discard labeled VCL program {vcl}:\n\t{leading[0]}\n"
            if vcl in self.named:
                return 300, f"Cannot discard VCL label {vcl}, other VCLs depend on it:\n\ttop_1\n"
        for word in words:
            assert word not in self.labels.values(), "a panic of the manager"
            assert word not in self.named, "a panic of the manager"
            self.loaded.remove(word)
        return 200, ""

    def entry(self, name: str) -> dict[str, object]:
        entry: dict[str, object] = {"status": "active" if name == "top_1" else "available", "state": "auto"}
        entry |= {"name": name, "busy": 0}
        if name in self.labels:
            refs = {"refs": 1} if name in self.named else {}
            entry |= {"state": "label", "label": {"name": self.labels[name], **refs}}
        return entry


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.say(200, "Varnish Cache CLI 1.0")
        for line in self.rfile:
            text = line.decode()
            if "<<" in text:
                end = text.split()[-1]
                while self.rfile.readline().decode().strip() != end:
                    pass
            self.say(*cast(Old, self.server).answer(text))

    def say(self, status: int, text: str) -> None:
        data = text.encode()
        self.wfile.write(f"{status:03d} {len(data):<8d}\n".encode() + data + b"\n")


@contextmanager
def talking_to(old: Old) -> Iterator[VarnishCli]:
    thread = threading.Thread(target=old.serve_forever, args=(0.01,))
    thread.start()
    control = VarnishCli(lambda: Address("127.0.0.1", old.server_address[1]), Path("/none"))
    try:
        yield control
    finally:
        control.close()
        old.shutdown()
        old.server_close()
        thread.join()


def a_server(late: str = "") -> Old:
    loaded = ["app_old", "z_idle", "app_shop", "z_shop", "app_gone", "top_1"]
    labels = {"z_shop": "app_shop", "z_idle": "app_shop"}
    return Old(loaded, labels, named={"z_shop"}, late=late)


def test_what_others_were_loaded_after_is_discarded_all_the_same() -> None:
    old = a_server()
    with talking_to(old) as control:
        control.discard("app_old")
        assert old.loaded == ["z_idle", "app_shop", "z_shop", "app_gone", "top_1"]


def test_also_when_another_one_is_loaded_meanwhile() -> None:
    old = a_server(late="app_late")
    with talking_to(old) as control:
        control.discard("app_old")
        assert old.loaded == ["z_idle", "app_shop", "z_shop", "app_gone", "top_1", "app_late", "z_late"]


def test_but_not_when_a_label_leads_to_it_meanwhile() -> None:
    old = a_server(late="app_old")
    with talking_to(old) as control:
        with pytest.raises(FrontError, match="Cannot discard"):
            control.discard("app_old")
        assert old.loaded == ["app_old", "z_idle", "app_shop", "z_shop", "app_gone", "top_1", "z_late"]


def test_the_last_one_and_a_label_that_nobody_names() -> None:
    old = a_server()
    with talking_to(old) as control:
        control.discard("app_gone")
        control.discard("z_idle")
        assert old.loaded == ["app_old", "app_shop", "z_shop", "top_1"]


@pytest.mark.parametrize("name", ["app_shop", "z_shop"])
def test_what_something_leads_to_stays(name: str) -> None:
    old = a_server()
    before = list(old.loaded)
    with talking_to(old) as control:
        with pytest.raises(FrontError, match="Cannot discard"):
            control.discard(name)
        assert old.loaded == before
