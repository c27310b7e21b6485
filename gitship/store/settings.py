"""Settings made by command: per app (typed, declared in ``appsettings``), for the server, and for all apps.

In the database a setting is its name and its value as JSON. It is read when somebody asks for it, so that a damaged
one stops what needs it, and nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

from gitship.errors import DamagedSetting
from gitship.store.database import Database

log = logging.getLogger("gitship.store")
T = TypeVar("T")
Changes = Mapping[str, Any]  # made by ``Setting.to``: values as they are stored, by name; None unsets


@dataclasses.dataclass(frozen=True)
class Declaration(Generic[T]):
    """``told`` is how messages call it, "" when they do not; ``cloned``: `apps:clone` gives the new app the same.

    ``for_builds``: it counts at the next build, and not before.
    """

    name: str
    type: type[T]
    about: str
    told: str = ""
    cloned: bool = False
    for_builds: bool = False


class Setting(Declaration[T]):
    """One that an app has, or has not."""

    def to(self, value: T | None) -> dict[str, Any]:
        """The change to ``value``; None unsets."""
        return {self.name: json.loads(json.dumps(value, default=dataclasses.asdict))}

    def read(self, raw: Any) -> T:
        """Raises ValueError or TypeError when ``raw`` is of another kind."""
        value: T = _typed(self.type, raw)
        return value


@dataclasses.dataclass(frozen=True)
class Family(Declaration[T]):
    """Settings of one kind, each under ``name`` and a key of its own, which takes the place of ``{}`` in ``told``.

    ``fields`` are the types of their values by what follows the last dot of the key; T is Any then.
    """

    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    def __call__(self, key: str) -> Setting[T]:
        kind = self.fields.get(_field(key), self.type)
        return Setting(self.name + key, kind, self.about, self.told.format(key), self.cloned, self.for_builds)

    def to(self, values: Mapping[str, T | None]) -> dict[str, Any]:
        """The changes to these values, by key; None unsets."""
        return {name: stored for key, value in values.items() for name, stored in self(key).to(value).items()}

    def keys(self, names: Iterable[str]) -> list[str]:
        """Of those names that belong to it; a field that this version does not have is none."""
        found = [name.removeprefix(self.name) for name in names if name.startswith(self.name)]
        return [key for key in found if not self.fields or _field(key) in self.fields]


def _field(key: str) -> str:
    return key.rpartition(".")[2]


@dataclasses.dataclass(frozen=True, slots=True)
class AppSettings:
    """An app's settings at one moment; ``values`` is each one's JSON, by name."""

    app_id: int
    values: Mapping[str, str]

    def get(self, setting: Setting[T]) -> T | None:
        """None when it is not set. Raises DamagedSetting."""
        text = self.values.get(setting.name)
        if text is None:
            return None
        try:
            return setting.read(json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            raise DamagedSetting(
                f"the setting {setting.name} of app {self.app_id} is damaged: {str(error)[:200]}",
                "set it again, or restore a backup",
            ) from None

    def all(self, family: Family[T]) -> dict[str, T]:
        """By key, in order. Raises DamagedSetting."""
        found = {key: self.get(family(key)) for key in sorted(family.keys(self.values))}
        return {key: value for key, value in found.items() if value is not None}

    def stored(self, names: Iterable[str]) -> dict[str, Any]:
        """Those as they are stored, None for what is not set; what is no JSON counts as not set."""
        return {name: _loaded(self.values.get(name)) for name in names}

    def differing(self, changes: Changes) -> dict[str, Any]:
        """Those changes that would change something."""
        now = self.stored(changes)
        return {name: value for name, value in changes.items() if now[name] != value}

    def changed(self, changes: Changes) -> AppSettings:
        values = {**self.values, **{name: json.dumps(value) for name, value in changes.items()}}
        return AppSettings(
            self.app_id, {name: text for name, text in values.items() if changes.get(name, 0) is not None}
        )


class StoredSettings(Database):
    """The tables."""

    def setting(self, app_id: int, setting: Setting[T]) -> T | None:
        """The value, or None when it is not set. Raises DamagedSetting."""
        rows = self._rows("SELECT name, value FROM settings WHERE app_id = ? AND name = ?", app_id, setting.name)
        return AppSettings(app_id, dict(rows)).get(setting)

    def app_settings(self, app_id: int) -> AppSettings:
        return AppSettings(
            app_id, dict(self._rows("SELECT name, value FROM settings WHERE app_id = ? ORDER BY name", app_id))
        )

    def setting_of_all(self, setting: Setting[T]) -> dict[int, T]:
        """By the ids of the apps that have it. A damaged one is logged, and counts as not set."""
        found: dict[int, T] = {}
        for app_id in self.apps_with_setting(setting):
            try:
                value = self.setting(app_id, setting)
            except DamagedSetting as error:
                log.warning("%s", error.message)
            else:
                found |= {} if value is None else {app_id: value}
        return found

    def apps_with_setting(self, setting: Setting[Any]) -> set[int]:
        """The ids of the apps that have it, whatever its value."""
        return {app_id for (app_id,) in self._rows("SELECT app_id FROM settings WHERE name = ?", setting.name)}

    def set_setting(self, app_id: int, setting: Setting[T], value: T | None) -> None:
        """None unsets."""
        self.change_settings(app_id, setting.to(value))

    def change_settings(self, app_id: int, changes: Changes) -> None:
        """All of them or none."""
        with self.transaction() as db:
            for name, value in changes.items():
                db.execute("DELETE FROM settings WHERE app_id = ? AND name = ?", (app_id, name))
                if value is not None:
                    db.execute("INSERT INTO settings VALUES (?, ?, ?)", (app_id, name, json.dumps(value)))

    def server_setting(self, name: str) -> Any | None:
        """A value of the whole server that a command has set, or None."""
        row = self._row("SELECT value FROM server_settings WHERE name = ?", name)
        return json.loads(row[0]) if row else None

    def set_server_setting(self, name: str, value: Any | None) -> None:
        """None unsets."""
        with self.transaction() as db:
            db.execute("DELETE FROM server_settings WHERE name = ?", (name,))
            if value is not None:
                db.execute("INSERT INTO server_settings VALUES (?, ?)", (name, json.dumps(value)))

    def global_config(self) -> dict[str, str]:
        """Config below every app's own."""
        return dict(self._rows("SELECT name, value FROM global_config ORDER BY name"))

    def replace_global_config(self, values: Mapping[str, str]) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM global_config")
            db.executemany("INSERT INTO global_config VALUES (?, ?)", list(values.items()))


def _loaded(text: str | None) -> Any | None:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return None


_hints = cache(get_type_hints)


def _typed(kind: Any, raw: Any) -> Any:
    """``raw``, from JSON, as ``kind``: a dataclass, TypedDict, enum, tuple, dict, union or plain type."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is UnionType:
        kind = NoneType if raw is None else next(one for one in args if one is not NoneType)
        return _typed(kind, raw)
    if origin is tuple and isinstance(raw, list):
        return tuple(_typed(args[0], item) for item in raw)
    if origin is dict and isinstance(raw, dict):
        return {name: _typed(args[1], item) for name, item in raw.items()}
    if (dataclasses.is_dataclass(kind) or is_typeddict(kind)) and isinstance(raw, dict):
        hints = _hints(kind)
        return kind(**{name: _typed(hints.get(name), item) for name, item in raw.items()})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(raw)
    if type(raw) is not kind and not (kind is float and type(raw) is int):
        raise TypeError(f"{json.dumps(raw)[:60]} is not {getattr(kind, '__name__', 'of it')}")
    return raw
