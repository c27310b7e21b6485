#!/bin/sh
# As valkey-io's image does: the data directory, where it stands, becomes the server's user's.
set -eu
[ $# -gt 0 ] || set -- valkey-server
[ "${1#-}" = "$1" ] || set -- valkey-server "$@"
if [ "$1" = valkey-server ] && [ "$(id -u)" = 0 ]; then
  find . ! -user valkey -exec chown valkey {} +
  exec setpriv --reuid=valkey --regid=valkey --clear-groups "$0" "$@"
fi
umask 077
exec "$@"
