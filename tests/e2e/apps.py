"""The applications that the tests push, each as a fresh git repository on disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

APPS = Path(__file__).parents[1] / "apps"
CA_BUNDLES = (Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pki/tls/certs/ca-bundle.crt"))
PYTHON_IMAGE = "gitship-test-python:3.11"

GIT_ENV = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
}


def clean_env(**more: str) -> dict[str, str]:
    """This process's environment without any GIT_ or SSH_ variable of the person who runs the tests."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "SSH_"))}
    return {**kept, **GIT_ENV, **more}


def git(repository: Path, *args: str, check: bool = True, timeout_s: float = 60) -> str:
    """Runs git in the repository; its standard output. Nothing here talks to the server: see ``Server.push``."""
    done = subprocess.run(
        ["git", *args], cwd=repository, env=clean_env(), capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"git {' '.join(args)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def commit(repository: Path, message: str, files: Mapping[str, str | bytes | None] | None = None) -> str:
    """Writes (or, with None, removes) the files and commits everything; the new commit's id."""
    for name, content in (files or {}).items():
        path = repository / name
        if content is None:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "--allow-empty", "-m", message)
    return git(repository, "rev-parse", "HEAD")


def new_repository(path: Path, files: Mapping[str, str | bytes], message: str = "First version") -> Path:
    """A repository on branch main with one commit."""
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main")
    commit(path, message, files)
    return path


def tiny_dockerfile(
    version: str,
    env: Mapping[str, str] | None = None,
    cmd: str = '["/tiny"]',
    extra: Sequence[str] = (),
    port: int = 8000,
) -> str:
    """tests/apps/tiny/Dockerfile with another version, further environment, command or lines."""
    lines = (APPS / "tiny" / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith(("ENV", "EXPOSE", "CMD")))
    settings = {"VERSION": version, **(env or {})}
    return "\n".join([text, *(f"ENV {k}={v}" for k, v in settings.items()), f"EXPOSE {port}", *extra, f"CMD {cmd}", ""])


def build_tiny(target: Path) -> Path:
    """Compiles tests/apps/tiny/tiny.c, once per test session."""
    command = ["gcc", "-O2", "-static", "-pthread", "-o", str(target), str(APPS / "tiny" / "tiny.c")]
    subprocess.run(command, check=True, timeout=60)
    return target


def tiny(path: Path, binary: Path, version: str = "v1", files: Mapping[str, str] | None = None) -> Path:
    """A repository with the tiny app."""
    content: dict[str, str | bytes] = {"Dockerfile": tiny_dockerfile(version), **(files or {})}
    path.mkdir(parents=True)
    shutil.copy(binary, path / "tiny")
    git(path, "init", "-q", "-b", "main")
    commit(path, f"Version {version}", content)
    return path


def busybox(path: Path) -> Path:
    """A repository with busybox's httpd and one page; needs the host's static busybox."""
    binary = Path(shutil.which("busybox") or "/bin/busybox")
    path.mkdir(parents=True)
    for name in ("Dockerfile", "index.html"):
        shutil.copy(APPS / "busybox" / name, path)
    shutil.copy(binary, path / "busybox")
    git(path, "init", "-q", "-b", "main")
    commit(path, "One page")
    return path


def flaskr(path: Path, cache: Path) -> Path:
    """A repository with Flask's own tutorial application, taken from Flask's source archive on PyPI."""
    archives = sorted(cache.glob("flask-*.tar.gz"))
    if not archives:
        cache.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary=flask",
            "-d",
            str(cache),
            "flask",
        ]
        subprocess.run(command, check=True, timeout=300, stdin=subprocess.DEVNULL)
        archives = sorted(cache.glob("flask-*.tar.gz"))
    path.mkdir(parents=True)
    tutorial = ["--strip-components=3", "--wildcards", "*/examples/tutorial/*"]
    subprocess.run(["tar", "-C", path, "-xf", archives[-1], *tutorial], check=True, timeout=60)
    shutil.copy(APPS / "flaskr" / "Dockerfile", path)
    bundle = next((b for b in CA_BUNDLES if b.is_file()), None)
    assert bundle is not None, "no bundle of certificates on this machine: install ca-certificates"
    shutil.copy(bundle, path / "ca.crt")
    git(path, "init", "-q", "-b", "main")
    commit(path, "Flask's tutorial application")
    return path
