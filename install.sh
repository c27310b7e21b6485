#!/usr/bin/env bash
# Sets gitship up on Debian 12 or newer, with or without systemd, or (--test) sets up and runs its tests.
# Doing it again is safe: it upgrades gitship and keeps settings, keys and apps.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
prefix=/opt/gitship
config=/etc/gitship/gitship.toml
run_dir=/run/gitship
log=/var/log/gitship.log
docker_log=/var/log/gitship-dockerd.log
unit=/etc/systemd/system/gitship.service
http_port=80
ssh_port=2222
domain=localhost
chosen= # a setting was named on the command line
key=
action=install

packages=(docker.io varnish haproxy tcc binutils git python3 python3-venv iptables ca-certificates openssh-client procps iproute2)
test_packages=(gcc libc6-dev busybox-static debootstrap curl zsh docker-registry varnish-modules pebble chromium)

usage() {
  cat <<TEXT
usage: sudo ./install.sh [--domain NAME] [--port N] [--ssh-port N] [--key PUBLIC_KEY_FILE]
       sudo ./install.sh --test
       sudo ./install.sh --uninstall

  --domain NAME    apps are served at <app>.NAME; point a wildcard DNS record here (default: localhost)
  --port N         where Varnish serves the apps (default: 80)
  --ssh-port N     where git push and the commands arrive (default: 2222)
  --key FILE       the public key that may do everything (default: the first of yours in ~/.ssh)
  --test           set up what the tests need, then run linters and all tests
  --uninstall      stop and remove gitship; settings and data stay
TEXT
}

say() { printf '%s\n' "-----> $*"; }
die() {
  printf '%s\n' "error: $1" >&2
  [ $# -lt 2 ] || printf '%s\n' "hint: $2" >&2
  exit 1
}

parse_arguments() {
  while [ $# -gt 0 ]; do
    case $1 in
      --domain | --port | --ssh-port | --key) [ $# -ge 2 ] || die "$1 needs a value" "see ./install.sh --help" ;;
    esac
    case $1 in
      --domain) domain=$2 chosen=1; shift ;;
      --port) http_port=$2 chosen=1; shift ;;
      --ssh-port) ssh_port=$2 chosen=1; shift ;;
      --key) key=$2; shift ;;
      --test) action='test' ;;
      --uninstall) action=uninstall ;;
      -h | --help) usage; exit 0 ;;
      *) usage >&2; die "unknown option '$1'" ;;
    esac
    shift
  done
  for port in "$http_port" "$ssh_port"; do
    [[ $port =~ ^[0-9]{1,5}$ ]] && [ "$port" -ge 1 ] && [ "$port" -le 65535 ] || die "'$port' is not a port"
  done
  [ -z "$key" ] || [ -r "$key" ] || die "cannot read $key" "give the path of a .pub file"
}

has_systemd() { [ -d /run/systemd/system ]; }
docker_answers() { command -v docker >/dev/null && timeout 15 docker version >/dev/null 2>&1; }
is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# True when the package is not needed because what it brings came another way (Docker from docker.com, for instance).
is_provided() {
  case $1 in
    docker.io) command -v dockerd >/dev/null || docker_answers ;;
    varnish) command -v varnishd >/dev/null ;;
    haproxy) command -v haproxy >/dev/null ;;
    tcc) command -v tcc >/dev/null ;;
    binutils) command -v ld >/dev/null ;;
    gcc) command -v gcc >/dev/null ;;
    git) command -v git >/dev/null ;;
    *) false ;;
  esac
}

