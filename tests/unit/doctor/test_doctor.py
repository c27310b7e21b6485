"""Each thing that a new server may have wrong is found, and named with its fix. Docker and Varnish: tests/e2e."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gitship import cli, doctor
from gitship.config import Settings, load
from gitship.doctor import Finding, Level, files, machine, network
from gitship.init import initialise
from gitship.reconcile.problems import TROUBLES
from gitship.store import Store
from tests.unit.commands.world import ADA


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A server as `gitship init` leaves it."""
    key = tmp_path / "ada.pub"
    key.write_text(ADA)
    path = tmp_path / "gitship.toml"
    listen = [f"{name}.listen=127.0.0.1:0" for name in ("ssh", "http", "web")]
    initialise(path, key, [f"data_dir={tmp_path / 'data'}", "docker.host=unix:///nowhere/docker.sock", *listen])
    for place in (tmp_path, *tmp_path.parents):
        if place.stat().st_uid == os.getuid() and str(place).startswith("/tmp/"):
            place.chmod(place.stat().st_mode | 0o001)
    return path


def found(config: Path, subject: str) -> list[Finding]:
    return [finding for finding in doctor.examine(config) if finding.subject == subject]


@pytest.mark.clients
def test_a_fresh_server_has_nothing_wrong_with_its_files(config: Path) -> None:
    for subject in ("config", "data", "files", "keys"):
        assert [f.level for f in found(config, subject)] == [Level.OK], found(config, subject)


def test_a_wrong_setting_is_all_that_can_be_said(config: Path) -> None:
    config.write_text("[ssh]\nlitsen = '0.0.0.0:22'\n")
    [finding] = doctor.examine(config)
    assert (finding.level, "ssh.litsen" in finding.text) == (Level.FAIL, True)
    assert "ssh.listen" in finding.fix


@pytest.mark.clients
def test_files_that_others_can_read_are_named(config: Path) -> None:
    key = load(config).host_key
    key.chmod(0o644)
    [finding] = found(config, "files")
    assert (finding.level, finding.fix) == (Level.FAIL, f"chmod 600 {key}")


@pytest.mark.clients
def test_what_init_makes_and_is_gone_is_named(config: Path) -> None:
    load(config).local_key.unlink()
    [finding] = found(config, "files")
    assert (finding.level, finding.fix) == (Level.FAIL, "run `gitship init`")


@pytest.mark.clients
def test_a_directory_that_keeps_varnish_out_is_named(config: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root's varnishd has a user of its own")
    load(config).data_dir.chmod(0o700)
    [finding] = found(config, "data")
    assert finding.level is Level.FAIL
    assert finding.fix.startswith("chmod o+x ")


@pytest.mark.clients
def test_a_damaged_database_is_found(config: Path) -> None:
    database = load(config).database
    database.write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)
    assert [f.level for f in found(config, "database")] == [Level.FAIL]


def test_no_admin_key_is_told(tmp_path: Path) -> None:
    initialise(tmp_path / "c.toml", None, [f"data_dir={tmp_path / 'data'}"])
    [finding] = [f for f in files.database(load(tmp_path / "c.toml")) if f.subject == "keys"]
    assert (finding.subject, finding.level) == ("keys", Level.WARN)
    assert "--admin-key" in finding.fix


