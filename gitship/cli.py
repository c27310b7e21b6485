"""Command line: `init | serve | stop-front | attend | limit-builds | doctor | restore`; others go to the server."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import signal
import stat
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gitship import __version__, log_format
from gitship.config import DEFAULT_CONFIG, Settings, load
from gitship.config_values import Address
from gitship.errors import GitshipError

OWN = ("init", "serve", "stop-front", "attend", "limit-builds", "doctor", "restore")
EPILOG = """Any other argument is an admin command for the running server, for instance:
  gitship apps:list            gitship logs shop -f            gitship help
The same commands work from anywhere: ssh -p 2222 deploy@HOST apps:list"""
WITHOUT_RIGHTS = "run this as root, or as the user that owns data_dir"
NO_PLACE = "check data_dir in the settings file"

log = logging.getLogger("gitship")


def parser() -> argparse.ArgumentParser:
    """The command line of gitship's own verbs."""
    main = argparse.ArgumentParser(
        prog="gitship",
        description="Git-push deployment server: Dockerfiles behind Varnish, administered over SSH.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    main.add_argument("--version", action="version", version=f"gitship {__version__}")
    verbs = main.add_subparsers(dest="verb", metavar="VERB", required=True)
    init = verbs.add_parser("init", help="write config, directories and host key; may be repeated")
    init.add_argument("--admin-key", metavar="PUBKEY_FILE", type=Path, help="public key of an administrator")
    init.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="a setting for a new config file")
    serve = verbs.add_parser("serve", help="run the server in the foreground; on SIGTERM it stops, and sites stay up")
    serve.add_argument("--verbose", action="store_true", help="log more")
    serve.add_argument(
        "--log-format", choices=log_format.FORMATS, help="text or JSON (default: log.format of the settings)"
    )
    stop = verbs.add_parser(
        "stop-front", help="stop Varnish and haproxy: sites are down until the next `gitship serve`"
    )
    attend = verbs.add_parser("attend", help="run by a service unit: start a program on gitship's request")
    attend.add_argument("program", choices=("varnish", "websockets", "tls"), help="Varnish, or a haproxy")
    limit = verbs.add_parser("limit-builds", help="run by a service unit as root: set the limits of all builds")
    limit.add_argument(
        "--keep", action="store_true", help="keep running, if Docker's cgroup driver is systemd (for the unit)"
    )
    doctor = verbs.add_parser(
        "doctor", help="check the installation for common problems; exits with 1 if a check fails"
    )
    doctor.add_argument("--format", choices=("text", "json"), default="text", help="text or JSON")
    restore = verbs.add_parser(
        "restore", help="restore the server from a backup (`server:backup`), before `gitship serve`"
    )
    restore.add_argument("file", metavar="FILE", nargs="?", help="the archive; - for standard input")
    restore.add_argument("--force", action="store_true", help="move existing data aside, and restore")
    restore.add_argument(
        "--check", action="store_true", help="only check that the archive is complete and list its contents"
    )
    restore.add_argument(
        "--newest-copy", action="store_true", help="restore the database from its newest automatic copy instead"
    )
    restore.add_argument("--format", choices=("text", "json"), default="text", help="text or JSON")
    for verb in (init, serve, stop, attend, limit, doctor, restore):
        verb.add_argument("--config", metavar="FILE", type=Path, default=default_config(), help="default: %(default)s")
    return main


def default_config() -> Path:
    """$GITSHIP_CONFIG, else /etc/gitship/gitship.toml."""
    return Path(os.environ.get("GITSHIP_CONFIG", DEFAULT_CONFIG))


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0, 1 for an error that was told, 2 for a wrong command line, else the admin command's own."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            if words and words[0] not in (*OWN, "-h", "--help", "--version"):
                return _admin_command(words)
            return _own(parser().parse_args(words))
        finally:
            sys.stdout.flush()  # here, where a reader that has gone is no news
    except GitshipError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # our reader has gone, as in `gitship doctor | head -1`
        return _unread()
    except OSError as error:
        if not error.filename:
            raise
        log.debug("%s", error, exc_info=True)
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        print(f"hint: {WITHOUT_RIGHTS if isinstance(error, PermissionError) else NO_PLACE}", file=sys.stderr)
        return 1


