#!/bin/sh
# As docker-library/memcached does.
set -eu
[ $# -gt 0 ] || set -- memcached
[ "${1#-}" = "$1" ] || set -- memcached "$@"
exec setpriv --reuid=memcache --regid=memcache --clear-groups "$@"
