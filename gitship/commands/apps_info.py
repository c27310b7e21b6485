"""apps:info: show everything about one app."""

from __future__ import annotations

from gitship.appsettings import MAINTENANCE
from gitship.commands.releases import short_commit
from gitship.commands.stats import figures, in_words
from gitship.console.app_states import STATES, states
from gitship.console.columns import Column
from gitship.console.command_registry import command
from gitship.console.context import AppName, Context, Ctx
from gitship.console.listing import NOTHING, Format, iso, moment, show_one, size, version
from gitship.model import App, Role
from gitship.model.services import ReleaseLink

TRAFFIC_S = 3600


def _processes(found: dict[str, dict[str, int]]) -> str:
    return ", ".join(f"{name} {count['running']}/{count['wanted']}" for name, count in found.items()) or NOTHING


def _lock(found: dict[str, str] | None) -> str:
    return NOTHING if found is None else ": ".join(filter(None, (f"by {found['by']}", found["message"])))


@command(
    "apps:info",
    Role.VIEWER,
    "show an app's state, release, URLs, processes and settings",
    one=True,
    columns=(
        Column("name", "the app's name"),
        Column("state", STATES),
        Column("urls", "its URLs, best first"),
        Column("release", "the live release's number, null if none", version),
        Column("commit", "the commit of the live release", short_commit),
        Column("image_bytes", "the live image's size", size),
        Column("released_at", "when the live release was made"),
        Column("stopped", "true after `ps:stop`"),
        Column("maintenance", "true after `maintenance:on`"),
        Column("https", "of its best host: off, ok, self-signed, expired, or none (no certificate yet)"),
        Column("paused_s", "seconds that requests may still wait after `ps:pause`, null if not paused"),
        Column("processes", "running and wanted containers per process type", _processes),
        Column("traffic", "the last hour's figures, as in `stats:list`", in_words),
        Column("last_deploy", "state of the latest deploy, null if none"),
        Column("last_deploy_reason", "why it ended early, or what failed after traffic was switched; else empty"),
        Column("last_deploy_id", "its id, for `deploys:info`"),
        Column("deploy_branch", "the deploy branch, null before the first push"),
        Column("config", "the names of its variables"),
        Column("links", "the services that it is linked to, each with its alias"),
        Column("config_waits", "true if config has changes that are not deployed yet"),
        Column("lock", "who locked it, when and why; null unless locked", _lock),
        Column("created_at", "when it was made"),
    ),
    examples=("apps:info shop", "apps:info shop --format json"),
    aliases=("apps:report", "ps:report"),
)
def info(app: AppName, /, *, context: Ctx, format: Format = "table") -> None:
    show_one(context, _row(context, context.app(app)), format)


def _row(context: Context, app: App) -> dict[str, object]:
    release = context.store.release(app.live_release) if app.live_release else None
    newest = context.store.deploys(app.id, limit=1)
    lock, stopped = context.operations.apps.locked(app), context.operations.ps.stopped(app)
    paused = context.operations.pauses.paused(app)
    hosts = context.operations.https.status(app)
    config = context.store.config(app.id)
    locked_at = moment(lock.at) if lock else None
    scale = context.store.scale(app.id)
    running = [p.process for p in context.operations.ps.processes(app) if p.status == "running"]
    wanted = {p.type: 0 if stopped else scale.get(p.type, p.quantity) for p in release.processes} if release else scale
    return {
        "name": app.name,
        "state": states(context).of(app, newest[0] if newest else None).value,
        "urls": context.operations.domains.urls(app),
        "release": release.number if release else None,
        "commit": release.commit if release else None,
        "image_bytes": release.image_bytes if release else None,
        "released_at": moment(release.created_at) if release else None,
        "stopped": stopped,
        "maintenance": context.store.setting(app.id, MAINTENANCE) is not None,
        "https": hosts[0].state if hosts else "off",
        "paused_s": round(paused.left_s, 1) if paused else None,
        "processes": {type_: {"running": running.count(type_), "wanted": count} for type_, count in wanted.items()},
        "traffic": figures(context.operations.stats.traffic(app, TRAFFIC_S), TRAFFIC_S),
        "last_deploy": newest[0].state.value if newest else None,
        "last_deploy_reason": newest[0].reason if newest else "",
        "last_deploy_id": newest[0].id if newest else None,
        "deploy_branch": app.deploy_branch,
        "config": sorted(config),
        "links": [
            ReleaseLink(link.alias, service.name, link.read_only).label
            for service, link in context.operations.services.of_app(app)
        ],
        "config_waits": release is not None and {**context.store.global_config(), **config} != release.config,
        "lock": {"by": lock.by, "at": iso(locked_at), "message": lock.message} if lock and locked_at else None,
        "created_at": moment(app.created_at),
    }