def test_what_could_not_be_put_right_is_told_as_each_apps(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with closing(Store(settings.database)) as store:
        store.set_server_setting(TROUBLES, [["", "a volume: is in use"], ["shop", "its route in Varnish: no way"]])
    found = [(f.level, f.text) for f in files.database(settings) if f.subject == "apps"]
    assert found == [
        (Level.FAIL, "what belongs to none: a volume: is in use"), (Level.FAIL, "shop: its route in Varnish: no way"),
    ]  # fmt: skip


def test_the_way_to_a_backup_goes_by_the_servers_own_port(tmp_path: Path) -> None:
    initialise(tmp_path / "c.toml", None, [f"data_dir={tmp_path / 'data'}", "ssh.listen=127.0.0.1:2022"])
    settings = load(tmp_path / "c.toml")
    Store(settings.database).create_app("shop")
    [finding] = [f for f in files.database(settings) if f.subject == "backup"]
    assert finding.level == Level.WARN and "ssh -p 2022 deploy@HOST server:backup" in finding.fix


def test_domains_that_only_an_app_can_have_by_its_name_are_told(tmp_path: Path) -> None:
    initialise(tmp_path / "c.toml", None, [f"data_dir={tmp_path / 'data'}", "domain=example.com"])
    settings = load(tmp_path / "c.toml")
    store = Store(settings.database)
    assert list(network.names(settings)) == []
    shop = store.create_app("shop")
    store.add_domain(shop.id, "www.shop.example.com")
    [finding] = network.names(settings)
    assert finding.level is Level.OK
    store.add_domain(shop.id, "store.example.com")
    [finding] = network.names(settings)
    assert (finding.level, finding.subject) == (Level.WARN, "names")
    assert "store.example.com, a domain of shop, is directly below example.com" in finding.text
    assert finding.fix == "domains:remove shop store.example.com, then an app may be called store"
    store.create_app("store")
    [finding] = network.names(settings)
    assert finding.level is Level.FAIL and "routes to the app store, not to shop" in finding.text
    store.close()


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_another_program_holds_is_named_with_the_program(config: Path, taken: int) -> None:
    text = config.read_text().replace('[http]\nlisten = "127.0.0.1:0"', f'[http]\nlisten = "127.0.0.1:{taken}"')
    config.write_text(text)
    [finding] = [f for f in network.ports(load(config)) if f.subject == "http"]
    assert finding.level is Level.FAIL
    assert f"port {taken} is held by " in finding.text
    assert f"(pid {os.getpid()})" in finding.text


def test_a_domain_without_an_address_and_one_that_leads_here(config: Path) -> None:
    text = config.read_text()
    config.write_text(text.replace('domain = "localhost"', 'domain = "nothing.invalid"'))
    [finding] = network.dns(load(config))
    assert (finding.level, "*.nothing.invalid" in finding.fix) == (Level.FAIL, True)
    config.write_text(text.replace('domain = "localhost"', 'domain = "sub.localhost"'))
    [finding] = network.dns(load(config))
    assert finding.level in (Level.OK, Level.FAIL), "names below localhost resolve where the system's resolver says so"
    assert [f.level for f in network.dns(load_default(config, text))] == [Level.WARN]


def test_a_wildcard_record_does_not_lead_pushes_here(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(name: str, port: int, **more: object) -> list[tuple[object, ...]]:
        if name == "apps.example.com":
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    config.write_text(config.read_text().replace('domain = "localhost"', 'domain = "apps.example.com"'))
    apps, itself = network.dns(load(config))
    assert (apps.level, apps.text) == (Level.OK, "*.apps.example.com resolves to 127.0.0.1")
    assert (itself.level, "deploy@apps.example.com" in itself.text) == (Level.WARN, True)


def load_default(config: Path, text: str) -> Settings:
    config.write_text(text)
    return load(config)


@pytest.mark.clients
def test_a_docker_that_is_not_there_is_told_with_its_address(config: Path) -> None:
    [finding] = found(config, "docker")
    assert finding.level is Level.FAIL
    assert "/nowhere/docker.sock" in finding.text + finding.fix


def test_a_clock_that_is_not_synchronised_is_only_a_warning(config: Path) -> None:
    [finding] = machine.clock(load(config))
    assert finding.level in (Level.OK, Level.WARN)


@pytest.mark.clients
def test_the_exit_code_tells_whether_anything_fails(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--config", str(config)]) == 1  # no Docker
    said = capsys.readouterr().out
    assert "fail  docker" in said
    assert "fix: " in said
    assert cli.main(["doctor", "--config", str(config), "--format", "json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert {"subject", "level", "text", "fix"} == set(rows[0])
    assert all(row["fix"] for row in rows if row["level"] == "fail")


@pytest.mark.clients
def test_a_database_that_cannot_be_read_stops_no_other_look(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(config).database.write_bytes(b"no database" * 1000)
    monkeypatch.setattr(network, "wanted", lambda _settings: True)  # Docker is here ...
    monkeypatch.setattr(network, "_speaks_ssh", lambda _listen: True)  # ... and the server runs
    monkeypatch.setattr(network, "rules_of", lambda *_: pytest.fail("without the server's id"))
    [finding] = found(config, "guard")
    assert (finding.level, "database" in finding.text) == (Level.FAIL, True)
    assert [f.level for f in found(config, "database")] == [Level.FAIL]


@pytest.mark.clients
def test_a_database_that_is_gone_while_there_are_copies_is_told(config: Path) -> None:
    database = load(config).database
    database.unlink()
    assert found(config, "database") == []  # `gitship serve` makes it
    (database.parent / "copies").mkdir()
    (database.parent / "copies/gitship-20261128T095041Z-daily.db").touch()
    [finding] = found(config, "database")
    assert (finding.level, "--newest-copy" in finding.fix) == (Level.FAIL, True)
