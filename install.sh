#!/usr/bin/env bash
# Sets gitship up on a fresh machine, upgrades it, takes it back, removes it. Doing it again is safe.
# Everything comes from the distribution's packages and from Python's index, the latter locked by hash.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
prefix=/opt/gitship
config=/etc/gitship/gitship.toml
run_dir=/run/gitship
log=/var/log/gitship.log
docker_log=/var/log/gitship-dockerd.log
unit_dir=/etc/systemd/system
units=(gitship-varnish.service gitship-websockets.service gitship-tls.service gitship-builds.service gitship.service)
user=gitship
http_port=80
ssh_port=2222
domain=localhost
chosen= # a setting was named on the command line
key=
purge=
action=
tests=() # words for pytest

usage() {
  cat <<TEXT
usage: sudo ./install.sh [--domain NAME] [--port N] [--ssh-port N] [--key PUBLIC_KEY_FILE] [--dry-run]
       sudo ./install.sh --upgrade | --rollback | --stop | --uninstall [--purge]

  --domain NAME    apps are served at <app>.NAME; point NAME and *.NAME here (default: localhost)
  --port N         where Varnish serves the apps (default: 80)
  --ssh-port N     where git push and the commands arrive (default: 2222)
  --key FILE       the public key that may do everything (default: yours, from ~/.ssh of who called sudo)
  --dry-run        say what would be done, and do nothing
  --upgrade        put this copy's gitship in place of the one that runs; no request fails meanwhile
  --rollback       go back to the gitship before the last upgrade
  --stop           end gitship, Varnish and haproxy; ./install.sh starts them again
  --uninstall      stop and remove gitship; settings and data stay, unless --purge is given
  --test           set up what the tests need, then run linters and all tests (--test -- tests/unit -k name: only these)
TEXT
}

say() { printf '%s\n' "-----> $*"; }
die() {
  printf '%s\n' "error: $1" >&2
  [ $# -lt 2 ] || printf '%s\n' "hint: $2" >&2
  exit 1
}

parse_arguments() {
  local dry=
  while [ $# -gt 0 ]; do
    case $1 in
      --domain | --port | --ssh-port | --key) [ $# -ge 2 ] || die "$1 needs a value" "see ./install.sh --help" ;;
    esac
    case $1 in
      --domain) domain=$2 chosen=1; shift ;;
      --port) http_port=$2 chosen=1; shift ;;
      --ssh-port) ssh_port=$2 chosen=1; shift ;;
      --key) key=$2; shift ;;
      --dry-run) dry=1 ;;
      --purge) purge=1 ;;
      --upgrade | --rollback | --stop | --uninstall | --test)
        [ -z "$action" ] || [ "$action" = "${1#--}" ] || die "--$action and $1 cannot go together" "give one of the two"
        action=${1#--}
        ;;
      -h | --help) usage; exit 0 ;;
      --) shift; tests=("$@"); break ;;
      *) usage >&2; die "unknown option '$1'" ;;
    esac
    shift
  done
  action=${action:-install}
  local port
  for port in "$http_port" "$ssh_port"; do
    if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || [ "$port" -gt 65535 ]; then die "'$port' is not a port"; fi
  done
  [ "$http_port" != "$ssh_port" ] || die "port $http_port cannot be that of the sites and of git push" "give another to --port or --ssh-port"
  if ! [[ $domain =~ ^$label([.]$label)*$ ]] || [[ $domain =~ (^|[.])[0-9]+$ ]]; then
    die "'$domain' is not a domain" "a name below which apps get theirs, for instance apps.example.com (with other letters: xn--...)"
  fi
  if [ -n "$key" ]; then # here, and not minutes later, when everything else is there
    { [ -r "$key" ] && [ ! -d "$key" ]; } || die "cannot read $key" "give the path of a .pub file"
    [ ! -f "$key" ] || grep -qE "$key_line" "$key" ||
      die "there is no public key in $key that gitship takes" "give the path of a .pub file of an ed25519, ECDSA or RSA key"
  fi
  [ ${#tests[@]} -eq 0 ] || [ "$action" = test ] || die "what comes after -- goes with --test"
  if [ -n "$purge" ] && [ "$action" != uninstall ]; then die "--purge goes with --uninstall"; fi
  if [ -n "$dry" ]; then
    [ "$action" = install ] || [ "$action" = upgrade ] || die "--dry-run goes with an installation or an upgrade"
    planned=$action
    action=plan
  fi
}
label='[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?'

has_systemd() { [ -d /run/systemd/system ]; }
is_installed() { [ -x "$prefix/current/bin/gitship" ] && [ -e "$config" ]; }
is_podman() { docker --version 2>/dev/null | grep -qi podman; } # the package podman-docker; it speaks half of the API
docker_answers() { command -v docker >/dev/null && ! is_podman && timeout 15 docker version >/dev/null 2>&1; }

wait_for() { # wait_for SECONDS COMMAND...
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $deadline ] || return 1
    sleep 0.3
  done
}

