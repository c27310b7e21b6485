from __future__ import annotations

from pathlib import Path

import pytest

from gitship import config
from gitship.config import Settings
from gitship.config_values import Address
from gitship.errors import ConfigError


def test_every_key_is_optional() -> None:
    assert config.parse("") == Settings()


def test_settings_are_read_with_their_types() -> None:
    settings = config.parse(
        'data_dir = "/srv/g"\ndomain = "Example.com."\n[http]\nlisten = ":8080"\n'
        '[deploy]\ndrain_timeout = 5\n[varnish]\nmemory = "1g"\n[docker]\nhost_paths = ["/srv/a", "/srv/b"]\n'
    )
    assert settings.data_dir == Path("/srv/g")
    assert settings.domain == "example.com"
    assert settings.http.listen == Address("0.0.0.0", 8080)
    assert settings.deploy.drain_timeout == 5.0
    assert settings.varnish.memory == 1 << 30
    assert settings.docker.host_paths == (Path("/srv/a"), Path("/srv/b"))


@pytest.mark.parametrize(
    ("text", "named", "hint"),
    [
        ('domian = "x"', "'domian'", "'domain'"),
        ("[deploy]\nkeep_release = 3", "'deploy.keep_release'", "'deploy.keep_releases'"),
        ('[ssh]\nlisten = "2222"', "settings: ssh.listen must", '"2222"'),
        ('[https]\nlisten = "0.0.0.0:0"', "settings: https.listen must", "0.0.0.0:0"),
        ('[https]\nemail = "nobody"', "settings: https.email must", "nobody"),
        ('[https]\ndirectory = "http://ca.example.com"', "settings: https.directory must", "http://ca"),
        ('[https]\ndirectory_ca = "ca.pem"', "settings: https.directory_ca must", "ca.pem"),
        ('[https]\ncheck_dns = "no"', "settings: https.check_dns must", '"no"'),
        ('[ssh]\nlisten = "0.0.0.0:70000"', "settings: ssh.listen must", "70000"),
        ("[docker]\nbuild_cpus = -1", "settings: docker.build_cpus must", "-1"),
        ('[docker]\nbuild_memory = "much"', "settings: docker.build_memory must", "much"),
        ('[docker]\ncgroup_parent = "/a/../b"', "settings: docker.cgroup_parent must", "/a/../b"),
        ('[cron]\ntimezone = "Mars/Base"', "settings: cron.timezone is not a known time zone", "Mars/Base"),
        ("[docker]\nmax_builds = 0", "settings: docker.max_builds must", "0"),
        ("[docker]\nmax_builds = true", "settings: docker.max_builds must", "true"),
        ('[deploy]\non_new_push = "drop"', "settings: deploy.on_new_push must", "drop"),
        ('data_dir = "relative/path"', "settings: data_dir must", "relative"),
        ('ssh = "0.0.0.0:22"', "settings: ssh must", "[ssh]"),
        ('[docker]\naddress_pool = "8.8.8.0/24"', "settings: docker.address_pool must", "8.8.8.0"),
        ('[docker]\nhost_paths = "/srv"', "settings: docker.host_paths must", '"/srv"'),
        ('[docker]\nhost_paths = ["srv"]', "settings: docker.host_paths[0] must", "srv"),
        ('[docker]\nhost_paths = ["/srv", "/"]', "settings: docker.host_paths must", '"/"'),
        ('[docker]\nhost_paths = ["/srv/../etc"]', "settings: docker.host_paths must", ".."),
        ("domain = ", "TOML", "quotes"),
    ],
)
def test_an_error_names_the_key_and_the_way_out(text: str, named: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(text)
    assert named in caught.value.message
    assert hint in caught.value.hint


def test_a_missing_file_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read") as caught:
        config.load(tmp_path / "none.toml")
    assert "gitship init" in caught.value.hint


def test_the_reference_has_a_sentence_for_every_setting() -> None:
    rows = config.reference()
    assert ("deploy.keep_releases", "5") in [(key, default) for key, default, _ in rows]
    assert all(about for _, _, about in rows)
