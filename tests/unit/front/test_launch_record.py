"""How varnishd was started, on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gitship.config_values import Address
from gitship.front import launch_record
from gitship.front.launch_record import Launch

ANY_PORT = Launch(Address("127.0.0.1", 40000), Address("127.0.0.1", 40001), 64 << 20, wanted_port=0)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    launch_record.write(tmp_path / "file", ANY_PORT)
    assert launch_record.read(tmp_path / "file") == ANY_PORT


@pytest.mark.parametrize("text", ["", "{", "[]", '{"http": 1}', '{"http": {"host": "a"}}', "null"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    assert launch_record.read(tmp_path / "file") is None


def test_a_varnishd_from_before_there_was_https_is_read_and_started_anew(tmp_path: Path) -> None:
    launch_record.write(tmp_path / "file", ANY_PORT)
    older = json.loads((tmp_path / "file").read_text())
    del older["tls"]
    (tmp_path / "file").write_text(json.dumps(older))
    read = launch_record.read(tmp_path / "file")
    assert read == ANY_PORT  # so that its port is kept
    assert read is not None and not read.serves(Address("127.0.0.1", 0), 64 << 20, "/x/https.sock,PROXY,mode=600")


def test_other_settings_need_another_varnishd() -> None:
    assert ANY_PORT.serves(Address("127.0.0.1", 0), 64 << 20, "")
    assert not ANY_PORT.serves(Address("127.0.0.1", 0), 65 << 20, "")
    assert not ANY_PORT.serves(Address("0.0.0.0", 0), 64 << 20, "")
    assert not ANY_PORT.serves(Address("127.0.0.1", 40000), 64 << 20, "")
    assert replace(ANY_PORT, wanted_port=40000).serves(Address("127.0.0.1", 40000), 64 << 20, "")
