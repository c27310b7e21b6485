"""Suggests the gitship command for a command of Dokku, Heroku or Kamal.

The nearest name by its letters misleads there: of all that gitship has, Dokku's `apps:report` is nearest to
`apps:create`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from gitship.console import suggestions_dokku, suggestions_services

BACKUPS = "`backups:run`, `backups:list`, `backups:restore` for services; `server:backup`, `storage:export`"
KEYS = "`keys:add`, `keys:list`, `keys:limit`, `keys:grant`, `keys:revoke`"

# Names of Dokku's plugins, Heroku, Kamal, flyctl, and words that people try.
OTHERS: Mapping[str, str] = {
    "access:*": KEYS,
    "acl:*": KEYS,
    "backup": BACKUPS,
    "backup:*": BACKUPS,
    "backups:*": BACKUPS,
    "backups:capture": "`backups:run`",
    "backups:create": "`backups:run`",
    "backups:delete": "`backups:remove`",
    "backups:url": "`backups:download`",
    "bash": "`run APP COMMAND` in a new container, `enter APP` in a running one",
    "build": "`ps:rebuild`; a push builds automatically",
    "build:arg": "`builder:set APP --arg-from-config NAME`, or `--arg NAME=VALUE`",
    "build:args": "`builder:set APP --arg-from-config NAME`, or `--arg NAME=VALUE`",
    "certs:auto": "`https:status`",
    "certs:auto:*": "`https:enable`, `https:disable`, `https:renew`",
    "config:add": "`config:set`",
    "config:delete": "`config:unset`",
    "config:edit": "`config:export`, then `config:import`",
    "config:list": "`config:show`",
    "config:remove": "`config:unset`",
    "console": "`run APP COMMAND` in a new container, `enter APP` in a running one",
    "create": "`apps:create`",
    "delete": "`apps:destroy`",
    "deploy": "`git push`; of what the repository has, `git:deploy`",
    "destroy": "`apps:destroy`",
    "details": "`apps:info`, `ps:list`",
    "drains:*": "none: `logs APP -f --format json` can be piped anywhere",
    "env": "`config:show`",
    "exec": "`enter APP PROCESS COMMAND` in a running container, or `run APP COMMAND`",
    "global-cert:*": "`https:enable`, `certs:add`",
    "hostname:*": "`domains:add`, `domains:list`, `domains:remove`",
    "http-auth:*": "`auth:set`, `auth:list`, `auth:remove`, `auth:off`; networks: `allow:add`",
    "info": "`apps:info`",
    "launch": "`apps:create`, or the first push",
    "letsencrypt:*": "`https:enable`, `https:disable`, `https:renew`, `https:status`; renewal is automatic",
    "list": "`apps:list`",
    "lock": "`apps:lock`, `apps:unlock`",
    "ls": "`apps:list`",
    "maintenance:custom-page": "`maintenance:on APP --page - < page.html`",
    "maintenance:disable": "`maintenance:off`",
    "maintenance:enable": "`maintenance:on`",
    "members:*": KEYS,
    "open": "`apps:info`: its urls",
    "pipelines:*": "`releases:promote`, `apps:clone`",
    "prune": "`server:cleanup`; mostly automatic",
    "ps:limit": "`resources:limit`",
    "ps:kill": "`ps:restart`, `ps:stop`",
    "redeploy": "`ps:rebuild`, or without a build `ps:restart`",
    "redirect:*": "`redirects:add`, `redirects:list`, `redirects:remove`",
    "redirects:set": "`redirects:add`",
    "releases:output": "`logs:deploy`",
    "restore": "`gitship restore FILE` on the server; of a volume, `storage:import`",
    "run:inside": "`enter`",
    "secrets:*": "`config:set`, `config:show`, `config:unset`; for builds `builder:set --secret`",
    "setup": "`apps:create`, or the first push",
    "ssh": "`enter APP`",
    "ssl:*": "`https:enable`, `certs:add`",
    "status": "`apps:info`, `ps:list`",
    "tail": "`logs APP -f`",
    "tags": "`git:from-image`, `releases:promote`, `releases:rollback`",
    "tags:*": "`git:from-image`, `releases:promote`, `releases:rollback`",
    "top": "`ps:list APP` for its containers with processor and memory, `stats` for its traffic",
    "traffic": "`stats:show APP`, or `stats:list` for all apps",
    "user:*": KEYS,
    "users": "`keys:list`",
    "users:*": KEYS,
    "vhosts": "`domains:list`",
    "volume:*": "`storage:mount`, `storage:list`, `storage:unmount`, `storage:destroy`",
    "volumes:*": "`storage:mount`, `storage:list`, `storage:unmount`, `storage:destroy`",
    "whoami": "`version`, which any key may ask; admins see names in `keys:list` and `audit`",
} | suggestions_services.rows()


def here(name: str) -> str | None:
    """A sentence on what does the work of that command here; None when nobody is known to have one of that name."""
    known = [(pattern, ours) for theirs, ours in suggestions_dokku.ROWS for pattern in names(theirs)] + list(
        OTHERS.items()
    )
    exact = [ours for pattern, ours in known if pattern == name]
    found = exact or [ours for pattern, ours in known if "*" in pattern and fnmatchcase(name, pattern)]
    if not found:
        return None
    ours = re.sub(r"^none(?: yet)?: ", "gitship has no such command: ", found[0])
    return ours if ours.startswith(("automatic", "gitship has no")) else f"use {ours}"


def names(cell: str) -> list[str]:
    """Dokku's commands in a cell of the table; ``nginx:*`` stands for all of a noun."""
    return re.findall(r"`([^`]+)`", cell)


def table() -> str:
    """The manual's."""
    return "\n".join(
        ["| Dokku | gitship |", "| --- | --- |", *(f"| {theirs} | {ours} |" for theirs, ours in suggestions_dokku.ROWS)]
    )
