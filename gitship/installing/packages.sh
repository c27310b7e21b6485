# shellcheck shell=bash disable=SC2154 # variables of install.sh
# Sourced by install.sh: what is missing, from the distribution's own packages.

apt_packages=(docker.io varnish haproxy tcc binutils git iptables ca-certificates openssh-client procps iproute2)
dnf_packages=(varnish haproxy gcc binutils git iptables-nft ca-certificates openssh-clients procps-ng iproute util-linux)

is_there() { # is_there PACKAGE: installed, or not needed because what it brings came another way
  case $1 in
    docker.io) command -v dockerd >/dev/null || docker_answers ;;
    docker-cli) command -v docker >/dev/null ;;
    varnish | haproxy | tcc | gcc | git) command -v "$1" >/dev/null || [ -x "/usr/sbin/${1/%varnish/varnishd}" ] ;;
    binutils) command -v ld >/dev/null ;;
    *) false ;;
  esac && return 0
  if command -v dpkg-query >/dev/null; then
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
  else
    rpm -q "$1" >/dev/null 2>&1
  fi
}

# Prints the first Python from 3.11 on that can make environments; nothing when there is none.
find_python() {
  local python
  for python in python3 python3.13 python3.12 python3.11; do
    if "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$python"
      return
    fi
  done
}

apt_candidate() { LC_ALL=C apt-cache policy "$1" 2>/dev/null | awk '$1 == "Candidate:" && $2 != "(none)" { print $2 }'; }

# Prints what to install, a package a line. With apt its lists have to be there.
missing_packages() {
  local package wanted=()
  if command -v apt-get >/dev/null; then
    wanted=("${apt_packages[@]}")
    [ -z "$(apt_candidate docker-cli)" ] || wanted+=(docker-cli) # Debian 13 has the client in a package of its own
    if [ -z "$(find_python)" ]; then
      case $(apt_candidate python3) in
        3.[0-9].* | 3.10.*) wanted+=(python3.11 python3.11-venv) ;; # Ubuntu 22.04
        *) wanted+=(python3 python3-venv) ;;
      esac
    fi
  else
    wanted=("${dnf_packages[@]}")
    [ -n "$(find_python)" ] || wanted+=("$(dnf -q list --available python3.12 >/dev/null 2>&1 && echo python3.12 || echo python3)")
  fi
  for package in "${wanted[@]}"; do
    is_there "$package" || printf '%s\n' "$package"
  done
}

# True on a system whose packages are known; says what to do otherwise.
check_system() {
  if command -v apt-get >/dev/null; then return 0; fi
  command -v dnf >/dev/null || die "this system has neither apt nor dnf" \
    "gitship is installed on Debian 12 and 13, Ubuntu 22.04 and 24.04, and on RHEL 9 and 10 and what is built from them"
  command -v dockerd >/dev/null || docker_answers || die "Docker is missing, and this distribution has no package of it" \
    "install docker-ce from Docker's own repository (docs.docker.com/engine/install; on version 10 also
      kernel-modules-extra, without which dockerd does not start; Podman will not do), then run this again"
}

install_packages() { # install_packages PACKAGE...
  [ $# -gt 0 ] || return 0
  say "Installing $*"
  if command -v dnf >/dev/null && ! command -v apt-get >/dev/null; then
    dnf -q -y install --setopt=install_weak_deps=False "$@" </dev/null ||
      die "dnf could not install $*" "look above for its reason, mend it, run this again"
  else
    apt_install "$@"
  fi
  for package in "$@"; do printf '%s\n' "$package" >>"$installed_list"; done
  # The distribution's own instances would take ports; gitship has units of its own.
  if has_systemd && [[ " $* " == *" varnish "* ]]; then
    systemctl disable -q --now varnish.service varnishncsa.service 2>/dev/null || true
  fi
  if has_systemd && [[ " $* " == *" haproxy "* ]]; then systemctl disable -q --now haproxy.service 2>/dev/null || true; fi
}

apt_install() {
  local policy=/usr/sbin/policy-rc.d made_policy='' code=0 said
  said=$(mktemp)
  if [ ! -e $policy ]; then # nothing that is installed may start by itself: what is needed is started below
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
    made_policy=1
  fi
  DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \
    install --no-install-recommends "$@" </dev/null >"$said" 2>&1 || code=$?
  [ -z "$made_policy" ] || rm -f $policy
  [ $code = 0 ] || tail -n 30 "$said" >&2
  rm -f "$said"
  [ $code = 0 ] || die "apt-get could not install $*" "look above for its reason, mend it, run this again"
}

update_lists() { # apt knows candidates only after this
  command -v apt-get >/dev/null || return 0
  DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 update </dev/null ||
    die "apt-get update failed" "look above for its reason (a network or proxy?), then run this again"
}