# shellcheck source=gitship/installing/packages.sh
. "$here/gitship/installing/packages.sh"
# shellcheck source=gitship/installing/engine.sh
. "$here/gitship/installing/engine.sh"
# shellcheck source=gitship/installing/release.sh
. "$here/gitship/installing/release.sh"
# shellcheck source=gitship/installing/service.sh
. "$here/gitship/installing/service.sh"
installed_list=/etc/gitship/installed-packages # what an uninstall names; it stays until a purge, as the packages do
made_list=/etc/gitship/made-files              # what a purge removes

# Prints the file of the public key that becomes admin: --key, the first of who called sudo, or what they log in with.
find_key() {
  if [ -n "$key" ]; then printf '%s\n' "$key"; return; fi
  local home file
  home=$(getent passwd "${SUDO_USER:-root}" | cut -d: -f6)
  for file in "$home"/.ssh/id_ed25519.pub "$home"/.ssh/*.pub; do
    if [ -r "$file" ] && grep -qE "$key_line" "$file"; then printf '%s\n' "$file"; return; fi # no certificate, no security key
  done
  file=$home/.ssh/authorized_keys
  if [ -r "$file" ] && grep -qE "$key_line" "$file"; then printf '%s\n' "$file"; fi
}
key_line='^(ssh-ed25519|ecdsa-sha2-nistp[0-9]+|ssh-rsa) '

ask_for_key() { # only on a terminal: a script is told at the end how to let somebody in
  [ -t 0 ] && [ -t 1 ] || return 0
  local line
  printf 'No public key was found. Paste one (of the machine you work at: cat ~/.ssh/id_ed25519.pub), or press Enter:\n'
  read -r line
  [ -n "$line" ] || return 0
  mkdir -p "$run_dir"
  printf '%s\n' "$line" >"$run_dir/admin.pub"
  key=$run_dir/admin.pub
}

init_gitship() { # init_gitship RELEASE
  local found arguments=(--config "$config")
  if [ -e "$config" ]; then
    found=$key # who was let in stays in; another one only by name
  else
    found=$(find_key)
    if [ -z "$found" ]; then
      ask_for_key
      found=$key
    fi
  fi
  if [ "${found##*/}" = authorized_keys ]; then
    mkdir -p "$run_dir"
    grep -m1 -E "$key_line" "$found" >"$run_dir/admin.pub"
    found=$run_dir/admin.pub
  fi
  [ -z "$found" ] || arguments+=(--admin-key "$found")
  if [ ! -e "$config" ]; then
    arguments+=(--set "domain=$domain" --set "http.listen=0.0.0.0:$http_port" --set "ssh.listen=0.0.0.0:$ssh_port")
  elif [ -n "$chosen" ]; then
    say "$config is there already and stays as it is: change its settings there, then run this again"
  fi
  "$prefix/releases/$1/bin/gitship" init "${arguments[@]}" ||
    die "gitship could not be initialised" "mend what it says and run this again"
}

plan() {
  local missing id found who port option
  [ "$planned" = install ] || is_installed || die "gitship is not installed" "./install.sh installs it"
  check_system
  id=$(release_id) found=$(find_key)
  missing=$(missing_packages | tr '\n' ' ')
  printf 'Nothing is changed. This would be done:\n'
  printf '  %-10s %s\n' packages "${missing:-none is missing}" \
    docker "$(if docker_answers; then echo "the engine that answers is used"; else echo "started"; fi)" \
    user "$(if id "$user" >/dev/null 2>&1; then echo "$user (there)"; else echo "$user, in the group of Docker's socket"; fi)" \
    gitship "$prefix/releases/$id$([ "$(release_of current)" != "$id" ] || echo ' (runs already)')" \
    settings "$config$(if [ -e "$config" ]; then echo ' (kept)'; else echo ": domain $domain, http port $http_port, ssh port $ssh_port"; fi)" \
    units "$(if has_systemd; then echo "${units[*]}"; else echo "none (no systemd): processes of this script's own"; fi)" \
    admin "$(if [ -e "$config" ] && [ -z "$key" ]; then echo "as it is"; elif [ -n "$found" ]; then echo "who has the key in $found"; else echo "no public key was found: use --key FILE"; fi)"
  is_installed || for option in --port --ssh-port; do
    port=$http_port
    [ "$option" = --port ] || port=$ssh_port
    who=$(port_holder "$port")
    [ -z "$who" ] || printf '  %-10s port %s is taken by %s: see %s\n' stopped "$port" "$who" "$option"
  done
}

