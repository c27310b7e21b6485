"""Table of Dokku's commands and the gitship commands that replace them.

The manual's table is made of this, and the hint for whoever types Dokku's name. A cell that begins with "none" or "by
itself" gives the reason.
"""

from __future__ import annotations

ROWS: tuple[tuple[str, str], ...] = (
    (
        "`app-json:report`, `app-json:set`",
        "`checks:show`, `cron:list`; app.json is read from the build context, else from the top of the repository",
    ),
    ("`apps:clone`", "`apps:clone`"),
    ("`apps:create`", "`apps:create`, or the first push"),
    ("`apps:destroy`", "`apps:destroy`"),
    ("`apps:exists`", "`apps:info`: exit code 1 when there is none"),
    ("`apps:list`", "`apps:list`"),
    ("`apps:lock`, `apps:unlock`", "`apps:lock`, `apps:unlock`"),
    ("`apps:locked`, `apps:report`", "`apps:info`"),
    ("`apps:rename`", "`apps:rename`, with no failed request"),
    ("`apps:set`", "none: an app has no settings beside those named here"),
    ("`builder:report`, `builder-dockerfile:report`", "`builder:show`"),
    ("`builder:set`, `builder-dockerfile:set`", "`builder:set`, `builder:unset`"),
    ("`builds:cancel`, `builds:info`, `builds:list`", "`deploys:cancel`, `deploys:info`, `deploys:list`"),
    ("`builds:output`, `logs:failed`", "`logs:deploy`"),
    (
        "`builds:prune`, `builds:report`, `builds:set`",
        "automatic after each deploy: the images of `deploy.keep_releases` releases stay",
    ),
    ("`cleanup`", "`server:cleanup`; images of old releases go by themselves"),
    ("`certs:add`, `certs:update`", "`certs:add`; or `https:enable`, which gets and renews one"),
    ("`certs:generate`", "`https:enable`: self-signed where no authority can reach the app"),
    ("`certs:remove`", "`certs:remove`"),
    ("`certs:report`, `certs:show`", "`certs:list`, `https:status`"),
    (
        "`checks:disable`, `checks:enable`, `checks:skip`",
        "`checks:skip`, `checks:skip APP --off`, `checks:skip APP --once`",
    ),
    ("`checks:report`", "`checks:show`"),
    ("`checks:run`", "`checks:run`"),
    ("`checks:set`", "`checks:set`, `checks:unset`"),
    ("`config:bundle`, `config:export`", "`config:export`"),
    ("`config:clear`", "`config:unset APP --all`"),
    (
        "`config:get`, `config:set`, `config:show`, `config:unset`",
        "`config:get`, `config:set`, `config:show`, `config:unset`; for all apps `config:global:set`",
    ),
    ("`config:import`", "`config:import`"),
    ("`config:keys`", "`config:show APP --quiet`"),
    ("`cron:list`, `cron:report`", "`cron:list`, `cron:history`, `cron:log`"),
    ("`cron:resume`, `cron:suspend`", "`cron:resume`, `cron:suspend`"),
    ("`cron:run`", "`cron:run`"),
    ("`cron:set`", "`cron:add`, `cron:remove`; also app.json and gitship.toml"),
    (
        "`docker-options:*`",
        "none: a free option can open the whole machine; `resources:limit`, `storage:mount`, `ports:set` and "
        "`builder:set` do what it is used for",
    ),
    ("`domains:add`, `domains:remove`, `domains:set`", "`domains:add`, `domains:remove`, `domains:set`"),
    (
        "`domains:add-global`, `domains:remove-global`, `domains:set-global`, `domains:clear-global`",
        "the server's setting `domain`: every app has `<app>.<domain>`",
    ),
    ("`domains:clear`", "`domains:set APP` without a name"),
    ("`domains:disable`, `domains:enable`, `domains:reset`, `domains:setup`", "none: an app always has its own name"),
    ("`domains:report`", "`domains:list`"),
    ("`enter`", "`enter`"),
    (
        "`events`, `events:list`, `events:on`, `events:off`",
        "`audit` for what people did, `ps:events` for what containers did; always on",
    ),
    (
        "`git:allow-host`, `git:auth`, `git:auth-status`, `git:generate-deploy-key`, `git:public-key`, `git:sync`",
        "none: gitship does not fetch from other servers; let CI push, with a key of its own (`keys:add`)",
    ),
    ("`git:from-archive`", "`git:from-archive`"),
    ("`git:from-image`, `git:load-image`", "`git:from-image`; what `docker load` brought can be named like any image"),
    ("`git:initialize`, `git:unlock`", "none: repositories are made with the app, and no lock outlives its deploy"),
    ("`git:report`, `git:status`", "`git:info`"),
    ("`git:set`", "`git:set`, `git:deploy`"),
    ("`logs`", "`logs`"),
    (
        "`logs:report`, `logs:set`, `logs:vector-*`",
        "none: logs stay in Docker's `local` driver, 30 MB a container, and those of past releases with gitship",
    ),
    ("`maintenance:*` (plugin)", "`maintenance:on`, `maintenance:off`, `maintenance:show`"),
    ("`network:*`", "none: every app has a network of its own, and no other reaches it"),
    ("`nginx:access-logs`, `nginx:error-logs`", "`stats:show`"),
    (
        "`nginx:report`, `proxy:report`",
        "`cache:status`, `redirects:list`, `auth:list`, `allow:list`, `maintenance:show`, `ratelimit:show`",
    ),
    ("`nginx:set`, `proxy:set`", "`cache:set`, `redirects:add`, `auth:set`, `allow:add`, `maintenance:on`"),
    (
        "`nginx:show-config`, `nginx:show-conf`",
        "none: what Varnish was given stands in the data directory under `varnish/apps`",
    ),
    (
        "`nginx:validate-config`, `nginx:reload`, `nginx:start`, `nginx:stop`",
        "none: a configuration is compiled before it serves, and a failing one never does; `gitship stop-front` ends "
        "Varnish",
    ),
    (
        "`plugin:*`",
        "none: `hooks:list` shows the executables that run at points of a deploy, `notify:add` tells other systems",
    ),
    ("`ports:add`, `ports:set`", "`ports:set`: one port of `web` gets the traffic"),
    ("`ports:clear`, `ports:remove`", "`ports:unset`"),
    ("`ports:list`, `ports:report`, `proxy:ports`", "`ports:show`"),
    ("`proxy:build-config`, `proxy:clear-config`", "none: made with each deploy and change"),
    (
        "`proxy:disable`, `proxy:enable`",
        "none: without Varnish no request would be drained; `ps:stop` takes an app offline",
    ),
    ("`ps:inspect`, `ps:report`", "`ps:list APP --format json`, `apps:info`, `stats:show`"),
    ("`ps:rebuild`", "`ps:rebuild`"),
    ("`ps:restart`, `ps:scale`, `ps:start`, `ps:stop`", "`ps:restart`, `ps:scale`, `ps:start`, `ps:stop`"),
    ("`ps:restore`, `ps:retire`", "automatic: at each start, and whenever a container is missing or no longer wanted"),
    ("`ps:set`", "gitship.toml `processes.<type>.stop_timeout`; containers are always started again"),
    ("`registry:login`, `registry:logout`, `registry:report`", "`registry:login`, `registry:logout`, `registry:list`"),
    ("`registry:set`", "none: images stay on this machine"),
    ("`repo:gc`", "`server:cleanup`; repositories are packed automatically, and no commit is dropped"),
    ("`repo:purge-cache`", "`git push -o no-cache`, `ps:rebuild APP --no-cache`"),
    ("`report`, `url`, `urls`", "`apps:info`"),
    (
        "`resource:limit`, `resource:limit-clear`, `resource:report`",
        "`resources:limit`, `resources:unset`, `resources:show`",
    ),
    ("`resource:reserve`, `resource:reserve-clear`", "none: Docker on one machine reserves nothing"),
    ("`run`, `run:detached`", "`run`, `run --detach APP`"),
    ("`run:list`, `run:logs`, `run:stop`", "`run:list`, `logs:run`, `run:stop`"),
    ("`run:retire`", "automatic: a one-off is removed at its end"),
    ("`scheduler:*`, `scheduler-docker-local:*`, `scheduler-k3s:*`, `scheduler-null:*`", "none: one machine"),
    (
        "`shell`",
        "`enter APP` for a shell in a running container, `run APP sh` for one of its own; for gitship's own commands an"
        " alias for `ssh -p 2222 deploy@HOST`, with `completion`",
    ),
    (
        "`ssh-keys:add`, `ssh-keys:list`, `ssh-keys:remove`",
        "`keys:add`, `keys:list`, `keys:remove`; also `keys:limit`, `keys:grant`, `keys:revoke`",
    ),
    ("`storage:create`, `storage:ensure-directory`, `storage:mount`", "`storage:mount`"),
    ("`storage:destroy`, `storage:unmount`", "`storage:destroy`, `storage:unmount`"),
    (
        "`storage:info`, `storage:list`, `storage:list-entries`, `storage:report`",
        "`storage:list`; contents by `storage:export` and `storage:import`",
    ),
    ("`storage:exec`", "`run APP COMMAND`, which has the app's mounts"),
    (
        "`storage:migrate`, `storage:set`, `storage:wait`, `storage:annotations:*`, `storage:labels:*`",
        "none: they concern Kubernetes",
    ),
    ("`trace:on`, `trace:off`", "`gitship serve --verbose`"),
    ("`version`", "`version`"),
    (
        "builders, proxies and hosts of another kind (`builder-herokuish:*`, `builder-nixpacks:*`, `builder-pack:*`, "
        "`builder-railpack:*`, `builder-lambda:*`, `buildpacks:*`, `caddy:*`, `haproxy:*`, `openresty:*`, "
        "`traefik:*`)",
        "none: plain Dockerfiles behind Varnish",
    ),
)
