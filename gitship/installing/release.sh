# shellcheck shell=bash disable=SC2154 # variables of install.sh
# Sourced by install.sh: gitship's own files. Each version stands whole in "$prefix/releases"; "current" names the one that runs.

release_id() { # version and content: the same files are the same release
  local version digest
  version=$(sed -n 's/^__version__ = "\([^"]*\)".*/\1/p' "$here/gitship/__init__.py")
  digest=$(cd "$here" && find gitship hooks varnish pyproject.toml -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z |
    xargs -0 sha256sum | sha256sum)
  printf '%s-%s\n' "$version" "${digest:0:12}"
}

release_of() { basename "$(readlink "$prefix/$1" 2>/dev/null)" 2>/dev/null || true; } # release_of current|previous

point() { # point current|previous RELEASE, in one step
  ln -sfn "releases/$2" "$prefix/$1.new"
  mv -T "$prefix/$1.new" "$prefix/$1"
}

build_release() { # build_release ID: an environment of its own, beside the one that runs
  local target=$prefix/releases/$1 source python
  [ ! -e "$target/complete" ] || return 0
  say "Building gitship $1 in $target"
  python=$(find_python)
  [ -n "$python" ] || die "no Python from 3.11 on was found" "install one with its venv module, then run this again"
  rm -rf "$target"
  mkdir -p "$prefix/releases"
  "$python" -m venv "$target"
  local pip=("$target/bin/python" -m pip --disable-pip-version-check -q install --no-input)
  source=$(mktemp -d) # pip leaves build files in its source
  cp -r "$here"/{pyproject.toml,README.md,LICENSE,gitship,hooks,varnish} "$source/"
  if ! { "${pip[@]}" --require-hashes -r "$here/gitship/requirements.lock" &&
    "${pip[@]}" --no-deps --no-build-isolation "$source"; } </dev/null; then
    rm -rf "$source" "$target"
    die "pip could not install gitship" "look above for its reason (a network or proxy?), then run this again"
  fi
  rm -rf "$source"
  "$target/bin/gitship" --version >/dev/null
  touch "$target/complete"
}

setting() { # setting KEY [RELEASE]: the value in force
  "$prefix/${2:-current}/bin/python" -c '
import sys
from pathlib import Path
from gitship.config import load
value = load(Path(sys.argv[1]))
for name in sys.argv[2].split("."):
    value = getattr(value, name)
print(value)' "$config" "$1"
}

copy_database() { # copy_database FROM TO: a consistent copy, also while gitship writes
  "$(find_python)" -c '
import os, sqlite3, sys
os.umask(0o077)
source, target = sqlite3.connect(sys.argv[1]), sqlite3.connect(sys.argv[2])
with target:
    source.backup(target)
target.close()' "$1" "$2"
}

opens() { # opens RELEASE DATABASE: that release understands the settings and the database (a copy, which it migrates)
  "$prefix/releases/$1/bin/python" -c '
import sys
from pathlib import Path
from gitship.config import load
from gitship.store import Store
load(Path(sys.argv[1]))
Store(Path(sys.argv[2])).close()' "$config" "$2"
}

forget_old_releases() {
  local entry
  for entry in "$prefix"/releases/*; do
    case $(basename "$entry") in
      "$(release_of current)" | "$(release_of previous)") ;;
      *) rm -rf "$entry" ;;
    esac
  done
}