set_up() {
  local id started=$SECONDS before missing
  is_installed || check_ports
  check_system
  mkdir -p "$prefix" "$run_dir" "$(dirname "$installed_list")"
  update_lists
  mapfile -t missing < <(missing_packages)
  install_packages "${missing[@]}"
  is_installed || check_ports # now that there is a program to look with
  ensure_docker
  make_user
  id=$(release_id) before=$(release_of current)
  build_release "$id"
  if [ -n "$before" ] && [ "$before" != "$id" ]; then
    upgrade_to "$id" "$before"
  else
    init_gitship "$id"
    point current "$id"
    own_data
    write_units
    ln -sfn "$prefix/current/bin/gitship" /usr/local/bin/gitship
    if [ -z "$before" ] || ! answers; then
      say "Starting gitship"
      start_serve || { last_lines; die "gitship does not answer" "the lines above say why; mend it and run this again"; }
    else
      say "gitship $id runs already"
    fi
  fi
  say "What gitship doctor has to say"
  gitship doctor --config "$config" | grep -v '^ok' || true
  say "Done in $((SECONDS - started)) s"
  print_next_steps
}

# The new release is built and tried on a copy first; sites are served by Varnish meanwhile, so no request fails.
upgrade_to() { # upgrade_to ID BEFORE
  local data backup
  data=$(setting data_dir) backup=$(setting data_dir)/backups/$2.db
  say "Upgrading from $2 to $1"
  mkdir -p "$data/backups"
  chmod 700 "$data/backups"
  copy_database "$data/gitship.db" "$backup.trial"
  if ! opens "$1" "$backup.trial"; then
    rm -f "$backup.trial"*
    die "gitship $1 does not take the settings or the database; nothing has changed" "see above, or stay with $2"
  fi
  rm -f "$backup.trial"*
  stop_serve
  rm -f "$backup"
  copy_database "$data/gitship.db" "$backup"
  init_gitship "$1"
  point current "$1"
  own_data
  write_units
  if ! start_serve; then
    last_lines
    say "gitship $1 does not answer: going back to $2"
    go_back "$2" || { last_lines; die "neither $1 nor $2 answers" "the lines above say why"; }
    die "the upgrade failed, $2 runs again" "the lines above say why"
  fi
  point previous "$2" # not before: what failed leaves the way back that there was
  forget_old_releases
}

go_back() { # go_back RELEASE: with its own database when it cannot read the one that is there; false when it does not answer
  local data backup
  data=$(setting data_dir) backup=$(setting data_dir)/backups/$1.db
  stop_serve
  copy_database "$data/gitship.db" "$backup.trial"
  if ! opens "$1" "$backup.trial" 2>/dev/null; then
    [ -e "$backup" ] || die "$1 cannot read the database, and there is no copy of its time"
    say "$1 cannot read the newer database: its copy from $(date -r "$backup" '+%F %T') is put back"
    mv "$data/gitship.db" "$data/backups/$(release_of current).db"
    rm -f "$data/gitship.db-wal" "$data/gitship.db-shm"
    copy_database "$backup" "$data/gitship.db"
  fi
  rm -f "$backup.trial"*
  point current "$1"
  own_data
  write_units
  start_serve
}

rollback() {
  local now before
  now=$(release_of current) before=$(release_of previous)
  { is_installed && [ -n "$before" ]; } || die "there is no gitship before this one to go back to"
  if ! go_back "$before"; then
    last_lines
    say "gitship $before does not answer: going back to $now"
    go_back "$now" || die "neither $before nor $now answers" "see the lines above"
    die "the rollback failed, $now runs again" "the lines above say why"
  fi
  point previous "$now"
  say "gitship $before runs again; --rollback once more returns to $now"
}

