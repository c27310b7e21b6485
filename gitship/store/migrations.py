"""Schema migrations, one per version."""

from __future__ import annotations

# Each entry takes the schema one version further; never edit one that has been released.
MIGRATIONS = (
    """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE apps (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, created_at REAL NOT NULL,
        deploy_branch TEXT, live_release INTEGER, network TEXT UNIQUE);
    CREATE TABLE scale (
        app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE, process TEXT NOT NULL,
        quantity INTEGER NOT NULL, PRIMARY KEY (app_id, process));
    CREATE TABLE config (
        app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE, name TEXT NOT NULL,
        value TEXT NOT NULL, PRIMARY KEY (app_id, name));
    CREATE TABLE domains (
        name TEXT PRIMARY KEY, app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE);
    CREATE TABLE keys (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL UNIQUE,
        public_key TEXT NOT NULL, role TEXT NOT NULL, created_at REAL NOT NULL);
    CREATE TABLE releases (
        id INTEGER PRIMARY KEY AUTOINCREMENT, app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
        number INTEGER NOT NULL, commit_sha TEXT, image_id TEXT NOT NULL, image_bytes INTEGER NOT NULL,
        config TEXT NOT NULL, processes TEXT NOT NULL, cause TEXT NOT NULL, created_by TEXT NOT NULL,
        created_at REAL NOT NULL, UNIQUE (app_id, number));
    CREATE TRIGGER releases_are_immutable BEFORE UPDATE ON releases
        BEGIN SELECT RAISE(ABORT, 'releases are immutable'); END;
    CREATE TABLE deploys (
        id INTEGER PRIMARY KEY AUTOINCREMENT, app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
        kind TEXT NOT NULL, state TEXT NOT NULL, created_by TEXT NOT NULL, created_at REAL NOT NULL,
        cause TEXT NOT NULL DEFAULT '', commit_sha TEXT, ref TEXT, old_sha TEXT, release_id INTEGER, failed_stage TEXT,
        reason TEXT NOT NULL DEFAULT '', hint TEXT NOT NULL DEFAULT '', started_at REAL, finished_at REAL,
        stages TEXT NOT NULL DEFAULT '[]');
    CREATE INDEX deploys_by_app ON deploys (app_id, id);
    CREATE TABLE containers (
        name TEXT PRIMARY KEY, docker_id TEXT NOT NULL, app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
        release_id INTEGER NOT NULL, process TEXT NOT NULL, idx INTEGER NOT NULL, address TEXT NOT NULL, port INTEGER);
    CREATE TABLE addresses (
        app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE, address TEXT NOT NULL, owner TEXT NOT NULL,
        taken_at REAL NOT NULL, released_at REAL, PRIMARY KEY (app_id, address));
    """,
    """
    CREATE TABLE settings (
        app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE, name TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (app_id, name));
    CREATE TABLE global_config (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    ALTER TABLE keys ADD COLUMN all_apps INTEGER NOT NULL DEFAULT 1;
    CREATE TABLE key_apps (
        key_id INTEGER NOT NULL REFERENCES keys(id) ON DELETE CASCADE,
        app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE, PRIMARY KEY (key_id, app_id));
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, key_name TEXT NOT NULL, fingerprint TEXT NOT NULL,
        address TEXT NOT NULL, action TEXT NOT NULL, app TEXT NOT NULL DEFAULT '', outcome TEXT NOT NULL,
        detail TEXT NOT NULL DEFAULT '');
    CREATE INDEX audit_by_app ON audit (app, id);
    """,
    """
    ALTER TABLE releases ADD COLUMN cron TEXT NOT NULL DEFAULT '[]';
    CREATE TABLE cron_runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
        number INTEGER NOT NULL, entry TEXT NOT NULL, outcome TEXT NOT NULL, due_at REAL, started_at REAL NOT NULL,
        ended_at REAL, exit_code INTEGER, container TEXT NOT NULL DEFAULT '', by TEXT NOT NULL DEFAULT '',
        reason TEXT NOT NULL DEFAULT '', UNIQUE (app_id, number), UNIQUE (app_id, entry, due_at));
    """,
    """
    CREATE TABLE server_settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE webhooks (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, url TEXT NOT NULL, format TEXT NOT NULL,
        events TEXT NOT NULL, secret TEXT NOT NULL, all_apps INTEGER NOT NULL, anywhere INTEGER NOT NULL,
        created_by TEXT NOT NULL, created_at REAL NOT NULL);
    CREATE TABLE webhook_apps (
        webhook_id INTEGER NOT NULL REFERENCES webhooks(id) ON DELETE CASCADE,
        app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE, PRIMARY KEY (webhook_id, app_id));
    CREATE TABLE deliveries (
        id INTEGER PRIMARY KEY AUTOINCREMENT, webhook_id INTEGER NOT NULL REFERENCES webhooks(id) ON DELETE CASCADE,
        uuid TEXT NOT NULL, event TEXT NOT NULL, at REAL NOT NULL, app TEXT NOT NULL, deploy_id INTEGER,
        state TEXT NOT NULL, text TEXT NOT NULL, body TEXT NOT NULL DEFAULT '', status TEXT NOT NULL,
        tries INTEGER NOT NULL DEFAULT 0, next_at REAL NOT NULL, answer TEXT NOT NULL DEFAULT '');
    CREATE INDEX deliveries_by_webhook ON deliveries (webhook_id, id);
    CREATE INDEX deliveries_that_wait ON deliveries (status, next_at);
    """,
    """
    ALTER TABLE releases ADD COLUMN manifest TEXT;
    CREATE TABLE registries (server TEXT PRIMARY KEY, username TEXT NOT NULL, password TEXT NOT NULL);
    """,
    """
    CREATE TABLE container_events (
        id INTEGER PRIMARY KEY AUTOINCREMENT, app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
        docker_id TEXT NOT NULL, container TEXT NOT NULL, process TEXT NOT NULL, release INTEGER NOT NULL,
        at REAL NOT NULL, kind TEXT NOT NULL, exit_code INTEGER, detail TEXT NOT NULL DEFAULT '',
        deaths INTEGER NOT NULL DEFAULT 0, UNIQUE (docker_id, at, kind));
    CREATE INDEX container_events_by_app ON container_events (app_id, at);
    """,
    "ALTER TABLE releases ADD COLUMN cache TEXT NOT NULL DEFAULT '{}'",
    """
    CREATE TABLE traffic (
        app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE, seconds INTEGER NOT NULL,
        start INTEGER NOT NULL, counts TEXT NOT NULL, PRIMARY KEY (app_id, seconds, start)) WITHOUT ROWID;
    CREATE INDEX traffic_by_age ON traffic (seconds, start);
    """,
    """
    CREATE TABLE certificates (
        id INTEGER PRIMARY KEY AUTOINCREMENT, app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
        source TEXT NOT NULL, domains TEXT NOT NULL, issuer TEXT NOT NULL, not_before REAL NOT NULL,
        not_after REAL NOT NULL, pem TEXT NOT NULL, suggested_at REAL, warned INTEGER NOT NULL DEFAULT 0,
        UNIQUE (app_id, source));
    CREATE TABLE certificate_attempts (
        app_id INTEGER PRIMARY KEY REFERENCES apps(id) ON DELETE CASCADE, failures INTEGER NOT NULL,
        next_at REAL NOT NULL, names TEXT NOT NULL, reason TEXT NOT NULL, hint TEXT NOT NULL);
    """,
    """
    CREATE TABLE web_access (
        hash TEXT PRIMARY KEY, kind TEXT NOT NULL, fingerprint TEXT NOT NULL, name TEXT NOT NULL DEFAULT '',
        created_at REAL NOT NULL, expires_at REAL);
    CREATE UNIQUE INDEX web_tokens ON web_access (fingerprint, name) WHERE kind = 'token';
    CREATE TRIGGER web_access_ends_with_its_key AFTER DELETE ON keys
        BEGIN DELETE FROM web_access WHERE fingerprint = OLD.fingerprint; END;
    CREATE TRIGGER web_sessions_end_with_a_limit AFTER UPDATE OF all_apps ON keys
        BEGIN DELETE FROM web_access WHERE fingerprint = OLD.fingerprint AND kind <> 'token'; END;
    """,
    """
    CREATE TABLE uptime (
        app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE, day INTEGER NOT NULL, up_s REAL NOT NULL,
        down_s REAL NOT NULL, off_s REAL NOT NULL, PRIMARY KEY (app_id, day)) WITHOUT ROWID;
    """,
    # The status page has certificates, too, as app 0; no such row stands in apps.
    """
    ALTER TABLE certificates RENAME TO certificates_of_apps;
    CREATE TABLE certificates (
        id INTEGER PRIMARY KEY AUTOINCREMENT, app_id INTEGER NOT NULL,
        source TEXT NOT NULL, domains TEXT NOT NULL, issuer TEXT NOT NULL, not_before REAL NOT NULL,
        not_after REAL NOT NULL, pem TEXT NOT NULL, suggested_at REAL, warned INTEGER NOT NULL DEFAULT 0,
        UNIQUE (app_id, source));
    INSERT INTO certificates
        SELECT id, app_id, source, domains, issuer, not_before, not_after, pem, suggested_at, warned
        FROM certificates_of_apps;
    DROP TABLE certificates_of_apps;
    ALTER TABLE certificate_attempts RENAME TO attempts_of_apps;
    CREATE TABLE certificate_attempts (
        app_id INTEGER PRIMARY KEY, failures INTEGER NOT NULL,
        next_at REAL NOT NULL, names TEXT NOT NULL, reason TEXT NOT NULL, hint TEXT NOT NULL);
    INSERT INTO certificate_attempts SELECT app_id, failures, next_at, names, reason, hint FROM attempts_of_apps;
    DROP TABLE attempts_of_apps;
    CREATE TRIGGER certificates_end_with_their_app AFTER DELETE ON apps BEGIN
        DELETE FROM certificates WHERE app_id = OLD.id;
        DELETE FROM certificate_attempts WHERE app_id = OLD.id;
    END;
    """,
    "ALTER TABLE deploys ADD COLUMN request TEXT NOT NULL DEFAULT ''",
    """
    ALTER TABLE certificate_attempts ADD COLUMN held TEXT NOT NULL DEFAULT '';
    CREATE TABLE authority_levels (key TEXT PRIMARY KEY, level REAL NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
    """,
    "ALTER TABLE apps ADD COLUMN made_by INTEGER",
    """
    CREATE TABLE services (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, engine TEXT NOT NULL, version TEXT NOT NULL,
        image TEXT NOT NULL, image_id TEXT NOT NULL, state TEXT NOT NULL, memory_bytes INTEGER NOT NULL,
        database TEXT NOT NULL, root_password TEXT NOT NULL, volume TEXT NOT NULL, container TEXT NOT NULL,
        network TEXT UNIQUE, made_by INTEGER, created_at REAL NOT NULL);
    CREATE TABLE service_links (
        id INTEGER PRIMARY KEY AUTOINCREMENT, service_id INTEGER NOT NULL REFERENCES services(id),
        app_id INTEGER NOT NULL REFERENCES apps(id), alias TEXT NOT NULL, url TEXT NOT NULL, port INTEGER NOT NULL,
        read_only INTEGER NOT NULL, state TEXT NOT NULL, login INTEGER, deploy INTEGER, created_at REAL NOT NULL,
        host TEXT NOT NULL, declared TEXT NOT NULL, UNIQUE (app_id, alias));
    CREATE TABLE service_logins (
        id INTEGER PRIMARY KEY AUTOINCREMENT, service_id INTEGER NOT NULL REFERENCES services(id) ON DELETE CASCADE,
        link_id INTEGER REFERENCES service_links(id) ON DELETE SET NULL, name TEXT NOT NULL, password TEXT NOT NULL,
        created_at REAL NOT NULL);
    CREATE TABLE service_volumes (
        name TEXT PRIMARY KEY, service_id INTEGER NOT NULL REFERENCES services(id), use TEXT NOT NULL,
        version TEXT NOT NULL, image TEXT NOT NULL, image_id TEXT NOT NULL, at REAL NOT NULL, until REAL);
    CREATE TABLE service_tasks (
        id INTEGER PRIMARY KEY AUTOINCREMENT, service_id INTEGER NOT NULL, service TEXT NOT NULL, kind TEXT NOT NULL,
        by TEXT NOT NULL, state TEXT NOT NULL, started_at REAL NOT NULL, finished_at REAL,
        reason TEXT NOT NULL DEFAULT '', hint TEXT NOT NULL DEFAULT '');
    CREATE INDEX service_tasks_by_service ON service_tasks (service_id, id);
    """,
    """
    ALTER TABLE services ADD COLUMN made_for INTEGER;
    ALTER TABLE services ADD COLUMN entry TEXT NOT NULL DEFAULT '';
    ALTER TABLE service_tasks ADD COLUMN apps TEXT NOT NULL DEFAULT '[]';
    CREATE TRIGGER links_stay_when_the_deploy_that_ends_them_fails AFTER UPDATE OF state ON deploys
        WHEN NEW.state IN ('failed', 'canceled') BEGIN
        UPDATE service_links SET state = 'active', deploy = NULL WHERE deploy = NEW.id AND state = 'ending';
    END;
    """,
    "ALTER TABLE service_logins ADD COLUMN expires_at REAL",
    """
    CREATE TABLE release_links (
        release_id INTEGER NOT NULL REFERENCES releases(id) ON DELETE CASCADE, alias TEXT NOT NULL,
        service TEXT NOT NULL, read_only INTEGER NOT NULL, PRIMARY KEY (release_id, alias)) WITHOUT ROWID;
    """,
    """
    CREATE TABLE backup_targets (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, url TEXT NOT NULL,
        options TEXT NOT NULL, secret TEXT NOT NULL, created_by TEXT NOT NULL, created_at REAL NOT NULL);
    CREATE TABLE service_backups (
        id INTEGER PRIMARY KEY AUTOINCREMENT, service_id INTEGER NOT NULL, service TEXT NOT NULL,
        number INTEGER NOT NULL, engine TEXT NOT NULL, version TEXT NOT NULL,
        target_id INTEGER NOT NULL REFERENCES backup_targets(id), key TEXT NOT NULL DEFAULT '',
        encrypted INTEGER NOT NULL, bytes INTEGER NOT NULL DEFAULT 0, sha256 TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL, counts TEXT NOT NULL DEFAULT '{}', by TEXT NOT NULL, schedule INTEGER,
        started_at REAL NOT NULL, finished_at REAL, verified_at REAL, reason TEXT NOT NULL DEFAULT '',
        hint TEXT NOT NULL DEFAULT '', left_there INTEGER NOT NULL DEFAULT 0, UNIQUE (service_id, number));
    CREATE TABLE backup_schedules (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        service_id INTEGER NOT NULL REFERENCES services(id) ON DELETE CASCADE,
        target_id INTEGER NOT NULL REFERENCES backup_targets(id), schedule TEXT NOT NULL, keep TEXT NOT NULL,
        created_by TEXT NOT NULL, created_at REAL NOT NULL, seen_at REAL NOT NULL, told_at REAL,
        UNIQUE (service_id, target_id, schedule));
    """,
    """
    CREATE TABLE service_exposures (
        service_id INTEGER PRIMARY KEY REFERENCES services(id) ON DELETE CASCADE, port INTEGER NOT NULL UNIQUE,
        networks TEXT NOT NULL, tls TEXT NOT NULL, pem TEXT NOT NULL);
    """,
    """
    ALTER TABLE services ADD COLUMN next_root_password TEXT NOT NULL DEFAULT '';
    ALTER TABLE service_volumes ADD COLUMN root_password TEXT NOT NULL DEFAULT '';
    """,
    # Backups, schedules and tasks are of services, of volumes of apps, and of the whole server.
    """
    CREATE TABLE backups (
        id INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, owner INTEGER NOT NULL, volume TEXT NOT NULL,
        name TEXT NOT NULL, number INTEGER NOT NULL, engine TEXT NOT NULL, version TEXT NOT NULL,
        target_id INTEGER NOT NULL REFERENCES backup_targets(id), key TEXT NOT NULL DEFAULT '',
        encrypted INTEGER NOT NULL, bytes INTEGER NOT NULL DEFAULT 0, sha256 TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL, counts TEXT NOT NULL DEFAULT '{}', by TEXT NOT NULL, schedule INTEGER,
        started_at REAL NOT NULL, finished_at REAL, verified_at REAL, reason TEXT NOT NULL DEFAULT '',
        hint TEXT NOT NULL DEFAULT '', left_there INTEGER NOT NULL DEFAULT 0, UNIQUE (subject, owner, volume, number));
    INSERT INTO backups SELECT id, 'service', service_id, '', service, number, engine, version, target_id, key,
        encrypted, bytes, sha256, state, counts, by, schedule, started_at, finished_at, verified_at, reason, hint,
        left_there FROM service_backups;
    DROP TABLE service_backups;
    ALTER TABLE backup_schedules RENAME TO schedules_of_services;
    CREATE TABLE backup_schedules (
        id INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, owner INTEGER NOT NULL, volume TEXT NOT NULL,
        target_id INTEGER NOT NULL REFERENCES backup_targets(id), schedule TEXT NOT NULL, keep TEXT NOT NULL,
        created_by TEXT NOT NULL, created_at REAL NOT NULL, seen_at REAL NOT NULL, told_at REAL,
        UNIQUE (subject, owner, volume, target_id, schedule));
    INSERT INTO backup_schedules SELECT id, 'service', service_id, '', target_id, schedule, keep, created_by,
        created_at, seen_at, told_at FROM schedules_of_services;
    DROP TABLE schedules_of_services;
    CREATE TRIGGER schedules_end_with_their_service AFTER DELETE ON services BEGIN
        DELETE FROM backup_schedules WHERE subject = 'service' AND owner = OLD.id;
    END;
    CREATE TRIGGER schedules_end_with_their_app AFTER DELETE ON apps BEGIN
        DELETE FROM backup_schedules WHERE subject = 'volume' AND owner = OLD.id;
    END;
    CREATE TABLE tasks (
        id INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL, owner INTEGER NOT NULL, volume TEXT NOT NULL,
        name TEXT NOT NULL, kind TEXT NOT NULL, by TEXT NOT NULL, state TEXT NOT NULL, started_at REAL NOT NULL,
        finished_at REAL, reason TEXT NOT NULL DEFAULT '', hint TEXT NOT NULL DEFAULT '',
        apps TEXT NOT NULL DEFAULT '[]');
    INSERT INTO tasks SELECT id, 'service', service_id, '', service, kind, by, state, started_at, finished_at, reason,
        hint, apps FROM service_tasks;
    DROP TABLE service_tasks;
    CREATE INDEX tasks_by_subject ON tasks (subject, owner, volume, id);
    """,
    # A run of WAL of a service without a hole; and backups that are the base of a point in time.
    """
    CREATE TABLE wal_archives (
        id INTEGER PRIMARY KEY AUTOINCREMENT, service_id INTEGER NOT NULL, service TEXT NOT NULL,
        database TEXT NOT NULL, schedule_id INTEGER NOT NULL,
        target_id INTEGER NOT NULL REFERENCES backup_targets(id), volume TEXT NOT NULL, spool_bytes INTEGER NOT NULL,
        folder TEXT NOT NULL DEFAULT '', opened_at REAL NOT NULL, seen_at REAL,
        first_segment TEXT NOT NULL DEFAULT '', last_segment TEXT NOT NULL DEFAULT '', last_at REAL, closed_at REAL,
        reason TEXT NOT NULL DEFAULT '', hint TEXT NOT NULL DEFAULT '', told_at REAL);
    CREATE UNIQUE INDEX one_open_wal_archive ON wal_archives (service_id) WHERE closed_at IS NULL;
    ALTER TABLE backups ADD COLUMN archive_id INTEGER REFERENCES wal_archives(id);
    ALTER TABLE backups ADD COLUMN wal_start TEXT NOT NULL DEFAULT '';
    ALTER TABLE backups ADD COLUMN as_of REAL;
    ALTER TABLE backups ADD COLUMN proven_until REAL;
    ALTER TABLE backup_schedules ADD COLUMN spool_bytes INTEGER;
    """,
    # Its ids began anew when the table was made again: a schedule must not take over what one that is gone has made.
    """
    INSERT INTO sqlite_sequence (name, seq) SELECT 'backup_schedules', 0
        WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'backup_schedules');
    UPDATE sqlite_sequence SET seq = max(seq, coalesce((SELECT max(schedule) FROM backups), 0))
        WHERE name = 'backup_schedules';
    """,
)
