from __future__ import annotations

from pathlib import Path

import pytest

from gitship import config
from gitship.config import Settings
from gitship.configvalues import Address
from gitship.errors import ConfigError

pytestmark = pytest.mark.unit


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
        ('[ssh]\nlisten = "2222"', "'ssh.listen'", "'2222'"),
        ('[https]\nlisten = "0.0.0.0:0"', "'https.listen'", "0.0.0.0:0"),
        ('[https]\nemail = "nobody"', "'https.email'", "nobody"),
        ('[https]\ndirectory = "http://ca.example.com"', "'https.directory'", "http://ca"),
        ('[https]\ndirectory_ca = "ca.pem"', "'https.directory_ca'", "ca.pem"),
        ('[https]\ncheck_dns = "no"', "'https.check_dns'", "'no'"),
        ('[ssh]\nlisten = "0.0.0.0:70000"', "'ssh.listen'", "70000"),
        ("[docker]\nbuild_cpus = -1", "'docker.build_cpus'", "-1"),
        ('[docker]\nbuild_memory = "much"', "'docker.build_memory'", "much"),
        ('[docker]\ncgroup_parent = "/a/../b"', "'docker.cgroup_parent'", "/a/../b"),
        ('[cron]\ntimezone = "Mars/Base"', "'cron.timezone'", "Mars/Base"),
        ("[docker]\nmax_builds = 0", "'docker.max_builds'", "0"),
        ("[docker]\nmax_builds = true", "'docker.max_builds'", "True"),
        ('[deploy]\non_new_push = "drop"', "'deploy.on_new_push'", "drop"),
        ('data_dir = "relative/path"', "'data_dir'", "relative"),
        ('ssh = "0.0.0.0:22"', "'ssh'", "[ssh]"),
        ('[docker]\naddress_pool = "8.8.8.0/24"', "'docker.address_pool'", "8.8.8.0"),
        ('[docker]\nhost_paths = "/srv"', "'docker.host_paths'", "'/srv'"),
        ('[docker]\nhost_paths = ["srv"]', "'docker.host_paths'", "srv"),
        ('[docker]\nhost_paths = ["/srv", "/"]', "'docker.host_paths'", "'/'"),
        ('[docker]\nhost_paths = ["/srv/../etc"]', "'docker.host_paths'", ".."),
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
