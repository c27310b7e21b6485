"""`env` of app.json: required, default and generated config variables, as in Heroku and Dokku.

A value is given where the app has none, by its own config or the server's for all apps. With `sync` it is put back at
every push. What is not required is given once: who unsets it does without.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gitship.errors import DeployError
from gitship.model import CONFIG_NAME
from gitship.schema import Value

SECRET = "secret"  # noqa: S105 (the only generator there is)
SECRET_BYTES = 32  # 64 hexadecimal digits, as at Heroku


@dataclass(frozen=True, slots=True)
class DeclaredVariable:
    """``value`` None: it has to be set by hand, unless it is ``generated``."""

    value: str | None = None
    generated: bool = False
    required: bool = True
    sync: bool = False
    description: str = ""

    @property
    def optional(self) -> bool:
        """True for what is given once and may be unset."""
        return not self.required and not self.sync and (self.generated or self.value is not None)


def parse(table: Value) -> dict[str, DeclaredVariable]:
    """By name. Raises ConfigError naming the key."""
    wanted: dict[str, DeclaredVariable] = {}
    for name, value in table.table().items():
        if not CONFIG_NAME.fullmatch(name):
            raise value.error(
                "is not the name of a variable", "use letters, digits and '_', not beginning with a digit"
            )
        wanted[name] = _wanted(value)
    return wanted


def given(
    wanted: Mapping[str, DeclaredVariable], config: Mapping[str, str], before: Collection[str], app: str
) -> dict[str, str]:
    """What a push sets, beside ``config``; ``before`` are names that were given once. Raises DeployError."""
    found: dict[str, str] = {}
    missing: dict[str, DeclaredVariable] = {}
    for name, want in wanted.items():
        if want.sync and want.value is not None:
            if config.get(name) != want.value:
                found[name] = want.value
        elif name in config or (want.optional and name in before):
            continue
        elif want.generated:
            found[name] = secrets.token_hex(SECRET_BYTES)
        elif want.value is not None:
            found[name] = want.value
        elif want.required:
            missing[name] = want
    if missing:
        raise _unset(missing, app)
    return found


def told(wanted: Mapping[str, DeclaredVariable], names: Collection[str]) -> str:
    """The names, and which were made up; never a value."""
    return ", ".join(f"{name} (generated)" if wanted[name].generated else name for name in sorted(names))


def _unset(missing: Mapping[str, DeclaredVariable], app: str) -> DeployError:
    names = list(missing)
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    said = [f"  {name}: {want.description}" for name, want in missing.items() if want.description]
    first = f"config:set {app} {' '.join(f'{name}=...' for name in names)}  then push again"
    return DeployError(
        f"app.json requires {listed}, which {'is' if len(names) == 1 else 'are'} not set", "\n".join([first, *said])
    )


def _wanted(value: Value) -> DeclaredVariable:
    if isinstance(value.raw, str | int | float):
        return DeclaredVariable(_text(value))
    if not isinstance(value.raw, dict):
        raise value.error("must be a string or an object")
    entry = value.table()
    return DeclaredVariable(
        value=_text(entry["value"]) if "value" in entry else None,
        generated="generator" in entry and bool(entry["generator"].choice(SECRET)),
        required=entry["required"].flag() if "required" in entry else True,
        sync=entry["sync"].flag() if "sync" in entry else False,
        description=entry["description"].line() if "description" in entry else "",
    )


def _text(value: Value) -> str:
    """Numbers and true or false, too: what they are called in JSON."""
    return json.dumps(value.raw) if isinstance(value.raw, int | float) else value.text()