def _own(args: argparse.Namespace) -> int:
    if args.verb == "init":
        from gitship.init import initialise

        for line in initialise(args.config, args.admin_key, args.set):
            print(line)
        return 0
    if args.verb == "doctor":
        return _doctor(args.config, args.format)
    if args.verb == "restore":
        from gitship.restore_command import restore

        for line in restore(
            args.config, args.file, args.format, force=args.force, check=args.check, copy=args.newest_copy
        ):
            print(line)
        return 0
    settings = load(args.config)
    if args.verb == "attend":
        return _attend(settings, args.program)
    if args.verb == "limit-builds":
        return _limit_builds(settings, keep=args.keep)
    if args.verb == "stop-front":
        from gitship.proxies import stop_front

        stop_front(settings)
        return 0
    from gitship.process import serve

    log_format.configure(args.log_format or settings.log.format, verbose=args.verbose, stream=sys.stderr)
    return serve(settings, args.config.resolve())


def _doctor(config: Path, format: str) -> int:
    """Prints each finding as it is made; 1 when something does not work."""
    from gitship import doctor

    found = []
    for finding in doctor.examine(config):
        found.append(finding)
        if format == "text":
            print(doctor.shown(finding), flush=True)
    if format == "json":
        print(json.dumps([dataclasses.asdict(finding) for finding in found], indent=2))
    return int(any(finding.level is doctor.Level.FAIL for finding in found))


def _attend(settings: Settings, program: str) -> int:
    from gitship.front.haproxy import Haproxy
    from gitship.front.varnishd import Varnishd

    found: Varnishd | Haproxy
    if program == "varnish":
        found = Varnishd(settings.varnish_dir)
    else:
        found = Haproxy(settings.tls_dir if program == "tls" else settings.websockets_dir)
    return found.unit.attend(found.pid)


def _limit_builds(settings: Settings, *, keep: bool) -> int:
    from gitship.engine import build_limits, build_limits_daemon
    from gitship.engine.docker import DockerEngine

    driver = DockerEngine(settings.docker.host).about().cgroup_driver
    if not keep:
        print(build_limits_daemon.prepare(settings.docker, driver))
    elif driver == build_limits.SYSTEMD:
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        build_limits_daemon.keep(stop)
    return 0


def _admin_command(words: list[str]) -> int:
    """Sends the words to the server of --config FILE (before the command), with this machine's own key."""
    config = default_config()
    if words[0] == "--config" and len(words) > 1:
        config, words = Path(words[1]), words[2:] or ["help"]
    elif words[0].startswith("--config="):
        config, words = Path(words[0].removeprefix("--config=")), words[1:]
    settings = load(config)
    if words[0] == "server:backup":
        _for_the_owner_alone(sys.stdout.fileno())
    from gitship.ssh import client, host_key

    return client.run_remote(
        _reachable(settings),
        settings.local_key,
        host_key.public_line(host_key.ensure(settings.host_key)),
        words,
        sys.stdin.buffer,
        sys.stdout.buffer,
        sys.stderr.buffer,
        sys.stdin.isatty() and sys.stdout.isatty(),
    )


def _unread() -> int:
    """Python itself would say so once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _for_the_owner_alone(handle: int) -> None:
    """A file that the shell has opened for a backup is closed to others before there is a key in it."""
    if stat.S_ISREG(os.fstat(handle).st_mode):
        with suppress(OSError):  # somebody else's
            os.fchmod(handle, 0o600)


def _reachable(settings: Settings) -> Address:
    listen = settings.ssh.listen
    return Address("127.0.0.1", listen.port) if listen.host in ("0.0.0.0", "::") else listen  # noqa: S104


if __name__ == "__main__":
    sys.exit(main())
