"""Keys of an engine file, its actions and their placeholders, as they are read and as the manual shows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gitship.services.placeholders import MEMORY, SNAPSHOT

# (key, default as a user writes it, what it is); no default: the key must be there.
KEYS = (
    ("title", "", "what people call it"),
    ("image", "", "the image with its registry, without a tag"),
    ("tag", "{version}", "the image's tag of a version, for example `{version}-alpine`"),
    (
        "versions",
        "",
        "the major versions that may be chosen, the default first, with as many numbers as say where data changes: "
        "`17` of PostgreSQL, `10.11` of MariaDB. Tags of the same major may be chosen, too: `17.2`, `17-alpine`",
    ),
    ("other_names", "[]", "names that are answered with this engine's"),
    ("port", "", "the port that it listens on"),
    ("alias", "", "the first part of a link's variables: `DATABASE` makes `DATABASE_URL`"),
    ("url", "", "what a linked app gets. With `{root_password}` in it, all links share that"),
    ("superuser", "none", "the login that `root_password` is for"),
    ("memory", "", "memory limit of the container, for example `512m`"),
    ("least_memory", "6m", "the lowest limit with which it runs"),
    ("shm", "64m", "size of `/dev/shm`"),
    ("stop_signal", "SIGTERM", "the signal that ends it in order"),
    ("stop_timeout", "60s", "how long it may take to end, then it is killed"),
    ("capabilities", "[]", "capabilities beyond those that every container has"),
    ("fixed_hostname", "false", "true: the container always has the same host name, under which it keeps data"),
    ("data", "", "where the image keeps data, or a table of paths, each by the first version that has it there"),
    ("environment", "{}", "the container's environment"),
    ("arguments", "the image's", "the container's command, as a list of words"),
    (
        "expose",
        "none",
        "how clients begin TLS at a port of `services:expose`: `direct` (from the first byte), `postgres` (so, or by "
        "asking as PostgreSQL's do) or `none` (they cannot: it is not exposed)",
    ),
    ("upgrade", "", "how data gets to another major: `dump` (dumped and restored), `in-place` (its files) or `none`"),
    (
        "restore_before_start",
        "false",
        "true: `restore` runs in a container of the same image that has the volume, before the server's first start",
    ),
)


@dataclass(frozen=True, slots=True)
class ActionKey:
    """``values`` are the placeholders that it may have."""

    values: frozenset[str]
    about: str
    required: bool = False
    fed: bool = False  # its standard input is not the file's: a dump, or what a user types


_SERVER = frozenset({"root_password", "port"})
_DATABASE = _SERVER | {"database", "owner"}
_LOGIN = _DATABASE | {"login", "password"}
ACTIONS: Mapping[str, ActionKey] = {
    "ready": ActionKey(
        _SERVER,
        "exits 0 once the server takes connections by TCP. Not by a socket: some images start a server that has only "
        "that while they prepare their data",
        required=True,
    ),
    "version": ActionKey(_SERVER, "prints the version: the first number with dots in it counts", required=True),
    "create": ActionKey(_DATABASE, "makes the database, and an owner that nobody logs in as"),
    "login": ActionKey(
        _LOGIN,
        "makes a login, or gives it another password. Two at once have the same rights, whichever made a table: "
        "that is how passwords are changed without a failed request",
    ),
    "login_read_only": ActionKey(_LOGIN, "makes a login that reads all, also what is made later, and writes nothing"),
    "drop_login": ActionKey(_LOGIN - {"password"}, "removes a login and ends its connections; what it made stays"),
    "snapshot": ActionKey(
        _DATABASE,
        "prints the name of a snapshot of the data, which it holds until its standard input ends. `dump` and `count` "
        "get it as `{snapshot}`, so that rows are counted as the dump has them; else before and after the dump",
    ),
    "dump": ActionKey(_DATABASE | {SNAPSHOT}, "writes the data to standard output, as one stream"),
    "restore": ActionKey(
        _DATABASE, "reads a dump from standard input, after `create`, with nothing in it yet", fed=True
    ),
    "check_dump": ActionKey(_DATABASE, "reads a dump from standard input, and fails when it is not whole", fed=True),
    "count": ActionKey(
        _DATABASE | {SNAPSHOT},
        "prints a line for each table: its name, a tab, its rows. They are compared after a restore",
    ),
    "base": ActionKey(
        _DATABASE,
        "writes a copy of the server's files to standard output while it runs. With the actions below it makes a point "
        "in time possible: all of them, or none",
    ),
    "wal_start": ActionKey(
        _DATABASE | {"spool_kb"},
        "begins, or begins anew, to put each finished segment of WAL whole into an empty spool in the volume, and a "
        "small one within a minute. Once the spool has `spool_kb`, the server goes on and drops segments",
    ),
    "wal_stop": ActionKey(_DATABASE, "ends that, and removes the spool"),
    "wal_list": ActionKey(
        _DATABASE,
        "prints a line for each file in the spool, by name: PostgreSQL's name of the segment (or of the timeline's "
        "history), a tab, its bytes, a tab, when it was written (epoch seconds); and `gap` last if one was dropped",
    ),
    "wal_read": ActionKey(_DATABASE | {"segment"}, "writes that file to standard output"),
    "wal_remove": ActionKey(_DATABASE | {"segment"}, "removes that file from the spool"),
    "wal_switch": ActionKey(
        _DATABASE, "commits a transaction, finishes the segment that it is in, and prints that segment's name"
    ),
    "base_restore": ActionKey(
        _DATABASE, "reads a base from standard input into an empty volume; no server runs then", fed=True
    ),
    "base_replay": ActionKey(
        _DATABASE | {"source", "time", MEMORY},
        "replays WAL on a restored base up to `time`, in epoch seconds (or all there is, if it ends before) in a "
        "server that nobody reaches, and ends that. Prints the name of each file that it needs, then waits for "
        "`base_give`. Afterwards the database `source` and its owner have the new names, the superuser has "
        "`root_password`, and nobody else can log in",
    ),
    "base_give": ActionKey(
        _SERVER,
        "reads the file that was asked for from standard input; nothing at all means that there is none",
        fed=True,
    ),
    "console": ActionKey(_LOGIN - {"root_password"}, "the client that `login` types in", fed=True),
    "metrics": ActionKey(_DATABASE, "prints a line each for `connections` and `size_bytes`: name, tab, number"),
    "set_root_password": ActionKey(
        _SERVER | {"password"},
        "gives the superuser another password, `password` in place of `root_password`. Linked apps must not have that: "
        "not with `{root_password}` in `url`",
    ),
}
POINT_IN_TIME = (
    "base", "wal_start", "wal_stop", "wal_list", "wal_read", "wal_remove", "wal_switch", "base_restore", "base_replay",
    "base_give",
)  # fmt: skip
DOES_NOTHING = ("create", "login", "drop_login")  # when left out
IN_CONTAINER = frozenset({"root_password", "database", "port", MEMORY})  # in `environment`; no secret in `arguments`
IN_URL = frozenset({"root_password", "database", "login", "password", "host", "port"})
