"""The command line's own part: a reader that goes away, a settings file that is another user's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitship import config
from gitship.errors import GitshipError
from gitship.setup import initialise

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("words", ["doctor --config {}", "doctor --format json --config {}"])
def test_a_reader_that_has_gone_is_no_error(tmp_path: Path, words: str) -> None:
    file = tmp_path / "gitship.toml"
    file.write_text("nonsense = 1\n")
    command = f"{sys.executable} -m gitship.cli {words.format(file)} | :"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False, env={**os.environ}
    )
    assert done.stderr == ""


def test_settings_that_only_root_may_read_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, encoding: str) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)  # root may read every file
    with pytest.raises(GitshipError) as caught:
        config.load(tmp_path / "gitship.toml")
    assert "sudo gitship" in caught.value.hint


def test_the_way_to_a_first_key_leads_to_the_same_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "gitship.toml"
    said = initialise(file, None, [f"data_dir={tmp_path / 'data'}"])
    assert said[-1] == f"key     none yet: gitship init --config {file} --admin-key ~/.ssh/id_ed25519.pub"
    monkeypatch.setattr(config, "DEFAULT_CONFIG", file)
    assert "gitship init --admin-key" in initialise(file, None, [])[-1]


def test_a_private_key_that_only_this_machine_has_read_can_go_on(tmp_path: Path) -> None:
    file = tmp_path / "id_ed25519"
    file.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    with pytest.raises(GitshipError) as caught:
        initialise(tmp_path / "gitship.toml", file, [f"data_dir={tmp_path / 'data'}"])
    assert f"{file}.pub" in caught.value.hint and "new one" not in caught.value.hint