install_packages() {
  local wanted=() package
  for package in "$@"; do
    is_provided "$package" || is_installed "$package" || wanted+=("$package")
  done
  [ ${#wanted[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null ||
    die "these are missing and this system has no apt-get: ${wanted[*]}" "install them, then run this again"
  say "Installing ${wanted[*]}"
  local policy=/usr/sbin/policy-rc.d made_policy=
  if [ ! -e $policy ]; then # Debian's own varnish.service must not take a port; what is needed is started below
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    made_policy=1
  fi
  local code=0
  {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 update &&
      DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
        install --no-install-recommends "${wanted[@]}" >/dev/null
  } </dev/null || code=$?
  [ -z "$made_policy" ] || rm -f $policy
  [ "$code" = 0 ] || die "apt-get could not install ${wanted[*]}" "look above for its reason, mend it, run this again"
  if has_systemd && [[ " ${wanted[*]} " == *" varnish "* ]]; then
    systemctl disable -q --now varnish.service varnishncsa.service 2>/dev/null || true
  fi
  if has_systemd && [[ " ${wanted[*]} " == *" haproxy "* ]]; then
    systemctl disable -q --now haproxy.service 2>/dev/null || true
  fi
}

check_python() {
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    die "gitship needs Python 3.11 or newer; python3 is $(python3 -V 2>&1 || true)" "Debian 12 and newer have it"
}

# ---- Docker

mount_cgroups() { # a container or a machine without an init may have none
  [ -d /sys/fs/cgroup ] || return 0
  mountpoint -q /sys/fs/cgroup && return 0
  if grep -q cgroup2 /proc/filesystems && mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null; then return 0; fi
  mount -t tmpfs -o uid=0,gid=0,mode=0755 cgroup /sys/fs/cgroup 2>/dev/null || return 0
  local name
  awk '!/^#/ && $4 == 1 { print $1 }' /proc/cgroups | while read -r name; do
    mkdir -p "/sys/fs/cgroup/$name"
    mount -n -t cgroup -o "$name" cgroup "/sys/fs/cgroup/$name" 2>/dev/null || rmdir "/sys/fs/cgroup/$name"
  done
}

wait_for() { # wait_for SECONDS COMMAND...
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.3
  done
}

ensure_docker() {
  docker_answers && return 0
  say "Starting Docker"
  if has_systemd; then
    systemctl enable -q --now docker.service ||
      die "docker.service does not start" "see: journalctl -u docker -n 50"
  else
    mount_cgroups
    # live-restore: containers go on while dockerd restarts
    setsid dockerd --live-restore </dev/null >>"$docker_log" 2>&1 &
  fi
  wait_for 60 docker_answers || die "Docker does not answer" "see $docker_log, or: journalctl -u docker -n 50"
}

# ---- gitship itself

install_gitship() {
  say "Installing gitship into $prefix"
  local source
  source=$(mktemp -d)
  cp -r "$here"/{pyproject.toml,README.md,LICENSE,gitship,hooks,varnish} "$source/" # pip leaves build files in its source
  [ ! -e "$here/setup.py" ] || cp "$here/setup.py" "$source/"
  [ -x $prefix/venv/bin/python ] || python3 -m venv $prefix/venv
  local pip=("$prefix/venv/bin/python" -m pip --disable-pip-version-check -q install --no-input --no-compile)
  if ! { "${pip[@]}" "$source" && "${pip[@]}" --no-deps --force-reinstall "$source"; } </dev/null; then
    rm -rf "$source"
    die "pip could not install gitship" "look above for its reason (a network or proxy?), then run this again"
  fi
  rm -rf "$source"
  ln -sfn $prefix/venv/bin/gitship /usr/local/bin/gitship
}

# Prints the path of the public key that becomes admin: --key, the invoking user's first one, or the one they logged in with.
find_key() {
  if [ -n "$key" ]; then printf '%s\n' "$key"; return; fi
  local home file
  home=$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)
  for file in "$home"/.ssh/id_ed25519.pub "$home"/.ssh/*.pub; do
    if [ -r "$file" ]; then printf '%s\n' "$file"; return; fi
  done
  if [ -r "$home/.ssh/authorized_keys" ]; then
    grep -m1 -E '^(ssh-ed25519|ecdsa-sha2-nistp[0-9]+|ssh-rsa) ' "$home/.ssh/authorized_keys" >"$run_dir/admin.pub" &&
      printf '%s\n' "$run_dir/admin.pub"
  fi
  return 0
}

init_gitship() {
  local found arguments=(--config "$config")
  mkdir -p $run_dir
  found=$(find_key)
  [ -z "$found" ] || arguments+=(--admin-key "$found")
  if [ ! -e $config ]; then
    arguments+=(--set "domain=$domain" --set "http.listen=0.0.0.0:$http_port" --set "ssh.listen=0.0.0.0:$ssh_port")
  elif [ -n "$chosen" ]; then
    say "$config is there already and stays as it is: change its settings there, then run this again"
  fi
  gitship init "${arguments[@]}" || die "gitship could not be initialised" "mend what it says and run this again"
}

serve_pid() { # the pid of our `gitship serve`, if it runs
  local pid
  pid=$(cat "$run_dir/serve.pid" 2>/dev/null) || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q 'gitship serve' && printf '%s\n' "$pid"
}

stop_serve() {
  local pid
  if has_systemd && [ -e $unit ]; then systemctl stop gitship.service; fi
  pid=$(serve_pid) || return 0
  kill "$pid"
  wait_for 30 eval "! kill -0 $pid 2>/dev/null" || die "gitship serve (pid $pid) does not end" "kill -9 $pid"
  rm -f "$run_dir/serve.pid"
}

start_serve() {
  say "Starting gitship"
  if has_systemd; then
    cat >$unit <<TEXT
[Unit]
Description=gitship, Git-push deployment server
After=network-online.target docker.service
Wants=network-online.target docker.service

[Service]
ExecStart=$prefix/venv/bin/gitship serve --config $config
Restart=always
RestartSec=1
# Varnish and haproxy were started by gitship but outlive its restarts: visitors must not notice them.
KillMode=process
LimitNOFILE=131072
LimitMEMLOCK=infinity

[Install]
WantedBy=multi-user.target
TEXT
    systemctl daemon-reload
    systemctl enable -q gitship.service
    systemctl restart gitship.service
  else
    setsid "$prefix/venv/bin/gitship" serve --config $config </dev/null >>"$log" 2>&1 &
    printf '%s\n' $! >"$run_dir/serve.pid"
  fi
  if ! wait_for 40 eval 'gitship version >/dev/null 2>&1'; then
    if has_systemd; then journalctl -u gitship -n 30 --no-pager >&2; else tail -n 30 "$log" >&2; fi
    die "gitship does not answer" "the lines above say why; mend it and run this again"
  fi
}

setting() { # setting KEY: the value in force, as settings that were there before are kept
  "$prefix/venv/bin/python" -c '
import sys
from pathlib import Path
from gitship.config import load
value = load(Path(sys.argv[1]))
for name in sys.argv[2].split("."):
    value = getattr(value, name)
print(value)' $config "$1"
}

print_next_steps() {
  local host url_port ssh_listen http_listen address # the settings in force, which an older file may hold
  ssh_listen=$(setting ssh.listen) http_listen=$(setting http.listen) domain=$(setting domain)
  ssh_port=${ssh_listen##*:} http_port=${http_listen##*:}
  host=$domain
  url_port=$([ "$http_port" = 80 ] || printf ':%s' "$http_port")
  printf '\n'
  if [ "$(gitship keys:list --format json 2>/dev/null | tr -d '[:space:]')" = '[]' ]; then
    cat <<TEXT
No public key was found. Make one on the machine you work at, copy ~/.ssh/id_ed25519.pub here, and let it in:

  ssh-keygen -t ed25519
  sudo ./install.sh --key id_ed25519.pub

TEXT
  fi
  cat <<TEXT
gitship is running. In a repository with a Dockerfile (APP is the name you choose):

  git remote add deploy ssh://deploy@$host:$ssh_port/APP
  git push deploy main

It is then served at http://APP.$domain$url_port, and administered by:

  ssh -p $ssh_port deploy@$host help
TEXT
  if [ "$domain" = localhost ]; then
    address=$(ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p')
    cat <<TEXT

From another machine, push to ${address:-this machine} instead of localhost. To serve apps to others, set
domain = "your.domain" in $config, point *.your.domain here, and restart gitship.
TEXT
  fi
}

uninstall() {
  stop_serve
  if [ -x $prefix/venv/bin/gitship ] && [ -e $config ]; then
    "$prefix/venv/bin/gitship" stop-front --config $config || true
    local id
    id=$("$prefix/venv/bin/python" -c 'import sys; from pathlib import Path; from gitship.config import load
from gitship.store import Store; print(Store(load(Path(sys.argv[1])).database).server_id())' $config) || id=
    if [ -n "$id" ] && docker_answers; then
      docker ps -aq --filter "label=gitship.server=$id" | xargs -r docker rm -f >/dev/null
      docker network ls -q --filter "label=gitship.server=$id" | xargs -r docker network rm >/dev/null
    fi
  fi
  if [ -e $unit ]; then
    systemctl disable -q gitship.service || true
    rm -f $unit
    systemctl daemon-reload
  fi
  rm -rf $prefix $run_dir
  rm -f /usr/local/bin/gitship
  say "gitship is removed; $config and its data directory stay, and a new install goes on with them"
}

# ---- the tests

test_engine_pid=
test_engine_dir=

end_test_engine() {
  [ -n "$test_engine_pid" ] || return 0
  kill "$test_engine_pid" 2>/dev/null || true
  wait "$test_engine_pid" 2>/dev/null || true
  awk -v dir="$test_engine_dir/" 'index($2, dir) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l
  rm -rf "$test_engine_dir"
}

start_test_engine() { # an engine of the tests' own, only when none answers
  if docker_answers; then return 0; fi
  say "Starting a Docker engine for the tests"
  mount_cgroups
  test_engine_dir=$(mktemp -d /tmp/gitship-test-docker.XXXXXX)
  trap end_test_engine EXIT
  export DOCKER_HOST="unix://$test_engine_dir/docker.sock"
  dockerd -H "$DOCKER_HOST" --data-root "$test_engine_dir/data" --exec-root "$test_engine_dir/run" \
    --pidfile "$test_engine_dir/dockerd.pid" --live-restore </dev/null >"$test_engine_dir/log" 2>&1 &
  test_engine_pid=$!
  wait_for 60 docker_answers || { tail -n 30 "$test_engine_dir/log" >&2; die "Docker does not start"; }
}

# Installs what pyproject.toml names, but not gitship: the tests must meet the checkout.
make_test_venv() {
  local venv=$1 requirements
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  requirements=$("$venv/bin/python" -c '
import sys, tomllib
project = tomllib.load(open(sys.argv[1], "rb"))["project"]
print(*project["dependencies"], *project["optional-dependencies"]["dev"], sep="\n")' "$here/pyproject.toml")
  say "Installing the Python packages of the tests"
  "$venv/bin/python" -m pip --disable-pip-version-check -q install --no-input -r /dev/stdin <<<"$requirements" ||
    die "pip could not install what the tests need" "look above for its reason, then run this again"
}

run_tests() {
  local cache=${GITSHIP_TEST_CACHE:-/var/cache/gitship-test} failed=()
  install_packages "${packages[@]}" "${test_packages[@]}"
  check_python
  mkdir -p "$cache"
  make_test_venv "$cache/venv"
  start_test_engine
  cd "$here"
  export PATH="$cache/venv/bin:$PATH" PYTHONPATH="$here" GITSHIP_TEST_CACHE=$cache
  check() { # check NAME COMMAND...
    say "$1"
    "${@:2}" </dev/null || failed+=("$1")
  }
  check "ruff check" ruff check .
  check "ruff format" ruff format --check .
  check "mypy" mypy
  check "import-linter" lint-imports
  check "audit of the locked packages" .ci/audit
  # Mostly waiting, so more tests at once than processors; a module's tests share a server and stay together.
  check "pytest" python -m pytest -q -n 3 --dist loadfile
  [ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
  say "All checks passed"
}

parse_arguments "$@"
[ "$(id -u)" = 0 ] || die "this needs root" "sudo ./install.sh $*"
case $action in
  test) run_tests ;;
  uninstall) uninstall ;;
  install)
    install_packages "${packages[@]}"
    check_python
    ensure_docker
    install_gitship
    stop_serve
    init_gitship
    start_serve
    say "What gitship doctor has to say"
    gitship doctor --config "$config" | grep -v '^ok' || true
    print_next_steps
    ;;
esac
