#!/bin/sh
# As docker-library/rabbitmq does; the server itself reads RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS.
set -eu
[ $# -gt 0 ] || set -- rabbitmq-server
if [ "$1" = rabbitmq-server ] && [ "$(id -u)" = 0 ]; then
  find /var/lib/rabbitmq /var/log/rabbitmq ! -user rabbitmq -exec chown rabbitmq {} +
  exec setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups "$0" "$@"
fi
exec "$@"
