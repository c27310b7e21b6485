# shellcheck shell=bash disable=SC2154 # variables of install.sh
# Sourced by install.sh: a Docker engine that answers.

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

ensure_docker() {
  docker_answers && return 0
  say "Starting Docker"
  if [ ! -e /etc/docker/daemon.json ]; then # containers go on while dockerd restarts
    mkdir -p /etc/docker
    printf '{ "live-restore": true }\n' >/etc/docker/daemon.json
    printf '%s\n' /etc/docker/daemon.json >>"$made_list"
  fi
  if has_systemd; then
    systemctl enable -q docker.service
    systemctl restart docker.service || die "docker.service does not start" "see: journalctl -u docker -n 50"
  else
    mount_cgroups
    setsid dockerd </dev/null >>"$docker_log" 2>&1 &
    printf '%s\n' $! >"$run_dir/dockerd.pid"
  fi
  wait_for 60 docker_answers || die "Docker does not answer" "see $docker_log, or: journalctl -u docker -n 50"
}

end_own_docker() { # the one that ensure_docker started without systemd, once nothing runs in it
  local pid
  pid=$(cat "$run_dir/dockerd.pid" 2>/dev/null) || return 0
  if grep -qz dockerd "/proc/$pid/cmdline" 2>/dev/null && [ -z "$(docker ps -q)" ]; then
    kill "$pid"
    wait_for 30 eval "! kill -0 $pid 2>/dev/null" || say "dockerd (pid $pid) has not ended yet"
  fi
}

docker_group() { stat -Lc %G /var/run/docker.sock 2>/dev/null || printf 'docker\n'; }
