"""What README and the manual say beside the reference: commands that are there, and a place for each of Dokku's."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from gitship import config, docs
from gitship.console import command_registry
from gitship.engine.hardening import KEPT, PIDS_LIMIT
from gitship.front.varnishd import Varnishd
from gitship.git.build_context import MAX_DOCKERIGNORE_BYTES
from gitship.schema import MOST_BYTES
from gitship.ssh.connection_limits import ConnectionLimits
from tests.manual import PROSE, README, TEXTS, blocks

COMMAND = re.compile(r"[a-z]+(?::[a-z-]+)+")
SENT = re.compile(r"^(?:ship|ssh -p 2222 deploy@\S+) (.+)$")


def shown_commands() -> list[str]:
    """What the examples send to the server: lines of shell blocks, without comments, pipes and redirections."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    sent = [SENT.match(line.strip()) for line in lines]
    sent += [SENT.match(line.partition("| ")[2].strip()) for line in lines if "| ship " in line]
    return [re.split(r"\s[<>|#]", found[1])[0].strip() for found in sent if found]


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 300


def test_every_file_of_the_manual_is_a_topic_with_a_title_and_a_line_about_it() -> None:
    assert {path.stem for path in docs.HERE.glob("*.md")} == set(docs.topics())
    for topic in docs.topics().values():
        assert topic.title and topic.about.endswith(".") and len(topic.about) <= 140, topic.name


def anchors(text: str) -> set[str]:
    """As GitHub makes them of headings."""
    code = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return {docs.anchor(heading) for heading in re.findall(r"^#+ (.+)$", code, re.MULTILINE)}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", TEXTS[path])
    for link in links:
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if path.name != "README.md":
            assert target in TEXTS and target.parent == docs.HERE, f"{link}: not shipped with the manual"
        assert not anchor or anchor in anchors(TEXTS[target]), link


def test_readme_leads_to_every_topic() -> None:
    linked = set(re.findall(r"\(gitship/docs/([a-z-]+)\.md\)", README))
    assert linked == set(docs.topics())


def test_there_are_examples() -> None:
    assert len(shown_commands()) > 15


@pytest.mark.parametrize("line", shown_commands())
def test_a_command_that_is_shown_parses(line: str) -> None:
    name, *words = shlex.split(line)
    command = command_registry.find(name)
    assert command is not None, name
    tokens, _ = command_registry.quieted(command, tuple(words))
    command_registry.parse(command, tokens)


def dokku_rows() -> list[tuple[str, str]]:
    table = PROSE.partition("| Dokku | gitship |")[2].partition("\n\n")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return [(left, right) for left, right in cells]


def test_the_table_has_every_noun_of_dokku() -> None:
    left = " ".join(row[0] for row in dokku_rows())
    for noun in (
        "app-json", "apps", "builder", "builder-dockerfile", "builds", "certs", "checks", "config", "cron",
        "docker-options", "domains", "events", "git", "logs", "maintenance", "network", "nginx", "plugin", "ports",
        "proxy", "ps", "registry", "repo", "resource", "run", "scheduler", "ssh-keys", "storage", "trace",
    ):  # fmt: skip
        assert re.search(rf"`{noun}(:[a-z*-]+)?`", left), noun


@pytest.mark.parametrize(("dokku", "ours"), dokku_rows())
def test_each_of_dokkus_commands_has_one_here_or_a_reason(dokku: str, ours: str) -> None:
    assert "`" in dokku
    names = [word for quoted in re.findall(r"`([^`]+)`", ours) for word in quoted.split()[:1]]
    known = {alias for c in command_registry.load().values() for alias in (c.name, *c.aliases)}
    if reason := re.match(r"(?:none|none yet|automatic)(?:: | )(.*)", ours):
        assert len(reason[1]) >= len("one machine"), "a reason"
    else:
        assert names or "`gitship serve" in ours, ours
    for name in names:
        if COMMAND.fullmatch(name):
            assert name in known, f"{name} is no command"


def test_settings_that_are_named_exist() -> None:
    known = {key for key, _, _ in config.reference()}
    sections = {key.partition(".")[0] for key in known if "." in key}
    for name in re.findall(r"`([a-z]+\.[a-z_]+)`", PROSE):
        if name.partition(".")[0] in sections and not name.endswith((".toml", ".json")):
            assert name in known, name


def test_varnishs_log_is_looked_for_where_it_is() -> None:
    workdir = Varnishd(replace(config.Settings(), data_dir=Path("/var/lib/gitship")).varnish_dir).workdir
    shown = re.findall(r"varnishlog -n (\S+)", PROSE)
    assert shown and set(shown) == {str(workdir)}


def test_figures_of_limits_are_the_codes() -> None:
    security = " ".join(docs.topics()["security"].text.split())
    limits, words = (
        ConnectionLimits(),
        ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    )
    assert limits.failed_logins_window_s == 60
    assert f"{limits.failed_logins_per_address} wrong keys a minute and address" in security
    assert f"with {words[len(KEPT)]} capabilities" in security
    assert f"at most {PIDS_LIMIT:,} processes" in security
    assert f"may have {MOST_BYTES >> 10} KB." in PROSE and MOST_BYTES == MAX_DOCKERIGNORE_BYTES
    assert "Only on 127.0.0.1" in security and config.Settings().web.listen.host == "127.0.0.1"
