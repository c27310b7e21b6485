#!/usr/bin/env bash
# A day with an app, as its owner types it: create, config with odd values, domain, push, scale, logs -f, run with a
# terminal, rollback, destroy. test_daily.py runs it; the first command that fails, or answers wrongly, ends it.
#   SSH     the ssh command, with port and key      HTTP  host:port of the sites
#   REPO    a repository whose app answers with its VERSION (v1; the commit after it says v2), on branch main
set -euo pipefail

ship() { $SSH deploy@127.0.0.1 "$@"; }
say() { printf '== %s\n' "$*"; }
expect() { # expect WHAT WANTED GOT
  [ "$2" = "$3" ] || { printf 'wrong: %s: expected %q, got %q\n' "$1" "$2" "$3" >&2; exit 1; }
}
page() { curl -sS --max-time 20 -H "Host: $1" "http://$HTTP/"; }

say create
ship apps:create daily
ship apps:list --quiet | grep -qx daily

say config with odd values
odd=$'two words, $HOME "double" \'single\' back\\slash\n\ttab; a=b; é € \U1F6A2'
ship config:set daily --stdin ODD --no-restart <<<"$odd"
expect 'the value from standard input' "$odd" "$(ship config:get daily ODD)"
ship "config:set daily --no-restart SPACES='a  b' EMPTY= DASH=-x EQUALS=a=b=c"
expect 'a value with blanks' 'a  b' "$(ship config:get daily SPACES)"
head -c 49152 /dev/urandom | base64 -w 0 >"$WORK/large" # 64 KiB exactly
ship config:set daily --stdin LARGE --no-restart <"$WORK/large"
ship config:get daily LARGE | head -c -1 | cmp - "$WORK/large"
ship config:unset daily LARGE --no-restart
ship config:show daily --format json | grep -q '"value": null' # hidden unless --reveal

say domain
ship domains:add daily www.daily.example
ship domains:list daily -q | grep -qx www.daily.example

say push
cd "$REPO"
GIT_SSH_COMMAND=$SSH git push -q "$REMOTE" main~1:refs/heads/main
expect 'the first version' v1 "$(page www.daily.example)"
GIT_SSH_COMMAND=$SSH git push -q "$REMOTE" main
expect 'the second version' v2 "$(page daily.localhost)"

say scale
ship ps:scale daily web=2
expect 'containers' 2 "$(ship ps:list daily -q | wc -l)"

say logs -f
timeout 30 $SSH deploy@127.0.0.1 logs daily -n 0 -f >"$WORK/log" &
follower=$!
for _ in $(seq 100); do
  curl -sS -o /dev/null -H 'Host: daily.localhost' "http://$HTTP/log?seen=$$"
  grep -q "seen=$$" "$WORK/log" && break
  sleep 0.2
done
kill "$follower"
wait "$follower" || true
grep -q " web\.[12] | seen=$$" "$WORK/log"

say run with a terminal
code=0
printf 'exit 7\r' | $SSH -tt deploy@127.0.0.1 run daily /busybox sh >"$WORK/terminal" || code=$?
expect 'the exit code from a terminal' 7 "$code"
grep -q '/ #' "$WORK/terminal"
expect 'the config within' "$odd" "$(ship "run daily /busybox sh -c 'echo \"\$ODD\"'")"
expect 'a pipe through a one-off' 'through' "$(echo through | ship run daily /busybox cat)"

say rollback
ship releases:rollback daily
expect 'the version before' v1 "$(page daily.localhost)"
ship releases:list daily | head -3

say destroy
if ship apps:destroy daily 2>/dev/null; then echo 'destroyed without --force' >&2; exit 1; fi
ship apps:destroy daily --force
if ship apps:info daily 2>/dev/null; then echo 'it is still there' >&2; exit 1; fi
say done
