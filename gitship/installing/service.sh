# shellcheck shell=bash disable=SC2154 # variables of install.sh
# Sourced by install.sh: the user, the units (or, without systemd, the processes), starting and stopping.

make_user() {
  id "$user" >/dev/null 2>&1 ||
    useradd --system --user-group --no-create-home --home-dir /var/lib/gitship --shell /usr/sbin/nologin "$user"
  usermod -a -G "$(docker_group)" "$user"
}

own_data() { # what was made as root here is the service's
  local data
  data=$(setting data_dir)
  find "$data" ! -user "$user" -exec chown -h "$user:$user" {} +
  chown "root:$user" "$config"
  chmod 640 "$config"
}

write_units() {
  local unit data
  has_systemd || return 0
  data=$(setting data_dir)
  for unit in "${units[@]}"; do
    sed -e "s#@PREFIX@#$prefix#g" -e "s#@CONFIG@#$config#g" -e "s#@DATA@#$data#g" \
      -e "s#@DOCKER_GROUP@#$(docker_group)#g" "$here/gitship/installing/$unit" >"$unit_dir/$unit"
  done
  systemctl daemon-reload
  systemctl enable -q "${units[@]}"
}

serve_pid() { # the pid of our `gitship serve` without systemd, if it runs
  local pid
  pid=$(cat "$run_dir/serve.pid" 2>/dev/null) || return 1
  tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -q 'gitship serve' && printf '%s\n' "$pid"
}

stop_serve() {
  local pid
  if has_systemd; then
    [ ! -e "$unit_dir/gitship.service" ] || systemctl stop gitship.service
    return 0
  fi
  pid=$(serve_pid) || return 0
  kill "$pid"
  wait_for 90 eval "! kill -0 $pid 2>/dev/null" || die "gitship serve (pid $pid) does not end" "kill -9 $pid"
  rm -f "$run_dir/serve.pid"
}

stop_all() {
  stop_serve
  [ ! -x "$prefix/current/bin/gitship" ] || "$prefix/current/bin/gitship" stop-front --config "$config" || true
  if has_systemd && [ -e "$unit_dir/gitship.service" ]; then systemctl stop "${units[@]}"; fi
}

may_net_admin() { # root in a container often may not
  local caps
  caps=$(sed -n 's/^CapEff:\s*//p' /proc/self/status)
  [ $(((16#$caps >> 12) & 1)) = 1 ]
}

answers() { "$prefix/current/bin/gitship" --config "$config" version >/dev/null 2>&1; }

start_serve() { # false when it does not answer within a minute
  if has_systemd; then
    systemctl start gitship-varnish.service gitship-websockets.service gitship-tls.service
    systemctl restart gitship.service
  else
    mkdir -p "$run_dir"
    ulimit -n 131072 2>/dev/null || true
    "$prefix/current/bin/gitship" limit-builds --config "$config" >>"$log" 2>&1 || true # as in the unit
    local caps=-all,+net_bind_service
    ! may_net_admin || caps+=,+net_admin # for the rules that keep apps from a cloud's metadata
    setsid setpriv --reuid "$user" --regid "$user" --init-groups --inh-caps=$caps --ambient-caps=$caps -- \
      "$prefix/current/bin/gitship" serve --config "$config" </dev/null >>"$log" 2>&1 &
    printf '%s\n' $! >"$run_dir/serve.pid"
  fi
  wait_for 60 answers
}

last_lines() { if has_systemd; then journalctl -u gitship -u gitship-varnish -n 30 --no-pager >&2; else tail -n 30 "$log" >&2; fi; }

port_holder() { # port_holder PORT: the program that listens there, with its pid; nothing when it is free
  command -v ss >/dev/null || return 0
  ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1 (pid \2)/p' | head -n 1
}

check_ports() { # before anything is changed; nothing that runs there is touched
  local who port
  command -v ss >/dev/null || return 0
  for port in "$http_port" "$ssh_port"; do
    who=$(port_holder "$port")
    [ -n "$who" ] || continue
    if [ "$port" = "$ssh_port" ]; then die "port $port is taken by $who" "choose another: --ssh-port 2223"; fi
    die "port $port is taken by $who, which is left alone" "either end it and run this again, or put gitship behind it:
      --port 8080, and let ${who%% *} pass *.$domain on to http://127.0.0.1:8080 with the Host header it got"
  done
}
