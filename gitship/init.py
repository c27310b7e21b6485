"""`gitship init`: creates config, directories, host key and first admin key. Idempotent."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w

from gitship import config, private_files, public_key
from gitship.config import Settings
from gitship.deploy import hook_files
from gitship.deploy.hook_files import HookPoint
from gitship.errors import ConfigError, GitshipError
from gitship.git import post_receive_hook
from gitship.model import Role
from gitship.ssh import host_key
from gitship.store import Store

HEADER = "# gitship's settings; every key is optional. `gitship help settings` lists them.\n"


def initialise(path: Path, admin_key: Path | None, assignments: Sequence[str]) -> list[str]:
    """What was done, a line each. Raises GitshipError (ConfigError names the key)."""
    said = [_write_config(path, assignments)]  # with the umask of whoever runs it: the service's user has to read it
    with private_files.to_others():
        return said + _data(path, admin_key)


def _data(path: Path, admin_key: Path | None) -> list[str]:
    settings = config.load(path)
    said = []
    _directories(settings)
    host_key.ensure(settings.host_key)
    host_key.ensure(settings.local_key)
    said.append(f"data    {settings.data_dir}")
    said.append(f"hostkey {public_key.parse(host_key.public_line(host_key.ensure(settings.host_key))).fingerprint}")
    post_receive_hook.install(settings.hooks_dir, path.resolve())
    store = Store(settings.database)
    try:
        store.server_id()
        if admin_key is not None:
            said.append(_add_key(store, admin_key))
        elif not store.keys():
            elsewhere = "" if path == config.DEFAULT_CONFIG else f" --config {path}"
            said.append(f"key     none yet: gitship init{elsewhere} --admin-key ~/.ssh/id_ed25519.pub")
    finally:
        store.close()
    return said


def _write_config(path: Path, assignments: Sequence[str]) -> str:
    if path.exists():
        config.load(path)
        return f"config  {path} (kept)" + (" ; --set is for a new one, edit the file instead" if assignments else "")
    data: dict[str, Any] = {"data_dir": str(Settings().data_dir), "domain": "localhost"}
    for assignment in assignments:
        _assign(data, assignment)
    text = HEADER + tomli_w.dumps(data)
    config.parse(text)  # an error is told before anything is written
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return f"config  {path} (written)"


def _assign(data: dict[str, Any], assignment: str) -> None:
    """Puts `ssh.listen=0.0.0.0:2022` or `deploy.keep_releases=3` into the nested data."""
    key, equals, value = assignment.partition("=")
    if not equals:
        raise ConfigError(f"--set {assignment} has no '='", "for instance: --set http.listen=0.0.0.0:8080")
    *sections, name = key.strip().split(".")
    for section in sections:
        data = data.setdefault(section, {})
    try:
        data[name] = tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        data[name] = value  # a text without quotes


def _directories(settings: Settings) -> None:
    for directory in (settings.data_dir, settings.repositories, settings.logs, settings.varnish_dir):
        directory.mkdir(parents=True, exist_ok=True)
    settings.websockets_dir.mkdir(exist_ok=True)
    for place in (settings.tls_dir, settings.certificates):  # there before haproxy's unit looks for them
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    for place in (settings.hooks_dir, *(hook_files.directory(settings.hooks_dir, point) for point in HookPoint)):
        place.mkdir(mode=0o700, exist_ok=True)
    settings.data_dir.chmod(private_files.THROUGH)


def _add_key(store: Store, file: Path) -> str:
    try:
        text = file.expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise GitshipError(f"cannot read {file}: {error.strerror}", "give the path of a .pub file") from None
    except UnicodeDecodeError:
        raise GitshipError(f"{file} is not a public key", "give the path of a .pub file") from None
    if public_key.is_private(text):  # which has gone nowhere: no reason to make a new one
        raise GitshipError(f"{file} is a private key", f"give the public one, for instance {file}.pub")
    key = public_key.parse(text)
    known = store.key_by_fingerprint(key.fingerprint)
    if known is not None:
        return f"key     {known.name} ({known.role}, {key.fingerprint}) exists already"
    listed = store.keys()
    names = {k.name for k in listed}
    base = key.comment or file.stem
    name = next(n for n in (base, *(f"{base}-{i}" for i in range(2, len(names) + 3))) if n not in names)
    store.add_key(name, key.fingerprint, key.line, Role.ADMIN)
    return f"key     {name} (admin, {key.fingerprint})"
