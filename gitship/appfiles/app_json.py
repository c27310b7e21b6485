"""Parser of `app.json`, as Dokku reads it: env, formation, healthchecks, cron and deploy scripts.

Source: Dokku's "app.json" and "Scheduled Cron Tasks", docker-container-healthchecker's "File Format". Everything else
in the file (Heroku has many keys) is passed over and told of, but what is read must be of the right kind. `onFailure`
is never run: it is a command for the host. A check with `warn` cannot fail a deploy and so is not made. A cron entry
without `concurrency_policy` is skipped while it still runs; Dokku would start it beside itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from gitship.appfiles import app_json_env, cron_schedule
from gitship.appfiles.app_json_env import DeclaredVariable
from gitship.appfiles.command_line import Command, read_command
from gitship.errors import ConfigError
from gitship.model import Check, CronEntry, Overlap
from gitship.schema import Value, decode

FILE = "app.json"
ATTEMPTS = 3
WAIT_S = 5
TIMEOUT_S = 5
UPTIME_S = 3.0  # longer than an interpreter needs to import an app and fail (Flask: 0.7 s), short against Dokku's 10
STARTUP = "startup"

CONCURRENCY = {"allow": Overlap.ALLOW, "forbid": Overlap.SKIP, "replace": Overlap.REPLACE}

MOST_NAME_CHARS = 40

READ = {"cron", "env", "formation", "healthchecks", "scripts"}
DESCRIBES = {"$schema", "description", "keywords", "logo", "name", "repository", "success_url", "website"}
SCRIPTS = {"predeploy", "postdeploy"}

_HIGH = 86_400

# Every key that is read, as (path, default, sentence), for the manual; a test holds it against the parser.
KEYS = (
    ("formation.<type>.quantity", "", "number of containers of a process type"),
    (
        "scripts.dokku.predeploy",
        "none",
        "command run in the new release, before `release:` of the Procfile and the switch",
    ),
    ("scripts.dokku.postdeploy", "none", "command run once the release is live"),
    ("scripts.postdeploy", "none", "command run once the app's first release is live, as on Heroku"),
    ("env.<name>", "", "its value as a string, or an object with the keys below"),
    ("env.<name>.value", "none", "value to set if the app has none"),
    ("env.<name>.generator", "none", '"secret" generates 64 random hexadecimal digits'),
    ("env.<name>.required", "true", "a push without this variable is refused"),
    ("env.<name>.sync", "false", "true: set the value again on every push"),
    ("env.<name>.description", "none", "shown when the variable is missing"),
    ("cron[].command", "", "a command or a process type; the entry is named after it"),
    ("cron[].schedule", "", "five fields as in crontab(5), or a name such as @daily"),
    (
        "cron[].concurrency_policy",
        "forbid",
        "if the previous run is still running: forbid (skip), allow, or replace (stop it)",
    ),
    ("cron[].maintenance", "false", "true: only `cron:run` runs it, until `cron:resume`"),
    ("healthchecks.<type>[].type", STARTUP, "startup: checked in a deploy; readiness and liveness have no effect"),
    ("healthchecks.<type>[].name", "none", "the check's name"),
    ("healthchecks.<type>[].path", "", "the path that must answer with a status below 400"),
    ("healthchecks.<type>[].listening", "false", "true: the port must accept connections"),
    ("healthchecks.<type>[].command", "", "a command in the container that must exit 0, as a list"),
    (
        "healthchecks.<type>[].uptime",
        f"{UPTIME_S:g}",
        "seconds that the container must stay up, if there is no other check",
    ),
    ("healthchecks.<type>[].port", "the process's port", "the port to check"),
    ("healthchecks.<type>[].scheme", "http", "http or https"),
    ("healthchecks.<type>[].httpHeaders", "none", 'request headers, each `{"name": ..., "value": ...}`'),
    ("healthchecks.<type>[].content", "none", "text that the response must contain"),
    ("healthchecks.<type>[].attempts", f"{ATTEMPTS}", "number of attempts before the deadline"),
    ("healthchecks.<type>[].wait", f"{WAIT_S}", "seconds between attempts, used to compute the deadline"),
    ("healthchecks.<type>[].timeout", f"{TIMEOUT_S}", "seconds per attempt"),
    ("healthchecks.<type>[].initialDelay", "0", "seconds before the first attempt"),
    ("healthchecks.<type>[].warn", "false", "true: the check cannot fail a deploy, so it is skipped"),
)


@dataclass(frozen=True, slots=True)
class AppJson:
    """``checks`` has only the types that have a check to make at a deploy.

    ``first_postdeploy`` is Heroku's `scripts.postdeploy`: once in an app's life. ``ignored`` are the paths of what has
    no effect here.
    """

    formation: Mapping[str, int] = field(default_factory=dict)
    checks: Mapping[str, tuple[Check, ...]] = field(default_factory=dict)
    predeploy: Command | None = None
    postdeploy: Command | None = None
    cron: tuple[CronEntry, ...] = ()
    env: Mapping[str, DeclaredVariable] = field(default_factory=dict)
    first_postdeploy: Command | None = None
    ignored: tuple[str, ...] = ()


def parse(content: bytes) -> AppJson:
    """Raises ConfigError naming the key, for instance "healthchecks.web[0].attempts"."""
    try:
        data = json.loads(decode(FILE, content))
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{FILE} is not valid JSON: {error}", "separate entries with commas, with none at the end"
        ) from None
    top = Value(FILE, "", data).table()
    formation: dict[str, int] = {}
    for name, entry in _tables(top, "formation"):
        if "quantity" in entry:
            formation[name] = entry["quantity"].whole(0, 1000)
    checks: dict[str, tuple[Check, ...]] = {}
    for name, value in (top["healthchecks"].table() if "healthchecks" in top else {}).items():
        made = [_check(item) for item in value.items()]
        if wanted := tuple(check for check in made if check is not None):
            checks[name] = wanted
    scripts = dict(_tables(top, "scripts", only="dokku")).get("dokku", {})
    cron = _cron(top["cron"]) if "cron" in top else ()
    return AppJson(
        formation, checks, _script(scripts, "predeploy"), _script(scripts, "postdeploy"), cron,
        env=app_json_env.parse(top["env"]) if "env" in top else {},
        first_postdeploy=_script(top["scripts"].table(), "postdeploy") if "scripts" in top else None,
        ignored=tuple(_ignored(top)),
    )  # fmt: skip


def _ignored(top: Mapping[str, Value]) -> Iterator[str]:
    """Paths of what is in the file and does nothing here; what only describes the app is not meant to."""
    yield from (key for key in top if key not in READ | DESCRIBES)
    for name, entry in _tables(top, "formation"):
        yield from (f"formation.{name}.{key}" for key in entry if key != "quantity")
    for key, value in (top["scripts"].table() if "scripts" in top else {}).items():
        if key == "dokku":
            yield from (f"scripts.dokku.{name}" for name in value.table() if name not in SCRIPTS)
        elif key != "postdeploy":
            yield f"scripts.{key}"
    for name, value in (top["healthchecks"].table() if "healthchecks" in top else {}).items():
        for number, item in enumerate(value.items()):
            entry, at = item.table(), f"healthchecks.{name}[{number}]"
            if "type" in entry and entry["type"].raw not in ("", STARTUP):
                yield f"{at}.type"
            elif "warn" in entry and entry["warn"].raw:
                yield f"{at}.warn"
            if "onFailure" in entry:
                yield f"{at}.onFailure"


def _cron(value: Value) -> tuple[CronEntry, ...]:
    """Dokku's entries have no names: they are called by their command."""
    found: dict[str, CronEntry] = {}
    for item in value.items():
        entry = item.table()
        for key in ("command", "schedule"):
            if key not in entry:
                raise item.error(f'must have a "{key}"')
        name = _name_for(entry["command"].text(), found)
        policy = entry["concurrency_policy"].choice("", *CONCURRENCY) if "concurrency_policy" in entry else ""
        found[name] = CronEntry(
            name=name,
            schedule=entry["schedule"].parsed(cron_schedule.parse),
            command=read_command(entry["command"]),
            source=FILE,
            overlap=CONCURRENCY.get(policy, Overlap.SKIP),
            suspended=entry["maintenance"].flag() if "maintenance" in entry else False,
        )
    return tuple(found.values())


