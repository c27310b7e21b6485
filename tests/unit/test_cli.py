"""The command line's own part: a reader that goes away, a settings file that is another user's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitship import cli, config
from gitship.errors import GitshipError
from gitship.init import initialise


@pytest.mark.parametrize("words", ["doctor --config {}", "doctor --format json --config {}", "--help"])
@pytest.mark.clients
def test_a_reader_that_has_gone_is_no_error(tmp_path: Path, words: str) -> None:
    file = tmp_path / "gitship.toml"
    file.write_text("nonsense = 1\n")
    command = f"{sys.executable} -m gitship.cli {words.format(file)} | :"
    for unbuffered in ("", "1"):  # written at the end, or at once
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
        assert done.stderr == ""


def test_settings_that_only_root_may_read_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root may read every file
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


@pytest.mark.parametrize("words", ["serve", "init", "stop-front", "restore --newest-copy"])
def test_a_data_dir_that_cannot_be_is_told_without_a_traceback(
    tmp_path: Path, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a-file").touch()
    settings = tmp_path / "gitship.toml"
    settings.write_text(f'data_dir = "{tmp_path}/a-file/data"\n')
    assert cli.main([*words.split(), "--config", str(settings)]) == 1
    said = capsys.readouterr().err
    assert f"error: {tmp_path}/a-file" in said and "hint: " in said and "data_dir" in said


def test_who_lacks_the_rights_is_told_to_be_root(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    settings = tmp_path / "gitship.toml"
    settings.write_text(f'data_dir = "{tmp_path}/data"\n')
    monkeypatch.setattr(Path, "mkdir", refuse)  # root may make every directory
    assert cli.main(["serve", "--config", str(settings)]) == 1
    assert capsys.readouterr().err == (f"error: {tmp_path}/data: Permission denied\nhint: {cli.WITHOUT_RIGHTS}\n")