print_next_steps() {
  local host url_port ssh_listen http_listen # the settings in force, which an older file may hold
  ssh_listen=$(setting ssh.listen) http_listen=$(setting http.listen) domain=$(setting domain)
  ssh_port=${ssh_listen##*:} http_port=${http_listen##*:} host=$domain
  url_port=$([ "$http_port" = 80 ] || printf ':%s' "$http_port")
  [ "$domain" != localhost ] || host=$(ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p')
  if [ "$(gitship keys:list --format json 2>/dev/null | tr -d '[:space:]')" = '[]' ]; then
    printf '\nNobody may push yet. Copy the public key of the machine you work at here, and let it in:\n\n'
    printf '  sudo ./install.sh --key id_ed25519.pub\n'
  fi
  cat <<TEXT

gitship is running. On the machine you work at, in a repository with a Dockerfile:

  git remote add deploy ssh://deploy@${host:-localhost}:$ssh_port/hello
  git push deploy main
  ssh -p $ssh_port deploy@${host:-localhost} help

It is then served at http://hello.$domain$url_port. No repository at hand? sudo gitship demo:create
TEXT
  [ "$domain" != localhost ] || printf '%s\n' "Only this machine knows *.localhost: to serve others, set domain = \"your.domain\" in $config," \
    "point your.domain and *.your.domain here, and run ./install.sh again."
}

uninstall() {
  local id='' data='' packages='' file
  data=$(sed -n 's/^data_dir = "\(.*\)"$/\1/p' "$config" 2>/dev/null) || true # also after an uninstall that kept it
  [ ! -e "$data/gitship.db" ] || id=$("$(find_python)" -c 'import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute("SELECT value FROM meta WHERE key = \"server_id\"").fetchone()[0])' "$data/gitship.db") || id=
  stop_all
  if [ -n "$id" ] && docker_answers; then
    docker ps -aq --filter "label=gitship.server=$id" | xargs -r docker rm -f >/dev/null
    docker network ls -q --filter "label=gitship.server=$id" | xargs -r docker network rm >/dev/null
    if [ -n "$purge" ]; then
      docker volume ls -q --filter "label=gitship.server=$id" | xargs -r docker volume rm >/dev/null
      docker images -q --filter "label=gitship.server=$id" | sort -u | xargs -r docker rmi -f >/dev/null
      # what was pulled for an app has no label of ours, only our name
      docker images --filter "reference=gitship/*:$id-*" --format '{{.Repository}}:{{.Tag}}' | xargs -r docker rmi -f >/dev/null
    fi
    docker images -q --filter "label=gitship.reserve=$id" | xargs -r docker rmi -f >/dev/null
  fi
  end_own_docker
  if has_systemd && [ -e "$unit_dir/gitship.service" ]; then
    systemctl revert -q gitship-builds.service || true # the limits of builds
    systemctl disable -q "${units[@]}" || true
    (cd "$unit_dir" && rm -f "${units[@]}")
    systemctl daemon-reload
    systemctl reset-failed 'gitship*' 2>/dev/null || true
  fi
  [ ! -e "$installed_list" ] || packages=$(sort -u "$installed_list" | tr '\n' ' ')
  if [ -n "$purge" ]; then
    [ ! -e "$data/gitship.db" ] || rm -rf "$data"
    if [ -e "$made_list" ]; then while read -r file; do rm -f "$file"; done <"$made_list"; fi
    rm -rf /etc/gitship
    if id "$user" >/dev/null 2>&1; then userdel "$user"; fi
  fi
  rm -rf "$prefix" "$run_dir" "$log" "$docker_log" /usr/local/bin/gitship
  if [ -n "$purge" ]; then
    say "gitship is removed with its settings, apps and data"
  else
    say "gitship is removed; $config, ${data:-its data}, the user $user and the apps' images and volumes stay," \
      "and a new install goes on with them"
  fi
  [ -z "$packages" ] || say "Packages that it had installed stay; to remove them, too: apt-get autoremove --purge $packages"
}

parse_arguments "$@"
[ "$(id -u)" = 0 ] || die "this needs root" "sudo ./install.sh $*"
case "$action" in
  test)
    # shellcheck source=.ci/tests.sh
    . "$here/.ci/tests.sh"
    run_tests
    ;;
  install) set_up ;;
  plan) plan ;;
  upgrade)
    is_installed || die "gitship is not installed" "./install.sh installs it"
    set_up
    ;;
  stop)
    stop_all
    say "gitship, Varnish and haproxy have ended; ./install.sh starts them again"
    ;;
  *) "$action" ;;
esac
