"""Every shell block of README and the manual, in their order, in one shell, against a real server. A wrong one ends it.

What cannot run here stands below with its reason, line for line; an entry that is in neither any more fails, too.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import apps, laptop, python_image
from tests.e2e.harness import Server, running
from tests.manual import blocks
from tests.places import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

BLOCKS = blocks("sh")
IMAGE = "python:3.12-slim"
FOLLOW_S = 2
BACK_S = 120  # all apps are built again

BARE = "it changes the machine; test_install.py runs it on a bare one"
NO_DOKKU = "there is no Dokku here"
NO_REGISTRY = "no such registry; test_sources.py has one of its own"
NO_AUTHORITY = "it needs a public domain; test_https.py asks an authority of its own"
NO_SUDO = "it is root's, and looks where install.sh puts Varnish; front/test_request_id.py runs it"
NOT_RUN = {
    "sudo ./install.sh": BARE,
    "sudo ./install.sh --domain apps.example.com": BARE,
    "sudo ./install.sh --dry-run": BARE,
    "sudo ./install.sh --upgrade": BARE,
    "sudo ./install.sh --rollback": BARE,
    "sudo ./install.sh --stop": BARE,
    "sudo ./install.sh --uninstall": BARE,
    "sudo ./install.sh --test": "it is what runs this",
    "sudo ./install.sh --test -- tests/unit": "it is what runs this",
    ".ci/quick": "it is part of what runs this",
    "sudo .ci/pytest tests/e2e/test_queue.py": "it runs beside this",
    "ship https:enable hello": NO_AUTHORITY,
    "ship https:enable store": NO_AUTHORITY,
    "ssh dokku@old config:export --format envfile store | ship config:import store --no-restart": NO_DOKKU,
    "ssh old tar -C /var/lib/dokku/data/storage/store -c . > store.tar": NO_DOKKU,
    "ship git:from-image shop registry.example.com/shop:1.2": NO_REGISTRY,
    "ship registry:login registry.example.com ci < password.txt": NO_REGISTRY,
    "sudo varnishlog -n /var/lib/gitship/varnish/workdir -d -g request -q 'ReqHeader ~ \"1764043791-32770\"'": NO_SUDO,
    "ship notify:test ops": "nobody listens there; test_webhooks.py does",
}

# What a reader has when he comes to the block that begins so.
BEFORE = {
    "git remote add deploy ssh://deploy@apps.example.com:2222/shop": "cd ~/shop",
    "mkdir hello && cd hello && git init -b main": "cd ~",
    "alias ship='ssh -p 2222 deploy@localhost'": """
        cp -r ~/files/. .
        (cd ~/staging && git push -q ssh://deploy@localhost:2222/staging main)
        (cd ~/shop && git push -q -o no-deploy deploy main:feature)""",
    "(umask 077 && printf '%s\\n' \"$DEPLOY_KEY\" > deploy_key)": """
        DEPLOY_KEY=$(cat ci_key) DEPLOY_KNOWN_HOSTS=$(cat ci_known_hosts)""",
    "ship apps:create store": "unset GIT_SSH_COMMAND; tar -cf store.tar index.html",
}
AFTER = {
    "cat > /var/lib/gitship/hooks": 'rm "$DATA"/hooks/before-switch.d/*',  # it refuses at weekends
    "sudo gitship restore --check": f"""
        ship config:get hello FROM_FILE
        timeout {BACK_S} sh -c 'until curl -s -o page -H "Host: hello.localhost" http://localhost/; do sleep 0.5; done'
        grep "Hello from gitship" page""",
}
TOML = [block for block in blocks("toml") if block.startswith("# gitship.toml")]


def stripped(line: str) -> str:
    return re.sub(r"\s+#.*", "", line).strip()


def line_to_run(line: str) -> str:
    """As it stands; what follows for ever ends after a while, as by Ctrl-C."""
    command = stripped(line)
    if command in NOT_RUN:
        return f"true # {command}"
    if re.match(r"ship logs .*-f\b", command):
        words = command.replace("ship", "ssh -p 2222 deploy@localhost", 1)
        return f"timeout {FOLLOW_S} {words} || [ $? -eq 124 ]"
    return line.replace("deploy@apps.example.com:2222", "deploy@localhost:2222")  # the laptop is the server here


def script(data_dir: Path) -> str:
    parts = ["set -eE -o pipefail", "shopt -s expand_aliases", f"DATA={data_dir}"]
    parts.append("""trap 'echo "wrong: line $LINENO: $BASH_COMMAND" >&2' ERR""")
    for number, block in enumerate(BLOCKS):
        first = stripped(block.splitlines()[0])
        hook = next((text for start, text in BEFORE.items() if first == start), "")
        parts += [f"echo '== block {number}' >&2", *(line.strip() for line in hook.splitlines())]
        parts += [line_to_run(line) for line in block.splitlines()]
        after = next((text for start, text in AFTER.items() if first.startswith(start)), "")
        parts += [line.strip() for line in after.splitlines()]
    return "\n".join(parts).replace("/var/lib/gitship/", f"{data_dir}/") + "\necho '== done' >&2\n"


def files(place: Path, binary: Path) -> None:
    """What the examples read."""
    place.mkdir()
    for name in ("colleague", "guest"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / name], check=True, timeout=30)
    (place / ".env").write_text("FROM_FILE=yes\n")
    for name in ("migrate", "sync", "report"):
        (place / name).write_text("#!/bin/sh\necho done\n")
        (place / name).chmod(0o755)
    (place / "gitship.toml").write_text("\n".join(TOML))
    (place / "hello.vcl").write_text('sub app_deliver { set resp.http.x-hello = "yes"; }\n')
    certificate = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "privkey.pem", "-out", "fullchain.pem",
        "-days", "30", "-subj", "/CN=www.example.com", "-addext", "subjectAltName=DNS:www.example.com",
    ]  # fmt: skip
    subprocess.run(certificate, cwd=place, check=True, capture_output=True, timeout=60)
    archive = place.parent / "archive"
    apps.tiny(archive, binary, version="v9")
    subprocess.run(["tar", "-C", archive, "--exclude=.git", "-czf", place / "shop.tar.gz", "."], check=True, timeout=60)


@pytest.fixture
def reader(
    request: pytest.FixtureRequest, base: Path, docker_host: str, tiny_binary: Path, python_base: str
) -> Iterator[Server]:
    https = {"listen": f"127.0.0.1:{free_port()}"}
    with (
        python_image.named(docker_host, IMAGE),
        running(base / "server", docker_host, lambda: False, https=https) as server,
    ):
        yield server


def test_every_block_runs_in_order(reader: Server, base: Path, tiny_binary: Path) -> None:
    home = base / "home"
    env = laptop.make(home, reader)
    env["HOME"] = str(home)
    files(home / "files", tiny_binary)
    apps.tiny(home / "shop", tiny_binary)
    apps.tiny(home / "staging", tiny_binary)
    shutil.copytree(home / "shop", home / "copy")
    text = script(reader.data_dir)
    (home / "script.sh").write_text(text)
    with (home / "said").open("wb") as said, laptop.unit(home, reader):
        done = subprocess.run(
            ["bash", str(home / "script.sh")], cwd=home, env=env, stdin=subprocess.DEVNULL, stdout=said,
            stderr=subprocess.STDOUT, timeout=800, check=False,
        )  # fmt: skip
    output = (home / "said").read_text(errors="replace")
    assert done.returncode == 0, output[-5000:] + numbered(text, output)
    assert output.count("== block") == len(BLOCKS)
    assert output.endswith("== done\n")


def numbered(text: str, output: str) -> str:
    found = re.search(r"wrong: line (\d+)", output)
    return f"\n--- as written: {text.splitlines()[int(found[1]) - 1]}" if found else ""


def test_what_is_not_run_is_still_written() -> None:
    lines = {stripped(line) for block in BLOCKS for line in block.splitlines()}
    assert set(NOT_RUN) - lines == set()
    firsts = {stripped(block.splitlines()[0]) for block in BLOCKS}
    assert set(BEFORE) - firsts == set()
    assert all(any(first.startswith(start) for first in firsts) for start in AFTER)


def test_a_wrong_command_ends_the_run(base: Path) -> None:
    """The shell's own part of it: an error in the middle of a block is one of the whole."""
    for wrong in ("false\ntrue", "false | true", "x=$(false)"):
        parts = ["set -eE -o pipefail", wrong, "echo still here"]
        done = subprocess.run(["bash", "-c", "\n".join(parts)], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode != 0
        assert "still here" not in done.stdout
