# shellcheck shell=bash disable=SC2154,SC2034,SC2164 # variables of install.sh, which stops at an error
# Sourced by install.sh --test: sets up what the tests need and runs everything that a change must pass.

installed_list=/dev/null # nothing of it is gitship's
test_packages=(gcc libc6-dev busybox-static debootstrap mmdebstrap curl zsh docker-registry varnish-modules pebble chromium shellcheck restic age)
test_engine_pid=
test_engine_dir=

end_test_engine() {
  [ -n "$test_engine_pid" ] || return 0
  kill "$test_engine_pid" 2>/dev/null || true
  wait "$test_engine_pid" 2>/dev/null || true
}

start_test_engine() { # an engine of the tests' own, only when none answers
  if docker_answers; then return 0; fi
  say "Starting a Docker engine for the tests"
  mount_cgroups
  local said
  said=$(mktemp)
  test_engine_dir=$(mktemp -d /tmp/gitship-test-docker.XXXXXX)
  trap end_test_engine EXIT
  export DOCKER_HOST="unix://$test_engine_dir/docker.sock"
  # With settings of its own, and gone with its mounts, bridge and rules when this ends, however it does.
  python -m tests.e2e.dockerd "$test_engine_dir" </dev/null >"$said" 2>&1 &
  test_engine_pid=$!
  wait_for 60 docker_answers || { tail -n 30 "$said" >&2; die "Docker does not start"; }
  rm -f "$said"
}

# Installs what is locked for the tests, but not gitship: the tests must meet the checkout.
make_test_venv() {
  local venv=$1
  [ -x "$venv/bin/python" ] || "$(find_python)" -m venv "$venv"
  say "Installing the Python packages of the tests"
  "$venv/bin/python" -m pip --disable-pip-version-check -q install --no-input --require-hashes \
    -r "$here/tests/requirements.lock" ||
    die "pip could not install what the tests need" "look above for its reason, then run this again"
}

run_tests() {
  local cache=${GITSHIP_TEST_CACHE:-/var/cache/gitship-test} failed=() wanted package
  update_lists
  mapfile -t wanted < <(missing_packages; for package in "${test_packages[@]}"; do is_there "$package" || echo "$package"; done)
  install_packages "${wanted[@]}"
  if has_systemd && [[ " ${wanted[*]} " == *" docker-registry "* ]]; then # or it listens on port 5000 after the next boot
    systemctl disable -q docker-registry.service
  fi
  mkdir -p "$cache"
  make_test_venv "$cache/venv"
  cd "$here"
  export PATH="$cache/venv/bin:$PATH" PYTHONPATH="$here" GITSHIP_TEST_CACHE=$cache PYTHONPYCACHEPREFIX=$cache/pycache
  export MYPY_CACHE_DIR=$cache/mypy
  unset PYTHONDONTWRITEBYTECODE # a run starts hundreds of Pythons: compiling all of gitship takes half a second in each
  start_test_engine
  check() { # check NAME COMMAND...
    say "$1"
    "${@:2}" </dev/null || failed+=("$1")
  }
  # mypy is a minute of one processor, and the audit may wait for an index: beside the tests, told after them.
  local beside said
  said=$(mktemp)
  slow_checks() {
    local failed=()
    check "mypy" mypy
    check "import-linter" lint-imports
    check "audit of the locked packages" .ci/audit
    [ ${#failed[@]} -eq 0 ]
  }
  check "ruff check" ruff check .
  check "ruff format" ruff format --check .
  check "shellcheck" shellcheck -x install.sh .ci/run .ci/lock
  slow_checks >"$said" 2>&1 &
  beside=$!
  # Mostly waiting, so more tests at once than processors; a module's tests share a server and stay together.
  check "pytest" python -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder "${tests[@]}"
  wait "$beside" || failed+=("mypy, import-linter or audit")
  cat "$said"
  rm -f "$said"
  [ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
  say "All checks passed"
}
