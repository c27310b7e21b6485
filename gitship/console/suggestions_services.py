"""Commands for databases of Dokku's plugins, Heroku and Kamal, with the gitship command that does the work."""

from __future__ import annotations

# As people call them: Dokku's plugins, `heroku pg:` and `heroku redis:`.
NOUNS = (
    "postgres", "pg", "mysql", "mariadb", "redis", "valkey", "mongo", "mongodb", "rabbitmq", "memcached", "clickhouse",
    "meilisearch", "nats", "opensearch", "elasticsearch", "service", "accessory", "addons",
)  # fmt: skip
ENGINES = {"pg": "postgres", "mongo": "mongodb", "elasticsearch": "opensearch"}
UNNAMED = ("service", "accessory", "addons")  # of these it takes another word to know the engine
_CLOSED = "a service is reachable only from the apps that it is linked to"
VERBS = {
    "create": "`services:create NAME {engine}`",
    "boot": "`services:create NAME {engine}`, or a table [services.NAME] in gitship.toml",
    "attach": "`services:link`",
    "detach": "`services:unlink`",
    "link": "`services:link`",
    "unlink": "`services:unlink`",
    "promote": "`services:promote`",
    "destroy": "`services:destroy`",
    "remove": "`services:destroy`",
    "list": "`services:list`",
    "info": "`services:info`",
    "details": "`services:info`",
    "links": "`services:info`",
    "linked": "`services:info`",
    "app-links": "`apps:info`, `services:list`",
    "exists": "`services:info`: exit code 1 when there is none",
    "logs": "`services:logs`",
    "connect": "`services:connect`",
    "psql": "`services:connect`",
    "cli": "`services:connect`",
    "enter": "`services:connect`",
    "exec": "`services:connect`",
    "export": "`services:dump`",
    "import": "`services:load`",
    "pull": "`services:dump`",
    "push": "`services:load`",
    "copy": "`services:clone`",
    "clone": "`services:clone`",
    "reset": "`services:destroy`, then `services:create`",
    "restart": "`services:restart`",
    "reboot": "`services:restart`",
    "start": "`services:restart`",
    "stop": f"none: {_CLOSED}; unlink it",
    "pause": f"none: {_CLOSED}; unlink it",
    "upgrade": "`services:upgrade`",
    "upgrade:run": "`services:upgrade`",
    "credentials:rotate": "`services:rotate`",
    "credentials": "`services:info`, `services:rotate`; every linked app has a login of its own",
    "set": "`services:resize`",
    "backup": "`backups:run`",
    "backup-auth": "`backups:target:add`",
    "backup-deauth": "`backups:target:remove`",
    "backup-schedule": "`backups:schedule`",
    "backup-schedule-cat": "`backups:schedules`",
    "backup-set-encryption": "none: backups are always encrypted, to the admins' SSH keys",
    "backup-set-public-key-encryption": "none: backups are always encrypted, to the admins' SSH keys",
    "backup-unschedule": "`backups:unschedule`",
    "backups": "`backups:list`",
    "backups:cancel": "none: `services:log` shows what a backup does",
    "backups:capture": "`backups:run`",
    "backups:delete": "`backups:remove`",
    "backups:download": "`backups:download`",
    "backups:info": "`backups:list`",
    "backups:restore": "`backups:restore`: into a new service; then `services:promote`",
    "backups:schedule": "`backups:schedule`",
    "backups:schedules": "`backups:schedules`",
    "backups:unschedule": "`backups:unschedule`",
    "backups:url": "`backups:download`",
}


def rows() -> dict[str, str]:
    """The gitship command by theirs; ``noun:*`` for all others of a noun."""
    found: dict[str, str] = {}
    for noun in NOUNS:
        engine = "ENGINE" if noun in UNNAMED else ENGINES.get(noun, noun)
        found[noun] = "`services:list`, `services:create`, `services:link`"
        found[f"{noun}:*"] = "`services:list`, `services:info`; see `help databases`"
        found |= {f"{noun}:{verb}": ours.replace("{engine}", engine) for verb, ours in VERBS.items()}
    return found