def _name_for(command: str, taken: Collection[str]) -> str:
    """What an entry without a name is called: ``npm-run-report``, and ``npm-run-report-2`` when that is taken."""
    words = re.sub(r"[^a-z0-9]+", "-", command.lower())[: MOST_NAME_CHARS + 1].strip("-")
    name = words[:MOST_NAME_CHARS].strip("-") or "entry"
    number = 1
    while (numbered := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return numbered


def _tables(top: Mapping[str, Value], key: str, only: str = "") -> list[tuple[str, dict[str, Value]]]:
    if key not in top:
        return []
    return [(name, value.table()) for name, value in top[key].table().items() if only in ("", name)]


def _script(scripts: Mapping[str, Value], name: str) -> Command | None:
    return read_command(scripts[name]) if name in scripts and scripts[name].text().strip() else None


def _check(value: Value) -> Check | None:
    """None for a check that is not made at a deploy."""
    entry = value.table()

    def seconds(key: str, default: float) -> float:
        return number if (number := entry[key].whole(-_HIGH, _HIGH) if key in entry else 0) > 0 else default

    attempts = int(seconds("attempts", ATTEMPTS))
    wait_s, timeout_s = seconds("wait", WAIT_S), seconds("timeout", TIMEOUT_S)
    delay_s, uptime_s = seconds("initialDelay", 0), seconds("uptime", 0)
    kinds = _kinds(value, entry, uptime_s)
    check = Check(
        kind=kinds[0] if kinds else "uptime",
        name=entry["name"].line() if "name" in entry else "",
        path=entry["path"].http_path() if "http" in kinds else "/",
        port=entry["port"].whole(0, 65535) or None if "port" in entry else None,
        scheme=(entry["scheme"].choice("", "http", "https") or "http") if "scheme" in entry else "http",
        headers=_headers(entry["httpHeaders"]) if "httpHeaders" in entry else {},
        content=(entry["content"].text() or None) if "content" in entry else None,
        command=tuple(word.text() for word in entry["command"].items()) if "command" in kinds else (),
        uptime_s=(uptime_s or UPTIME_S) if not kinds or "uptime" in kinds else 0.0,
        initial_delay_s=delay_s,
        timeout_s=timeout_s,
        deadline_s=max(delay_s + attempts * (wait_s + timeout_s), delay_s + uptime_s + timeout_s),
    )
    type_ = entry["type"].choice("", STARTUP, "readiness", "liveness") if "type" in entry else STARTUP
    warns = entry["warn"].flag() if "warn" in entry else False
    return check if type_ in ("", STARTUP) and not warns else None


def _kinds(value: Value, entry: Mapping[str, Value], uptime_s: float) -> list[str]:
    has = {
        "listening": entry["listening"].flag() if "listening" in entry else False,
        "command": bool(entry["command"].items()) if "command" in entry else False,
        "http": bool(entry["path"].text()) if "path" in entry else False,
        "uptime": uptime_s > 0,
    }
    kinds = [kind for kind, there in has.items() if there]
    if len(kinds) > 1:
        names = " and ".join("path" if kind == "http" else kind for kind in kinds)
        raise value.error(f"must be one check, not {names} at once", "make each a check of its own")
    return kinds


def _headers(value: Value) -> dict[str, str]:
    headers: dict[str, str] = {}
    for item in value.items():
        entry = item.table()
        if "name" not in entry:
            raise item.error('must have a "name"')
        name = entry["name"].header_name()
        headers[name] = entry["value"].header_value() if "value" in entry else ""
    return headers
