#!/bin/bash
# As MariaDB's image does: initialises an empty data directory with a server without a network.
set -euo pipefail
[ $# -gt 0 ] || set -- mariadbd
[ "${1#-}" = "$1" ] || set -- mariadbd "$@"
if [ "$1" = mariadbd ]; then
  if [ "$(id -u)" = 0 ]; then
    mkdir -p /var/lib/mysql /run/mysqld
    chown mysql:mysql /var/lib/mysql /run/mysqld
    exec setpriv --reuid=mysql --regid=mysql --clear-groups "$0" "$@"
  fi
  if [ ! -d /var/lib/mysql/mysql ]; then
    mariadb-install-db --auth-root-authentication-method=normal --skip-test-db --datadir=/var/lib/mysql >/dev/null
    host=${MARIADB_ROOT_HOST:-%}
    mariadbd --bootstrap --datadir=/var/lib/mysql <<SQL
FLUSH PRIVILEGES;
ALTER USER 'root'@'localhost' IDENTIFIED BY '${MARIADB_ROOT_PASSWORD:?}';
DELETE FROM mysql.global_priv WHERE User = '' OR User = 'root' AND Host NOT IN ('localhost', '$host');
SQL
  fi
  set -- "$@" --bind-address=0.0.0.0 --socket=/run/mysqld/mysqld.sock
fi
exec "$@"
